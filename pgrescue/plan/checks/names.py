"""Checks of names: that what a run makes beside a path can be made, and read by servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import PurePath

from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker
from pgrescue.plan.work import combined_tablespace, log_of

NAME_MAX = 255
"""Bytes that a name may have on Linux's file systems (`limits.h`)."""
PATH_MAX = 1023 - 100
"""PostgreSQL's own paths have 1023 bytes (`MAXPGPATH`); it makes longer ones of these."""
_AFTER_AN_UNDO = "-undone"


def refuse_line_breaks(data_directory: str) -> None:
    """Raise `Refused` for a data directory that PostgreSQL's own files cannot name."""
    if "\n" in data_directory or "\r" in data_directory:
        raise Refused(
            f"{data_directory!r} cannot be a data directory: its name has a line break.",
            "PostgreSQL keeps it on a line of postmaster.pid, and would read it wrongly.",
            next_steps=("rename the directory, or restore into another one: --into DIR",),
        )


def names_fit(context: Context) -> list[Finding]:
    """Every directory that is set aside or made has a name that can be given to it."""
    for path in _made(context):
        longest = max((_bytes(part) for part in PurePath(path).parts), default=0)
        if longest > NAME_MAX:
            return blocker(
                "host.name",
                f"{path} cannot be made: a name has at most {NAME_MAX} bytes, this one {longest}.",
                f"give it a name that is {longest - NAME_MAX} bytes shorter",
            )
        if _bytes(path) > PATH_MAX:
            return blocker(
                "host.name",
                f"{path} is too long: a server's paths have at most 1023 bytes, with its files' "
                "names.",
                f"use a path that is {_bytes(path) - PATH_MAX} bytes shorter",
            )
    return []


def _bytes(name: str) -> int:
    return len(name.encode(errors="surrogateescape"))


def _made(context: Context) -> Iterator[str]:
    work = context.work
    yield f"{work.data_directory}.{work.tag}{_AFTER_AN_UNDO}"
    yield work.staging
    yield log_of(work)
    for move in work.moves:
        yield move.aside
        if not move.contents_only:
            yield f"{move.path}.{work.tag}{_AFTER_AN_UNDO}"
    for item in work.tablespaces:
        yield combined_tablespace(work, item)
