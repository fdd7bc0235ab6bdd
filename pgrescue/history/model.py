"""What is found out about a cluster's past, as commands print it and screens draw it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from pgrescue.plan.model import Transaction
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchiveProblem
from pgrescue.wal.timelines import Gap, TimelineInfo

IncidentKind = Literal[
    "drop_table",
    "drop_index",
    "drop_materialized_view",
    "drop_schema",
    "drop_database",
    "drop_tablespace",
    "truncate",
    "mass_delete",
    "mass_update",
]
WindowEnd = Literal["end_of_archive", "gap", "fork_missing", "damage"]
"""Why a window ends: with the last segment there is, before one that is missing though later ones
are there, before a timeline's first segment that is missing, or at WAL that cannot be replayed."""


@dataclass(frozen=True, slots=True)
class RecoverableWindow:
    """From where to where one backup can be recovered along one timeline."""

    backup: str
    timeline: int
    from_lsn: Lsn | None
    """The end of the backup: before it nothing is consistent."""
    from_time: datetime | None
    to_lsn: Lsn | None
    """The end of the last record that can be replayed, or of the last segment that is there."""
    to_time: datetime | None
    """Of the last commit before that; None if it was not looked for or there is none."""
    ends: WindowEnd
    reason: str
    """In words: which segment is missing, what is damaged and where."""
    checked: bool
    """Whether every record in it was read and its CRC compared; otherwise names tell."""


@dataclass(frozen=True, slots=True)
class BackupMark:
    """A backup on the map."""

    id: str
    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn | None
    time: datetime | None
    usable: bool


@dataclass(frozen=True, slots=True)
class NamedPoint:
    """A restore point."""

    name: str
    timeline: int
    lsn: Lsn
    time: datetime


@dataclass(frozen=True, slots=True)
class SegmentGlance:
    """One segment, once it has been read."""

    number: int
    """Its number in the log: where it begins, divided by the segment size."""
    timeline: int
    commits: int
    first_commit: Transaction | None
    last_commit: Transaction | None
    restore_points: tuple[NamedPoint, ...]
    checkpoints: tuple[Lsn, ...]
    problem: str | None
    """Why recovery does not get through it."""


@dataclass(frozen=True, slots=True)
class TimelineLane:
    """One timeline on the map: which of its segments are there."""

    info: TimelineInfo
    ranges: tuple[tuple[int, int], ...]
    """First and last number of each unbroken run of segments."""
    first_commit: Transaction | None
    last_commit: Transaction | None
    """Of the first and last segment that have one, as far as they have been read."""


@dataclass(frozen=True, slots=True)
class BeyondArchive:
    """WAL that has not been archived: lost with the old data directory, unless it is rescued."""

    segments: tuple[str, ...]
    to_lsn: Lsn
    """The end of its last record."""
    last_commit: Transaction | None


@dataclass(frozen=True, slots=True)
class TimelinePicture:
    """An archive and the backups beside it, as far as names and a few segments tell."""

    path: str
    segment_size: int
    segments: int
    bytes: int
    lanes: tuple[TimelineLane, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[ArchiveProblem, ...]
    windows: tuple[RecoverableWindow, ...]
    backups: tuple[BackupMark, ...]
    current_timeline: int | None
    """The cluster's own, if it can be told."""
    beyond: BeyondArchive | None = None
    """What only the cluster's own pg_wal has; None if there is nothing."""


@dataclass(frozen=True, slots=True)
class HitRelation:
    """A relation that an incident hit."""

    schema: str | None
    name: str | None
    """None if no catalog that was read knows it: then its OID and file are all there is to say."""
    oid: int | None
    relfilenode: int | None


@dataclass(frozen=True, slots=True)
class Incident:
    """A transaction that destroyed data, and how to stop just before it."""

    time: datetime
    xid: int
    lsn: Lsn
    """Of its commit."""
    first_lsn: Lsn
    """Of the first record that is known of it."""
    timeline: int
    kind: IncidentKind
    database: str | None
    relations: tuple[HitRelation, ...]
    rows: int | None
    share: float | None
    """Of the table's rows as the backup knew them, from 0 to 1; None if it did not know."""
    arguments: tuple[str, ...]
    """The restore options that stop just before it."""
    note: str = ""

    @property
    def command(self) -> str:
        """What was done, as SQL names it."""
        return self.kind.removeprefix("mass_").replace("_", " ").upper()


@dataclass(frozen=True, slots=True)
class CursorView:
    """What a recovery to just before a position would keep and lose, along one timeline."""

    timeline: int
    lsn: Lsn
    last_kept: Transaction | None
    first_lost: Transaction | None
    lost: int | None
    """Committed transactions after it, as far as they are known; None if none has been counted."""
    lost_is_exact: bool
    backup: str | None
    """The backup from which it can be reached; None if from none."""
    why_not: str | None
    """Why it cannot be reached."""
    arguments: tuple[str, ...]
    """The restore options that stop there."""
