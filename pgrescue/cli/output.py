"""How commands print: JSON objects, tables, errors, sizes and times."""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from pgrescue.codec import SCHEMA, dumps, to_plain
from pgrescue.errors import PgRescueError
from pgrescue.printable import printable, printable_lines

AT_WORK = ("restore", "backup", "reseed", "prune", "attach", "resume", "undo", "discard")
"""Commands whose JSON ends with a run's last event; so do their errors."""
_NOT_ESCAPED = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""What JSON allows raw, and a terminal would obey."""


def print_json(content: dict[str, Any]) -> None:
    """One JSON object on a line of its own, with the schema's version."""
    text = dumps({"schema": SCHEMA, **content})
    sys.stdout.write(_NOT_ESCAPED.sub(lambda found: json.dumps(found[0])[1:-1], text) + "\n")
    sys.stdout.flush()


def narrate(text: str) -> None:
    """Say something to the person, not to the pipe."""
    sys.stderr.write(printable_lines(text) + "\n")
    sys.stderr.flush()


def text_width() -> int:
    """Columns for running text: a terminal's, but no more than can be read well."""
    return min(shutil.get_terminal_size((100, 24)).columns, 100) if sys.stdout.isatty() else 100


def print_lines(text: str) -> None:
    """Lines of an answer, for people."""
    sys.stdout.write(printable_lines(text) + "\n")


def print_error(error: PgRescueError, arguments: argparse.Namespace) -> None:
    """An error as text on standard error and, with --json, as an object on standard output."""
    narrate(_error_text(error))
    if not getattr(arguments, "json", False):
        return
    if arguments.command in AT_WORK:
        print_json({"event": "finished", **failed(error)})
    else:
        print_json({"error": _told(error)})


def _error_text(error: PgRescueError) -> str:
    """For a terminal: what a name holds looks like no line of ours. A cause may have several."""
    cause, *more = map(printable, error.cause.split("\n"))
    lines = [printable(error.title)]
    if error.cause:
        lines += [f"  Cause: {cause}".rstrip(), *(f"    {line.strip()}" for line in more)]
    lines += [f"    {printable(line)}" for line in error.evidence.splitlines()]
    lines += [f"  {printable(error.unchanged)}"] if error.unchanged else []
    return "\n".join([*lines, *(f"  Next: {printable(step)}" for step in error.next_steps)])


def failed(error: PgRescueError) -> dict[str, Any]:
    """The status of a run that was not begun."""
    from pgrescue.run.status import no_run

    return {**no_run(), "state": "failed", "error": _told(error)}


def _told(error: PgRescueError) -> dict[str, Any]:
    return {
        "title": error.title,
        "cause": error.cause,
        "evidence": "\n".join(filter(None, (error.evidence, error.unchanged))),
        "next": to_plain(error.next_steps),
        "exit_code": int(error.exit_code),
    }


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table with columns as wide as their content."""
    lines = [list(header), *(list(map(printable, row)) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        sys.stdout.write("  ".join(cells).rstrip() + "\n")


def time_text(moment: datetime | None) -> str:
    """A time in UTC, to the second."""
    return "-" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"


def size_text(size: int | None) -> str:
    """A size for people."""
    from humanize import naturalsize

    return "-" if size is None else naturalsize(size, binary=True)
