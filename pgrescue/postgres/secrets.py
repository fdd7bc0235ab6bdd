"""Taking passwords out of text that is kept or shown: settings, connection strings, commands.

What is left of a value is `***`. Where its end cannot be told for sure, the rest of its line goes.
"""

from __future__ import annotations

import re

from pgrescue.postgres.conf_file import with_values

HIDDEN = "***"
_NAME = r"[\w.-]*(?:password|passwd|passphrase|secret|access_key|api_key|token)(?:_command)?"
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
_IN_HEADER = re.compile(
    r"(\b(?:(?:proxy-)?authorization|x-[\w-]*(?:key|token|secret))\s*:\s*"
    r"(?:(?:bearer|basic|token)\s+)?)[^\s'\"]+",
    re.IGNORECASE,
)
"""`-H 'Authorization: Bearer x'`, `X-Api-Key: x`."""
_IN_URI = re.compile(r"(\w+://[^\s/:@'\"]*:)[^\s/'\"]*@")
"""`postgresql://user:password@host`."""


def without_passwords(text: str) -> str:
    """The text with every password in it hidden."""
    for pattern in (_ASSIGNED, _AS_ARGUMENT, _IN_HEADER):
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
