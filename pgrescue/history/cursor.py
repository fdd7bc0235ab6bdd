"""What lies on both sides of a position, along one line of segments."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np

from pgrescue.history.ends import LineEnds
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.summary import Mark

_LOOKED_AROUND = 512
"""Segments in each direction in which the nearest commit is looked for."""


class Cursor:
    """A position, asked for the commits before and behind it."""

    def __init__(self, index: WalIndex, refs: Sequence[SegmentRef], lsn: Lsn) -> None:
        self._index, self._refs, self._lsn = index, refs, lsn
        self._ends = LineEnds(index, refs)
        self._at = max(bisect_right(refs, lsn, key=lambda ref: ref.start) - 1, 0)

    def around(self) -> tuple[Mark | None, Mark | None]:
        """The last commit before the position, and the first one at or behind it."""
        low, high = max(self._at - _LOOKED_AROUND, -1), self._at + _LOOKED_AROUND
        backwards = range(min(self._at, len(self._refs) - 1), low, -1)
        forwards = range(self._at, min(high, len(self._refs)))
        before = (self._ends.last_before(number, self._lsn) for number in backwards)
        behind = (self._ends.first_from(number, self._lsn) for number in forwards)
        return (
            next((mark for mark in before if mark is not None), None),
            next((mark for mark in behind if mark is not None), None),
        )

    def lost(self) -> tuple[int, bool]:
        """Commits behind the position in what has been read so far, and whether that is all."""
        count, exact = 0, True
        for number in range(self._at, len(self._refs)):
            if self._index.in_memory(self._refs[number]) is None:
                exact = False
                continue
            commits = self._ends.commits(number)
            if commits.first is None or commits.first.position >= self._lsn:
                count += commits.count
            elif commits.last is not None and commits.last.position >= self._lsn:
                rows = self._ends.rows(number)
                count += int((rows.commits & (rows.positions >= np.uint64(self._lsn))).sum())
        return count, exact
