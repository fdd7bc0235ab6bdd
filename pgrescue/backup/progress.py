"""What `pg_basebackup --progress --verbose` says, line by line (`progress_report` and others in
`src/bin/pg_basebackup/pg_basebackup.c`)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal

from pgrescue.postgres.lsn import Lsn

Phase = Literal[
    "connecting",
    "waiting for checkpoint",
    "estimating backup size",
    "streaming database files",
    "waiting for WAL archiving",
    "transferring WAL",
    "syncing to disk",
    "done",
]
_COUNT = re.compile(r"\s*(\d+)/(\d+) kB \((\d+)%\), (\d+)/(\d+) tablespaces?(?: +\((.*?) *\))?\s*")
_POINT = re.compile(
    r"pg_basebackup: write-ahead log (start|end) point: "
    r"([0-9A-F]+/[0-9A-F]+)(?: on timeline (\d+))?"
)
_SAID: tuple[tuple[str, Phase], ...] = (
    ("initiating base backup, waiting for checkpoint to complete", "waiting for checkpoint"),
    ("checkpoint completed", "streaming database files"),
    ("waiting for background process to finish streaming", "transferring WAL"),
    ("syncing data to disk", "syncing to disk"),
    ("renaming backup_manifest.tmp", "syncing to disk"),
    ("base backup completed", "done"),
)
VIEW_PHASES: dict[str, Phase] = {
    "initializing": "connecting",
    "waiting for checkpoint to finish": "waiting for checkpoint",
    "estimating backup size": "estimating backup size",
    "streaming database files": "streaming database files",
    "waiting for wal archiving to finish": "waiting for WAL archiving",
    "transferring wal files": "transferring WAL",
}
"""`pg_stat_progress_basebackup.phase` (`src/backend/catalog/system_views.sql`)."""


@dataclass(frozen=True, slots=True)
class Taken:
    """How far a backup is."""

    phase: Phase = "connecting"
    done_bytes: int = 0
    """Of the server's files, before compression."""
    total_bytes: int | None = None
    """An estimate; it grows when it is exceeded."""
    tablespaces: tuple[int, int] | None = None
    file: str = ""
    start_lsn: Lsn | None = None
    stop_lsn: Lsn | None = None
    timeline: int | None = None


def after_line(taken: Taken, line: str) -> Taken:
    """How far it is once the program has said this; what means nothing changes nothing."""
    if match := _COUNT.fullmatch(line):
        done, total = int(match[1]) * 1024, int(match[2]) * 1024
        return replace(
            taken,
            # The last of these comes before the WAL is there.
            phase="streaming database files" if taken.phase != "transferring WAL" else taken.phase,
            done_bytes=done,
            total_bytes=max(total, done),
            tablespaces=(int(match[4]), int(match[5])),
            file=match[6] or "",
        )
    if match := _POINT.match(line):
        if match[1] == "start":
            timeline = int(match[3]) if match[3] else None
            return replace(taken, start_lsn=Lsn.parse(match[2]), timeline=timeline)
        return replace(taken, stop_lsn=Lsn.parse(match[2]))
    for words, phase in _SAID:
        if line.startswith(f"pg_basebackup: {words}"):
            return replace(taken, phase=phase)
    return taken
