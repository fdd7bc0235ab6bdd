"""How far a base backup is, beside pg_basebackup's own words: the server's, and the disk's."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

from pgrescue.backup.choices import PROGRESS_VIEW_SINCE
from pgrescue.backup.progress import VIEW_PHASES, Taken, after_line
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.account import Account
from pgrescue.postgres.basebackup_options import BackupFormat, Checkpoint
from pgrescue.run.execution import Execution
from pgrescue.run.programs import Running
from pgrescue.survey.source import connect_again

_POLL_SECONDS = 0.25
_LAST_WORDS = 8192
_EVERY_SECONDS = 2.0
_AGAIN_AFTER_SECONDS = 30.0
_ASK = """
select p.phase, p.backup_total, p.backup_streamed
from pg_stat_progress_basebackup p join pg_stat_activity a using (pid)
where a.application_name = %s and p.phase is not null
"""


@dataclass(frozen=True, slots=True)
class Watched:
    """A pg_basebackup at work: what it writes, from which server, and what is known beforehand."""

    place: str
    """The directory that it fills."""
    format: BackupFormat
    owner: Account
    conninfo: str
    application: str
    """The name under which it connects."""
    major: int
    checkpoint: Checkpoint
    checkpoint_bound: float
    """Seconds that a spread checkpoint takes at most."""
    estimated_bytes: int


def follow(
    execution: Execution[SealedPlan], running: Running, watched: Watched
) -> tuple[Taken, str]:
    """Tell how far it is until it ends; its last words, for the case that they are a complaint."""
    view = ServerView(watched)
    taken, position, pending, said = Taken(), 0, b"", ""
    began = time.monotonic()
    while True:
        ended = running.poll() is not None
        data, position = running.said(position)
        *lines, pending = (pending + data).replace(b"\r", b"\n").split(b"\n")
        for line in lines:
            taken = after_line(taken, line.decode(errors="replace"))
        said = (said + data.decode(errors="replace"))[-_LAST_WORDS:]
        if ended:
            return taken, said
        taken = view.added_to(taken)
        _tell(execution, watched, taken, time.monotonic() - began)
        execution.wait(_POLL_SECONDS)


def _tell(execution: Execution[SealedPlan], watched: Watched, taken: Taken, seconds: float) -> None:
    disk, wal = size_on_disk(watched, taken.done_bytes)
    detail: str = taken.phase
    if taken.phase == "waiting for checkpoint" and watched.checkpoint == "spread":
        bound = watched.checkpoint_bound
        detail = f"waiting for a gentle checkpoint: {seconds:.0f} s of {bound:.0f}"
    elif taken.phase == "streaming database files" and taken.tablespaces is not None:
        detail = f"{taken.phase}, {taken.tablespaces[0]} of {taken.tablespaces[1]} tablespaces"
    execution.progress(
        taken.done_bytes,
        taken.total_bytes or watched.estimated_bytes or None,
        detail,
        lsn=taken.start_lsn,
        disk_bytes=disk,
        wal_bytes=wal,
    )


class ServerView:
    """`pg_stat_progress_basebackup`, where the role may look at it."""

    def __init__(self, watched: Watched) -> None:
        self._watched = watched
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._next = 0.0

    def added_to(self, taken: Taken) -> Taken:
        """What is known, with what the server knows better: it tells phases and bytes earlier."""
        row = self._row()
        if row is None:
            return taken
        phase = VIEW_PHASES.get(row[0], taken.phase)
        return replace(
            taken,
            phase=taken.phase if taken.phase in ("syncing to disk", "done") else phase,
            done_bytes=max(taken.done_bytes, row[2] or 0),
            total_bytes=max(row[1], row[2] or 0) if row[1] else taken.total_bytes,
        )

    def _row(self) -> tuple[Any, ...] | None:
        now = time.monotonic()
        if self._watched.major < PROGRESS_VIEW_SINCE or now < self._next:
            return None
        self._next = now + _EVERY_SECONDS
        try:
            if self._connection is None:
                watched = self._watched
                self._connection = connect_again(watched.conninfo, watched.owner, patience=2)
            return self._connection.execute(_ASK, [self._watched.application]).fetchone()
        except (psycopg.Error, OSError):
            # The backup needs nothing of this; pg_basebackup's own words have to do for a while.
            self._connection = None
            self._next = now + _AGAIN_AFTER_SECONDS
            return None


def size_on_disk(watched: Watched, done_bytes: int) -> tuple[int, int]:
    """Bytes of the backup so far, and of its WAL among them.

    The files of a plain backup are as big as what was sent of them, `done_bytes`: there are too
    many to go through every second.
    """
    place = Path(watched.place)
    if watched.format == "plain":
        wal = _sizes(place / "pg_wal")
        return done_bytes + wal, wal
    return _sizes(place), _sizes(place, "pg_wal.tar")


def _sizes(place: Path, start: str = "") -> int:
    """Bytes of the files whose names begin so."""
    try:
        with os.scandir(place) as entries:
            files = [e for e in entries if e.name.startswith(start) and e.is_file()]
            return sum(entry.stat().st_size for entry in files)
    except OSError:
        return 0
