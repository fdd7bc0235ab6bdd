"""A log's lines as messages: plain text with any log_line_prefix, csvlog and jsonlog.

Each also as docker (`json-file`), journald (`-o json`) or a Kubernetes collector keep its lines.

Formats: manual, "Error Reporting and Logging"; `write_csvlog` in
`src/backend/utils/error/csvlog.c`, `write_jsonlog` in `jsonlog.c` (15+).
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pgrescue.explain.message import REINITIALIZING, STARTING, Message, ServerStart, number_in
from pgrescue.postgres.server_log import SQLSTATE

_LEVELS = "DEBUG[1-5]|LOG|INFO|NOTICE|WARNING|ERROR|FATAL|PANIC"
_COMPANIONS = ("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION", "BACKTRACE")
_LINE = re.compile(rf"\b(?P<level>{_LEVELS}|{'|'.join(_COMPANIONS)}):  ?{SQLSTATE}(?P<text>.*)")
_PID = re.compile(r"\[([0-9]{1,10})\]")
_TOOL = re.compile(r"(?:[\w./-]*/)?(?:pg_\w+|postgres|postmaster|initdb): ")
_ANOTHER_TOOL = re.compile(r"(?:[\d-]+ [\d:.]+ P\d+ +)?(?:ERROR|FATAL|CRITICAL): \S")
"""Barman's and pgBackRest's lines, with one blank: a server puts two."""
_SERVER = re.compile(r"(?:[\w./-]*/)?(?:postgres|postmaster): ")
_CSV = re.compile(rf'^\d{{4}}-\d\d-\d\d [\d:.]+ [^",]*,.*,(?:{_LEVELS}),')
_CSV_PID, _CSV_LEVEL, _CSV_MESSAGE, _CSV_DETAIL, _CSV_HINT = 3, 11, 13, 14, 15
_WRAPPED = ("log", "MESSAGE")
"""Under which names docker and journald keep a line."""
_OF_STATEMENTS = ("statement: ", "duration: ", "execute ", "AUDIT: ")
"""Text of users: it may hold anything, even what looks like a failure."""


def read_messages(lines: Iterable[str]) -> Iterator[Message]:
    """Every message of a log, whatever its format; never raises on what it cannot read."""
    numbered = _Lines(lines)
    current: Message | None = None
    for number, line in numbered:
        found = _structured(number, line, numbered)
        if found is None:
            found = _plain(number, line, current)
        if found is None:
            continue
        if current is not None:
            yield from _unless_of_statements(current)
        current = found
    if current is not None:
        yield from _unless_of_statements(current)


class _Lines:
    """The numbered lines of a log, of which the last one read can be put back."""

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = enumerate((_unwrapped(line.rstrip("\r\n")) for line in lines), start=1)
        self._back: list[tuple[int, str]] = []

    def __iter__(self) -> Iterator[tuple[int, str]]:
        return self

    def __next__(self) -> tuple[int, str]:
        return self._back.pop() if self._back else next(self._lines)

    def put_back(self, number: int, line: str) -> None:
        """To be read again."""
        self._back.append((number, line))


def _unwrapped(line: str) -> str:
    """The line that a collector has put into an object of its own; else as it is."""
    if not line.startswith("{") or not any(f'"{name}"' in line for name in _WRAPPED):
        return line
    entry = _object(line) or {}
    kept = next((entry[name] for name in _WRAPPED if isinstance(entry.get(name), str)), line)
    return str(kept).rstrip("\r\n")


def _object(text: str) -> dict[str, Any] | None:
    try:
        entry = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None


def split_starts(messages: Iterable[Message]) -> tuple[ServerStart, ...]:
    """The messages by server start; what comes before the first one is a start of its own.

    A server that refuses its configuration ends before it says "starting PostgreSQL"; one that has
    lost a process recovers without having ended.
    """
    parts: list[list[Message]] = [[]]
    down = prelude = False
    for message in messages:
        starts = message.text.startswith(STARTING)
        if parts[-1] and (
            message.text.startswith(REINITIALIZING)
            or (starts and not (prelude and not any(each.is_fatal for each in parts[-1])))
            or (down and _is_servers(message))
        ):
            parts.append([])
            down, prelude = False, not starts
        prelude = prelude and not starts
        down = down or message.text.startswith("database system is shut down")
        parts[-1].append(message)
    return tuple(
        ServerStart(number, tuple(part), is_last=number == len(parts))
        for number, part in enumerate(parts, start=1)
        if part
    )


def _is_servers(message: Message) -> bool:
    """Not what a tool or a command says about the server that has just ended."""
    return message.level not in ("TOOL", "OUTPUT") or bool(_SERVER.match(message.text))


def _unless_of_statements(message: Message) -> Iterator[Message]:
    if not message.text.startswith(_OF_STATEMENTS):
        yield message


def _plain(number: int, line: str, current: Message | None) -> Message | None:
    """A new message, or None where the line belongs to the current one."""
    if line.startswith("\t") and current is not None:
        current.go_on(line[1:])
        return None
    text = line.strip()
    if not text:
        return None
    if _TOOL.match(line):
        # It may quote a level of the server: "pg_basebackup: error: ... FATAL:  no entry".
        return Message(number, "TOOL", text)
    match = None if _ANOTHER_TOOL.match(line) else _LINE.search(line)
    if match is None:
        return Message(number, "OUTPUT", text)
    if match["level"] in _COMPANIONS:
        if current is not None:
            current.add(match["level"], match["text"])
        return None
    pid = _PID.search(line, 0, match.start())
    return Message(number, match["level"], match["text"], int(pid[1]) if pid else None)


def _structured(number: int, line: str, rest: _Lines) -> Message | None:
    if _CSV.match(line):
        return _csv(number, line, rest)
    if '"error_severity"' in line:
        before, _, _ = line.partition("{")
        # Behind a collector's words; not in a message, where a user may have put it.
        if not line.startswith("\t") and ":  " not in before and not _LINE.search(before):
            return _json(number, line[len(before) :])
    return None


def _json(number: int, text: str) -> Message | None:
    entry = _object(text)
    if entry is None:
        return None
    if isinstance(entry.get("record"), dict):
        entry = entry["record"]  # wrapped by whoever runs the server in a container
    message = Message(
        number,
        str(entry.get("error_severity", "")),
        str(entry.get("message", "")),
        number_in(str(entry.get("pid", ""))),
        str(entry.get("detail", "")),
    )
    message.add("HINT", str(entry.get("hint", "")))
    return message


def _csv(number: int, first: str, rest: _Lines) -> Message | None:
    """A row may go on over further lines while a quote is open.

    Of one that was torn, as by a crash, there is what it has: it ends before the next row.
    """
    lines, quotes = [first], first.count('"')
    while quotes % 2:
        more_number, more = next(rest, (0, None))
        if more is None:
            break
        if _CSV.match(more):
            rest.put_back(more_number, more)
            break
        lines.append(more)
        quotes += more.count('"')
    try:
        row: Sequence[str] = next(csv.reader(["\n".join(lines)]))
    except (csv.Error, StopIteration):
        return None
    if len(row) <= _CSV_MESSAGE:
        return None
    detail, hint = (row[at] if at < len(row) else "" for at in (_CSV_DETAIL, _CSV_HINT))
    message = Message(number, row[_CSV_LEVEL], row[_CSV_MESSAGE], number_in(row[_CSV_PID]), detail)
    message.add("HINT", hint)
    return message
