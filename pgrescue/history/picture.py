"""An archive as a picture: lanes, gaps, windows, backups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pgrescue.catalog.model import Backup
from pgrescue.history.ends import LOOKED_BACK, first_commit, last_commit
from pgrescue.history.model import BackupMark, BeyondArchive, TimelineLane, TimelinePicture
from pgrescue.history.stop_point import transaction_of
from pgrescue.history.way import ref_of
from pgrescue.history.windows import WindowReader
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import WalArchive
from pgrescue.wal.index import Progress, WalIndex
from pgrescue.wal.timelines import TimelineInfo, archive_picture


def picture_of(
    archive: WalArchive,
    segment_size: int,
    backups: Sequence[Backup],
    index: WalIndex,
    *,
    current_timeline: int | None,
    beyond: BeyondArchive | None = None,
    checked: bool = False,
    progress: Progress | None = None,
) -> TimelinePicture:
    """Put together what names tell, and read the few segments that hold first and last commits.

    With `checked` every record of every window is read and compared with its CRC.
    """
    found = archive_picture(archive, segment_size)
    reader = WindowReader(archive, index, segment_size)
    return TimelinePicture(
        path=str(archive.path),
        segment_size=segment_size,
        segments=found.segments,
        bytes=found.bytes,
        lanes=tuple(_lane(archive, info, segment_size, index) for info in found.timelines),
        gaps=found.gaps,
        problems=found.problems,
        windows=tuple(reader.windows(backups, checked=checked, progress=progress)),
        backups=tuple(_mark(backup) for backup in backups if backup.start_lsn is not None),
        current_timeline=current_timeline,
        beyond=beyond,
    )


def _lane(
    archive: WalArchive, info: TimelineInfo, segment_size: int, index: WalIndex
) -> TimelineLane:
    prefix = f"{info.id:08X}"
    names = sorted(name for name in archive.segments if name.startswith(prefix))
    few = [
        [ref_of(archive.segments[name], segment_size) for name in some]
        for some in (names[:LOOKED_BACK], names[-LOOKED_BACK:])
    ]
    return TimelineLane(
        info=info,
        ranges=tuple(_ranges(archive.numbers(info.id, segment_size))),
        first_commit=transaction_of(first_commit(index, few[0], info.forked_at or Lsn(0))),
        last_commit=transaction_of(last_commit(index, few[1])),
    )


def _ranges(numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
    first = last = None
    for number in numbers:
        if last is None or number != last + 1:
            if first is not None and last is not None:
                yield first, last
            first = number
        last = number
    if first is not None and last is not None:
        yield first, last


def _mark(backup: Backup) -> BackupMark:
    return BackupMark(
        id=backup.id,
        timeline=backup.timeline or 1,
        start_lsn=backup.start_lsn or Lsn(0),
        stop_lsn=backup.stop_lsn,
        time=backup.stopped_at or backup.started_at,
        usable=backup.usable,
    )
