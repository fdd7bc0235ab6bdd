"""What would be lost without the WAL that only the old cluster's `pg_wal` has."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgrescue.plan.model import WalTail
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.stretch import Stretch, read_stretch
from pgrescue.wal.summary import Mark
from pgrescue.wal.transactions import moment_of

_LOOKED_BACK = 64
"""Segments before the tail in which the last commit that is elsewhere, too, is looked for."""


def look_into_tail(
    index: WalIndex,
    names: tuple[str, ...],
    tail: Sequence[SegmentRef],
    before: Sequence[SegmentRef],
    boundary: Lsn | None,
) -> WalTail:
    """Count the commits in `tail` that recovery would replay, and the time that they span.

    `before`: the segments on the way to it. `boundary`: records from there on are not replayed;
    None: all are.
    """
    stretch = read_stretch(index, tail, tail[0].start) if tail else None
    if stretch is None:
        return WalTail(names, None if tail else 0, None, None)
    count, first, last = _commits(stretch, boundary)
    if first is None or last is None:
        return WalTail(names, 0, 0.0, None)
    known = _last_commit(index, before) or first
    seconds = max(last.time - known.time, 0) / 1e6
    return WalTail(names, count, round(seconds, 3), moment_of(last.time))


def _commits(stretch: Stretch, boundary: Lsn | None) -> tuple[int, Mark | None, Mark | None]:
    """How many there are before the boundary, the first and the last of them."""
    count, marks = 0, list[Mark]()
    for number, piece in enumerate(stretch.pieces):
        if boundary is not None and piece.start >= boundary:
            break
        ends = piece.found.commits
        if boundary is None or piece.end <= boundary:
            count += ends.count
            marks += [mark for mark in (ends.first, ends.last) if mark is not None]
            continue
        rows = stretch.ends_of(number)
        inside = np.flatnonzero(rows.commits & (rows.positions < np.uint64(boundary))).tolist()
        count += len(inside)
        marks += [rows.mark(at) for at in inside]
    return count, marks[0] if marks else None, marks[-1] if marks else None


def _last_commit(index: WalIndex, refs: Sequence[SegmentRef]) -> Mark | None:
    for ref in reversed(refs[-_LOOKED_BACK:]):
        last = index.summary(ref).found.commits.last
        if last is not None:
            return last
    return None
