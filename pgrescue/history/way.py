"""The files of a recovery as segments to read, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.history.own_wal import SegmentInTar, TarSegments
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile
from pgrescue.wal.index import SegmentRef
from pgrescue.wal.pages import SegmentFile, WalSource
from pgrescue.wal.recovery_path import PathStep
from pgrescue.wal.segment import SegmentId


def segment_refs(steps: Sequence[PathStep], segment_size: int) -> list[SegmentRef]:
    """References to the files of a recovery path, in their order."""
    inside: dict[str, list[str]] = {}
    for step in steps:
        location = str(step.file.location)
        if not _is_its_own(location, step.name):
            inside.setdefault(location, []).append(step.name)
    tars = {location: TarSegments(location, names) for location, names in inside.items()}
    return [
        SegmentRef(
            step.name,
            step.timeline,
            Lsn(step.number * segment_size),
            _source(str(step.file.location), step.name, tars),
        )
        for step in steps
    ]


def ref_of(file: ArchivedFile, segment_size: int) -> SegmentRef:
    """A reference to one archived segment."""
    segment = SegmentId.parse(file.name, segment_size)
    (ref,) = segment_refs(
        (PathStep(segment.number, segment.timeline, file.name, file),), segment_size
    )
    return ref


def _source(location: str, name: str, tars: dict[str, TarSegments]) -> WalSource:
    tar = tars.get(location)
    return SegmentFile(location) if tar is None else SegmentInTar(tar, name)


def _is_its_own(location: str, name: str) -> bool:
    """A file of its own begins with the segment's name; any other is a backup's tar file."""
    return location.rpartition("/")[2].startswith(name)
