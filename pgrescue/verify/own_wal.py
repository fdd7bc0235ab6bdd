"""The WAL that a backup carries to become consistent: is it there, and can it be replayed?"""

from __future__ import annotations

from pgrescue.catalog.model import Backup, BackupDetails
from pgrescue.history.own_wal import own_segments
from pgrescue.history.way import segment_refs
from pgrescue.postgres.lsn import Lsn
from pgrescue.verify.model import FileProblem
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.recovery_path import PathStep
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId
from pgrescue.wal.stretch import read_stretch


def check_own_wal(backup: Backup, must_carry: bool = False) -> list[FileProblem]:
    """Read every record from the backup's start to its end.

    A backup may leave its WAL to the archive, unless it `must_carry` it.
    """
    details = backup.details
    if details is None or backup.start_lsn is None:
        return []
    size = details.wal_segment_size or DEFAULT_SEGMENT_SIZE
    if details.wal_inside == "none":
        return _nothing_inside(backup, details, size, must_carry)
    files = own_segments(backup, size)
    steps = []
    for name, file in sorted(files.items(), key=lambda item: SegmentId.parse(item[0], size)):
        segment = SegmentId.parse(name, size)
        steps.append(PathStep(segment.number, segment.timeline, name, file))
    first = SegmentId.at(backup.start_lsn, backup.timeline or 1, size).name(size)
    steps = [step for step in steps if step.name >= first]
    if not steps or steps[0].name != first:
        return [_problem(first, f"{first}, with which its WAL begins, is not in the backup.")]
    refs = segment_refs(steps, size)
    index = WalIndex(IndexStore(None), 0)
    stretch = read_stretch(index, refs, backup.start_lsn, checked=True)
    if stretch is None:
        reason = index.summary(refs[0]).reason
        return [_problem(first, f"{first} holds no WAL of this cluster: {reason}.")]
    needed = backup.stop_lsn or backup.start_lsn
    if stretch.end < needed:
        reason = stretch.reason or "it ends there"
        return [
            _problem(
                stretch.segment,
                f"Its WAL can be replayed to {stretch.end} only, and must be to {needed}: "
                f"{stretch.segment}: {reason}.",
            )
        ]
    return []


def _nothing_inside(
    backup: Backup, details: BackupDetails, size: int, must_carry: bool
) -> list[FileProblem]:
    if details.wal_archive is None and not must_carry:
        return []
    first = SegmentId.at(backup.start_lsn or Lsn(0), backup.timeline or 1, size).name(size)
    place = details.wal_archive or "its pg_wal"
    return [_problem(first, f"{first}, with which its WAL begins, is not in {place}.")]


def _problem(name: str, message: str) -> FileProblem:
    return FileProblem(f"pg_wal/{name}", "wal", message)
