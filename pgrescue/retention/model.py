"""Advice on what to keep and what may go, as commands print it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgrescue.catalog.model import Kind
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile


@dataclass(frozen=True, slots=True)
class LostSpan:
    """A part of the WAL to which nothing could be recovered any more."""

    timeline: int
    from_lsn: Lsn
    from_time: datetime | None
    to_lsn: Lsn
    """Exclusive; equal to `from_lsn` for a backup that leads to its own end only."""
    to_time: datetime | None


@dataclass(frozen=True, slots=True)
class KeptBackup:
    """A backup that stays, and everything that speaks for it."""

    id: str
    path: str
    kind: Kind | None
    time: datetime | None
    size_bytes: int
    reasons: tuple[str, ...]
    gap: str | None
    """Why recovery from it ends before the end of its timeline, where WAL is missing behind it."""


@dataclass(frozen=True, slots=True)
class RemovableBackup:
    """A backup that could go, and what would go with it."""

    id: str
    path: str
    kind: Kind | None
    time: datetime | None
    size_bytes: int
    lost: tuple[LostSpan, ...]
    """What none of the backups that stay leads to."""
    covered_by: str | None
    """The backup that leads everywhere this one does; None if there is a loss, or nothing to."""
    against: tuple[str, ...]
    """Why the policy would keep it: only for backups that were named."""


@dataclass(frozen=True, slots=True)
class NotCounted:
    """Something in the directories for backups on which nothing is built; it is left alone."""

    id: str
    path: str
    size_bytes: int
    why: str
    holds_segments: int
    """Archived segments that are kept for its sake alone."""


@dataclass(frozen=True, slots=True)
class WalCut:
    """The oldest WAL of one timeline, which no backup that stays needs."""

    timeline: int
    below: str
    """Name of the first segment that is kept."""
    first: str
    last: str
    files: int
    size_bytes: int
    """On disk, compressed where they are."""


@dataclass(frozen=True, slots=True)
class WalAdvice:
    """The archived WAL that could go."""

    archive: str | None
    cuts: tuple[WalCut, ...]
    files: tuple[ArchivedFile, ...]
    """Every file of the cuts: segments, partial segments, backup history files."""
    blocked: str | None
    """Why nothing of the archive is proposed at all."""

    @property
    def size_bytes(self) -> int:
        """What they take on disk."""
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Advice:
    """What a policy (or a choice of backups) means for what is there now."""

    policy: RetentionPolicy
    zone: str | None
    now: datetime
    kept: tuple[KeptBackup, ...]
    removable: tuple[RemovableBackup, ...]
    not_counted: tuple[NotCounted, ...]
    wal: WalAdvice
    notes: tuple[str, ...]

    @property
    def frees_bytes(self) -> int:
        """What removing all of it would free."""
        return sum(item.size_bytes for item in self.removable) + self.wal.size_bytes
