"""Segments along lines of descent, and moments found in them by halving."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.errors import UsageError
from pgrescue.history.ends import LineEnds
from pgrescue.history.way import ref_of
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import WalArchive, history_of
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.recovery_path import Descent


class Lines:
    """The lines of one archive, each put together once."""

    def __init__(self, archive: WalArchive, segment_size: int) -> None:
        self.archive, self.segment_size = archive, segment_size
        self._lines: dict[int, list[SegmentRef]] = {}

    @property
    def timelines(self) -> list[int]:
        """Every timeline that has segments."""
        return sorted({int(name[:8], 16) for name in self.archive.segments})

    def of(self, timeline: int) -> list[SegmentRef]:
        """A timeline's segments and those of its ancestors before it; raises `UsageError`."""
        if timeline not in self._lines:
            known = {*self.timelines, *self.archive.histories}
            if timeline not in known:
                raise UsageError(
                    f"There is no timeline {timeline} in the archive.",
                    f"There are: {', '.join(map(str, sorted(known))) or 'none'}.",
                )
            self._lines[timeline] = line_of(self.archive, timeline, self.segment_size)
        return self._lines[timeline]

    def begin_of(self, timeline: int) -> Lsn:
        """Where a timeline left its parent; 0 for one without."""
        ancestors = history_of(timeline, self.archive.histories).ancestors
        return ancestors[-1].switch_lsn if ancestors else Lsn(0)


def line_of(archive: WalArchive, timeline: int, segment_size: int) -> list[SegmentRef]:
    """The archived segments of a timeline and, before its fork, of its ancestors."""
    descent = Descent(history_of(timeline, archive.histories), segment_size)
    refs: list[SegmentRef] = []
    for index, number in enumerate(descent.timelines):
        begin, end = descent.begins[index], descent.end(index)
        prefix = f"{number:08X}"
        for name in sorted(name for name in archive.segments if name.startswith(prefix)):
            ref = ref_of(archive.segments[name], segment_size)
            if int(ref.start) // segment_size >= begin and (
                end is None or int(ref.start) // segment_size < end
            ):
                refs.append(ref)
    return refs


def unbroken_runs(refs: Sequence[SegmentRef], segment_size: int) -> list[list[SegmentRef]]:
    """Split where a segment is missing."""
    runs: list[list[SegmentRef]] = []
    for ref in refs:
        if runs and ref.start == runs[-1][-1].start + segment_size:
            runs[-1].append(ref)
        else:
            runs.append([ref])
    return runs


def locate(index: WalIndex, refs: Sequence[SegmentRef], time: int) -> Lsn | None:
    """The first commit later than a time, in segments whose times rise; None if none is later.

    A few dozen segments are read, however many there are: where the clock was set back, it is one
    of the commits around the step.
    """
    ends = LineEnds(index, refs)
    low, high = 0, len(refs)
    found: Lsn | None = None
    while low < high:
        middle = (low + high) // 2
        number = next((at for at in range(middle, high) if ends.commits(at).count), None)
        later = ends.first_after(number, time) if number is not None else None
        if later is not None:
            found = later.position
        if number is None or later is not None:
            high = middle
        else:
            low = number + 1
    return found
