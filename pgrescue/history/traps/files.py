"""Traps of files that replay removes or makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pgrescue.findings import Finding
from pgrescue.history.namebook import NameBook
from pgrescue.history.replayed import Replayed
from pgrescue.wal.events import DatabaseDropped, TablespaceCreated


def half_dropped(replayed: Replayed, names: Callable[[], NameBook]) -> Iterator[Finding]:
    """DROP DATABASE and DROP TABLESPACE remove files before they commit."""
    for event, begin in replayed.destroyed():
        if event.xid and not replayed.unfinished({event.xid}):
            continue
        book = names()
        if isinstance(event, DatabaseDropped):
            what, name = "database", book.database(event.oid)
        else:
            what, name = "tablespace", book.tablespace(event.oid)
        early = replayed.consistent is not None and begin < replayed.consistent
        yield Finding(
            f"trap.dropped_{what}",
            "warning",
            f"The {what} {name or event.oid} is lost at this target though its DROP is not "
            f"committed there: its files are removed at {event.position}, before the commit.",
            "take an earlier backup" if early else f"stop earlier: --to-lsn {begin} --exclusive",
        )


def created_places(replayed: Replayed, *, clone: bool) -> Iterator[Finding]:
    for event in replayed.of(TablespaceCreated):
        message = (
            f"Replay creates the tablespace {event.oid} at {event.path}: the directory must exist "
            "and be empty."
        )
        fix = f"mkdir the directory first, owned by the server's account: {event.path}"
        if clone:
            message = (
                f"Replay creates the tablespace {event.oid} at {event.path}, the very directory "
                "that the original cluster uses: the clone would write there."
            )
            fix = f"stop before it: --to-lsn {event.position} --exclusive"
        yield Finding("trap.tablespace_created", "blocker" if clone else "warning", message, fix)
