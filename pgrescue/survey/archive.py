"""The WAL archive and how far its WAL reaches."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.compression import SHELL_DECOMPRESSORS, split_ending
from pgrescue.config.model import ClusterConfig
from pgrescue.history.own_wal import own_segments
from pgrescue.plan.facts import ArchiveFacts, WalReach
from pgrescue.postgres.account import Account, can_access
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile, WalArchive, history_of, scan_archive
from pgrescue.wal.recovery_path import RecoveryPath, recovery_path
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE


def listed_archive(config: ClusterConfig) -> WalArchive | None:
    """The configured archive directory, or None if there is none or it cannot be listed."""
    try:
        return None if config.wal_archive is None else scan_archive(config.wal_archive)
    except OSError:
        return None


def look_at_archive(
    config: ClusterConfig, owner: Account
) -> tuple[ArchiveFacts, WalArchive | None]:
    """List the configured archive directory, from which `owner` will have to fetch WAL."""
    if config.wal_archive is None:
        return _facts(None, config.restore_command, None, None, None), None
    path = Path(os.path.realpath(config.wal_archive))
    try:
        archive = scan_archive(path)
    except OSError as error:
        problem = error.strerror or str(error)
        return _facts(str(path), config.restore_command, None, problem, None), None
    readable = can_access(owner, archive.path)
    return _facts(str(archive.path), config.restore_command, archive, None, readable), archive


def _facts(
    path: str | None,
    command: str | None,
    archive: WalArchive | None,
    problem: str | None,
    readable: bool | None,
) -> ArchiveFacts:
    endings: set[str] = set()
    identifier: str | None = None
    if archive is not None:
        endings = {split_ending(file.path.name)[1] for file in archive.segments.values()} - {""}
        identifier = _system_identifier(archive)
    return ArchiveFacts(
        path=path,
        restore_command=command,
        listed=archive is not None,
        problem=problem,
        segment_count=len(archive.segments) if archive else 0,
        histories=dict(archive.histories) if archive else {},
        system_identifier=identifier,
        owner_can_read=readable,
        missing_programs=tuple(sorted(_decompressors(endings))),
    )


def _decompressors(endings: set[str]) -> set[str]:
    """The programs for these endings that are not installed."""
    programs = {SHELL_DECOMPRESSORS[ending].split()[0] for ending in endings}
    return {program for program in programs if shutil.which(program) is None}


def _system_identifier(archive: WalArchive) -> str | None:
    """From the newest segment with a readable header; a damaged last one must not hide it."""
    for name in sorted(archive.segments, reverse=True)[:8]:
        header = archive.header(name)
        if header is not None:
            return header.system_identifier
    return None


def with_own_histories(facts: ArchiveFacts, places: Sequence[Path]) -> ArchiveFacts:
    """With the timelines that only the old cluster's `pg_wal`, or what was rescued of it, knows."""
    own = [scanned.histories for place in reversed(places) if (scanned := _scanned(place))]
    known = {number: history for found in own for number, history in found.items()}
    return replace(facts, histories={**known, **facts.histories})


def _scanned(place: Path) -> WalArchive | None:
    with suppress(OSError):  # it is gone, or was never there
        return scan_archive(place)
    return None


@dataclass(frozen=True, slots=True)
class WalAtHand:
    """All the WAL that a recovery from one backup can get at."""

    backup: Backup
    full: Backup
    """What its chain begins with: itself, unless it is incremental."""
    archive: WalArchive | None
    histories: Mapping[int, TimelineHistory]
    tail: Mapping[str, Path]
    """Segments that the archive lacks, and where they are."""
    pg_wal: Path
    """Of the old cluster."""

    @property
    def segment_size(self) -> int:
        """As the backup's cluster has it."""
        details = self.backup.details
        return (details.wal_segment_size if details else None) or DEFAULT_SEGMENT_SIZE

    def path(self, timeline: int) -> RecoveryPath:
        """The files from the backup's start along a timeline."""
        size = self.segment_size
        archived = self.archive.segments if self.archive else {}
        tail = {name: ArchivedFile(name, str(path), size) for name, path in self.tail.items()}
        combined = WalArchive(
            path=self.pg_wal,
            segments={
                **own_segments(self.backup, size),
                **archived,
                # What the archive has of these is cut off or damaged.
                **tail,
            },
            histories=dict(self.histories),
            backup_histories={},
            problems=(),
        )
        history = history_of(timeline, combined.histories)
        return recovery_path(combined, history, self.backup.start_lsn or Lsn(0), size)

    def forks(self, timeline: int) -> tuple[Lsn, ...]:
        """Where the way from the backup to a timeline goes over to another one."""
        start = self.backup.start_lsn or Lsn(0)
        history = history_of(timeline, dict(self.histories))
        return tuple(item.switch_lsn for item in history.ancestors if item.switch_lsn >= start)

    def reach(self, timeline: int, path: RecoveryPath) -> WalReach:
        """How far that goes, by names."""
        size, resumes = self.segment_size, path.resumes_at
        return WalReach(
            timeline=timeline,
            end=Lsn((path.steps[-1].number + 1) * size) if path.steps else None,
            missing=path.missing.name(size),
            from_tail=tuple(self.tail),
            resumes_at=resumes.name(size) if resumes else None,
            fork_missing=path.fork_missing,
            only_partial=bool(self.archive and path.missing.name(size) in self.archive.partials),
            first=path.steps[0].name if path.steps else None,
            last=path.steps[-1].name if path.steps else None,
        )
