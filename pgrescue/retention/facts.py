"""What was found before anything is advised: observations only, no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.history.model import RecoverableWindow
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import WalArchive


@dataclass(frozen=True, slots=True)
class RetentionFacts:
    """The catalog, the archive's names, and how far each backup leads."""

    now: datetime
    zone: str | None
    """The operator's time zone, in which weeks and months begin; None is the system's own."""
    system_identifier: str | None
    """Of the cluster that the configuration means, as far as it is known."""
    current_timeline: int | None
    """The cluster's own, if it can be told."""
    backups: tuple[Backup, ...]
    """The catalog: whatever is in the configured directories, usable or not."""
    windows: tuple[RecoverableWindow, ...]
    archive: WalArchive | None
    archive_identifier: str | None
    """System identifier in the headers of most of the archive's segments."""
    archive_problem: str | None
    """Why there is an archive that could not be listed."""
    segment_size: int
    """Bytes, as the archive has it."""
    empty_roots: tuple[str, ...] = ()
    """Configured directories in which there is nothing at all: perhaps not mounted."""
    immovable: Mapping[str, str] = field(default_factory=dict)
    """Backups (by id) that cannot be taken out of their place by a rename, and why."""
    current_lsn: Lsn | None = None
    """How far the cluster's own files are for certain: what starts behind it does not lead there.
    """
    own_histories: Mapping[int, TimelineHistory] = field(default_factory=dict)
    """Histories in the data directory: of a new timeline's the archive may have none yet."""
    elsewhere: tuple[Backup, ...] = ()
    """Backups outside the catalog that may need this archive's WAL: in the directories of other
    clusters that share it, where earlier runs have put them, and those set aside by removals."""
    unfinished_backups: tuple[str, ...] = ()
    """Backups, in words, that may be at work and whose first WAL is not known."""
