"""Segments along lines of descent, and moments found in them by halving."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgrescue.history.ends import ends_in
from pgrescue.history.picture import ref_of
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import WalArchive, history_of
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.recovery_path import Descent


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
    low, high = 0, len(refs)
    found: Lsn | None = None
    while low < high:
        middle = (low + high) // 2
        number = next(
            (at for at in range(middle, high) if index.summary(refs[at]).found.commits.count), None
        )
        later = _first_after(index, refs[number], time) if number is not None else None
        if later is not None:
            found = later
        if number is None or later is not None:
            high = middle
        else:
            low = number + 1
    return found


def _first_after(index: WalIndex, ref: SegmentRef, time: int) -> Lsn | None:
    summary = index.summary(ref)
    if not summary.found.commits.count or summary.found.commits.max_time <= time:
        return None
    rows = ends_in(ref, summary.major or 0)
    later = np.flatnonzero(rows.commits & (rows.times > time))
    return rows.mark(int(later[0])).position if len(later) else None
