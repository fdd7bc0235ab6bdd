"""What the WAL archive adds to a backup: when it stopped, and how far it can be brought.

Nothing of this is kept in a cache: the archive changes every minute.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from pgrescue.catalog.look import file_time
from pgrescue.catalog.model import Backup, BackupDetails, Problem, Window
from pgrescue.compression import DECOMPRESSION_ERRORS, open_decompressed
from pgrescue.errors import PgRescueError
from pgrescue.postgres.backup_label import BackupLabel, parse_backup_label
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile, WalArchive, history_of
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId

_UNREADABLE: tuple[type[Exception], ...] = (PgRescueError, *DECOMPRESSION_ERRORS)
WAL_PROBLEMS = ("no_wal", "wal_missing")
"""Codes of problems that more WAL, inside or in the archive, would cure."""


def with_window(backup: Backup, archive: WalArchive | None) -> Backup:
    """The backup with its recoverable window, or with the problem that it has none.

    The window is that of the backup's own timeline, from the end of the backup to the end of the
    last archived segment that follows without a hole; without an archive it is a single point.
    """
    details = backup.details
    if details is None or backup.start_lsn is None or backup.timeline is None:
        return backup
    size = details.wal_segment_size or _segment_size(archive)
    start = SegmentId.at(backup.start_lsn, backup.timeline, size)
    if archive is not None and (owner := _other_owner(backup, archive, start.name(size))):
        message = f"The WAL archive {archive.path} is of another cluster, {owner}."
        backup = backup.with_problem(Problem("archive_foreign", message, fatal=False))
        archive = None
    if archive is not None:
        backup = _with_stop(backup, details, archive, size)
    if not backup.usable:
        return backup
    if archive is None and details.wal_inside == "none":
        return backup.with_problem(
            Problem("no_wal", "It holds no WAL itself, and no archive is known that has it.")
        )
    missing = _first_missing(backup, details, archive, start, size)
    if missing is not None:
        return backup.with_problem(
            Problem(
                "wal_missing",
                f"WAL segment {missing}, without which it cannot become consistent, is neither "
                f"inside nor {'in ' + str(archive.path) if archive else 'in any archive'}.",
            )
        )
    return replace(backup, window=_window(backup, details, archive, size))


def _window(
    backup: Backup, details: BackupDetails, archive: WalArchive | None, size: int
) -> Window:
    timeline = backup.timeline or 0
    end = None
    if archive is not None:
        history = history_of(timeline, archive.histories)
        last = _last_segment(backup, size)
        end, _ = archive.continuous_end(last.start(size), history, size)
        if end is None and not details.from_standby:
            # The backup's own copy of its last segment is whole: a primary switched WAL there.
            end, _ = archive.continuous_end(last.end(size), history, size)
    return Window(
        from_lsn=backup.stop_lsn,
        from_time=backup.stopped_at,
        to_lsn=end or backup.stop_lsn,
        to_time=None if end else backup.stopped_at,
        timeline=timeline,
    )


def _first_missing(
    backup: Backup,
    details: BackupDetails,
    archive: WalArchive | None,
    start: SegmentId,
    size: int,
) -> str | None:
    """The first segment from the backup's start to its stop that is nowhere."""
    if details.wal_inside != "none" and not details.wal_segments:
        return None  # not all was looked at, and pg_basebackup puts all of it there
    inside = set(details.wal_segments)
    for number in range(start.number, _last_segment(backup, size).number + 1):
        name = SegmentId(number, start.timeline).name(size)
        if name not in inside and (archive is None or name not in archive.segments):
            return name
    return None


def _last_segment(backup: Backup, size: int) -> SegmentId:
    """The segment with the last byte that the backup needs; its first one if that is unknown."""
    timeline = backup.timeline or 0
    if backup.stop_lsn is not None:
        return SegmentId.before(backup.stop_lsn, timeline, size)
    return SegmentId.at(backup.start_lsn or Lsn(0), timeline, size)


def _segment_size(archive: WalArchive | None) -> int:
    first = next(iter(archive.segments), None) if archive else None
    header = archive.header(first) if archive and first else None
    return header.segment_size if header else DEFAULT_SEGMENT_SIZE


def _other_owner(backup: Backup, archive: WalArchive, segment: str) -> str | None:
    """The system identifier of the archive's copy of a segment, if it is not the backup's."""
    header = archive.header(segment)
    if header is None or backup.system_identifier in (None, header.system_identifier):
        return None
    return header.system_identifier


def _with_stop(backup: Backup, details: BackupDetails, archive: WalArchive, size: int) -> Backup:
    """Stop position and time from the history file that the server archived at the end."""
    start = backup.start_lsn or Lsn(0)
    segment = SegmentId.at(start, backup.timeline or 0, size).name(size)
    file = archive.backup_histories.get(f"{segment}.{start % size:08X}.backup")
    stated = _read(file) if file else None
    if file is None or stated is None or stated.checkpoint_lsn != details.checkpoint_lsn:
        return backup
    return replace(
        backup,
        stop_lsn=backup.stop_lsn or stated.stop_lsn,
        stopped_at=_stopped_at(backup.started_at, stated, file) or backup.stopped_at,
    )


def _stopped_at(
    started: datetime | None, stated: BackupLabel, file: ArchivedFile
) -> datetime | None:
    if started is None or stated.started is None or stated.stopped is None:
        return None
    if stated.started.zone == stated.stopped.zone:
        return started + (stated.stopped.naive - stated.started.naive)
    stopped = stated.stopped.in_utc(near=file_time(file.path))
    return stopped if stopped is not None and stopped >= started else None


def _read(file: ArchivedFile) -> BackupLabel | None:
    """A history file that cannot be read costs a time stamp, not the backup."""
    try:
        with open_decompressed(file.path) as stream:
            return parse_backup_label(stream.read().decode(errors="replace"))
    except _UNREADABLE:
        return None
