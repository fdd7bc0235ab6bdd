"""Taking passwords out of text that is kept or shown: settings, connection strings, commands.

What is left of a value is `***`. Where its end cannot be told for sure, the rest of its line goes.
"""

from __future__ import annotations

import re

from pgrescue.postgres.conf_file import with_values

HIDDEN = "***"
# Every part that a text could fill at length is bounded: a log may have a line of any length.
_NAME = (
    r"[\w.-]{0,40}(?:password|passwd|passphrase|secret|token|cipher[_-]pass"
    r"|(?:access|account|api|encryption|libsodium|pgp|secret|storage)[_-]?key)(?:_command)?"
)
_ASSIGNED = re.compile(
    rf"({_NAME}[ \t]*=[ \t]*)(?:['\"].*|[^\s'\"&;,)]*\\.*|[^\s'\"&;,)]+(?:['\"][^\s'\"&;,)].*)?)",
    re.IGNORECASE,
)
"""`password=x` in a connection string or URI, `PGPASSWORD=x` or `--secret-key=x` before a command.

A file that holds one, as in `passfile=`, is not hidden.
"""
_AS_ARGUMENT = re.compile(
    rf"(--(?!no-){_NAME}\s+|(?:^|\s)(?:-u\s*|--user[= ]\s*)[^\s:]+:"
    r"|\bsshpass\s+-p\s*|\s-pass(?:in|out)?\s+pass:)\S+",
    re.IGNORECASE,
)
_IN_COMMAND = re.compile(
    r"(\bopenssl\b[^|;&\n]{0,200}?\s-[kK]\s+"
    r"|\bsmb\w+\b[^|;&\n]{0,200}?\s(?:-U\s*|--user(?:name)?[=\s]\s*)[^\s%]+%"
    r"|\blftp\b[^|;&\n]{0,200}?\s(?:-u\s*|--user[=\s]\s*)[^\s,]+,"
    r"|\b7z\w?\b[^|;&\n]{0,200}?\s-p(?=\S)"
    r"|\b(?:un)?zip\b[^|;&\n]{0,200}?\s-P\s*)(?:['\"].*|\S+)"
)
"""Options of one letter, which mean something else to other programs."""
_IN_SQL = re.compile(r"(\bpassword\s+)(?:e|u&)?['$].*", re.IGNORECASE)
"""`ALTER ROLE r PASSWORD 'x'`."""
_SIGNED = re.compile(r"([?&;](?:sig|signature)=|\bx-[a-z]+-signature=)[^\s'\"&;]+", re.IGNORECASE)
"""A URI that is its own key, for as long as it is valid."""
_IN_HEADER = re.compile(
    r"(\b(?:(?:proxy-)?authorization|x-[\w-]{0,40}(?:key|token|secret))\s*:\s*"
    r"(?:(?:bearer|basic|token)\s+)?)[^\s'\"]+",
    re.IGNORECASE,
)
"""`-H 'Authorization: Bearer x'`, `X-Api-Key: x`."""
_IN_URI = re.compile(r"(\w{1,20}://[^\s/:@'\"]*:)(?!\d{1,5}/)(?:[^\s/'\"]*|[^\s@'\"]{0,200})@")
"""`postgresql://user:password@host`; also with an `@` or a `/` that should have been encoded.

What is a port is no password.
"""


def without_passwords(text: str) -> str:
    """The text with every password in it hidden."""
    for pattern in (_ASSIGNED, _AS_ARGUMENT, _IN_COMMAND, _IN_SQL, _SIGNED, _IN_HEADER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return _IN_URI.sub(rf"\1{HIDDEN}@", text)


def configuration_without_passwords(text: str) -> str:
    """The same for `postgresql.conf` and its like, which can still be read as such."""

    def hidden(name: str, value: str) -> str:
        return without_passwords(f"{name}={value}").removeprefix(f"{name}=")

    return without_passwords(with_values(text, hidden))


def holds_password(text: str) -> bool:
    """Whether there is one to hide."""
    return without_passwords(text) != text
