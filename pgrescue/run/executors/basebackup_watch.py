"""How far a base backup is, beside pg_basebackup's own words: the server's, and the disk's."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import conninfo_to_dict

from pgrescue.backup.choices import PROGRESS_VIEW_SINCE
from pgrescue.backup.model import BackupWork
from pgrescue.backup.progress import VIEW_PHASES, Taken
from pgrescue.postgres.probe import connect
from pgrescue.survey.source import as_account

_EVERY_SECONDS = 2.0
_AGAIN_AFTER_SECONDS = 30.0
_ASK = """
select p.phase, p.backup_total, p.backup_streamed
from pg_stat_progress_basebackup p join pg_stat_activity a using (pid)
where a.application_name = %s and p.phase is not null
"""


class ServerView:
    """`pg_stat_progress_basebackup`, where the role may look at it."""

    def __init__(self, work: BackupWork) -> None:
        self._work = work
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
        if self._work.major < PROGRESS_VIEW_SINCE or now < self._next:
            return None
        self._next = now + _EVERY_SECONDS
        try:
            if self._connection is None:
                self._connection = self._connect()
            return self._connection.execute(_ASK, [self._work.application]).fetchone()
        except (psycopg.Error, OSError):
            # The backup needs nothing of this; pg_basebackup's own words have to do for a while.
            self._connection = None
            self._next = now + _AGAIN_AFTER_SECONDS
            return None

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        named = {key: str(value) for key, value in conninfo_to_dict(self._work.conninfo).items()}
        options = "-c statement_timeout=2000"
        parameters = {"dbname": "postgres", "connect_timeout": "3", "options": options, **named}
        with as_account(self._work.owner):
            return connect(parameters, self._work.owner)


def size_on_disk(work: BackupWork) -> tuple[int, int]:
    """Bytes of the backup so far, and of its WAL among them.

    Of a plain backup only the WAL is looked at: it has too many files to go through every second.
    """
    place = Path(work.partial)
    if work.format == "plain":
        wal = _sizes(place / "pg_wal")
        return wal, wal
    return _sizes(place), _sizes(place, "pg_wal.tar")


def _sizes(place: Path, start: str = "") -> int:
    """Bytes of the files whose names begin so."""
    try:
        with os.scandir(place) as entries:
            files = [e for e in entries if e.name.startswith(start) and e.is_file()]
            return sum(entry.stat().st_size for entry in files)
    except OSError:
        return 0
