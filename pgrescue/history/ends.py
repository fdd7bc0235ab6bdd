"""The ends of transactions along a line of segments, exactly."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.sift import EndRows, transaction_ends
from pgrescue.wal.stretch import Piece, crossing_piece, single, walk_of
from pgrescue.wal.summary import Ends, Mark

LOOKED_BACK = 16
"""Segments at the end of a window, or at its beginning, in which its last commit, or its first, is
looked for, unless all are read."""


class LineEnds:
    """Ends by segment: each belongs to the one in which its record begins."""

    def __init__(self, index: WalIndex, refs: Sequence[SegmentRef]) -> None:
        self._index, self.refs = index, refs

    def commits(self, number: int) -> Ends:
        """The commits of one segment, given by its place in the line."""
        own = self._index.summary(self.refs[number]).found.commits
        crossing = self._crossing(number)
        return own.followed_by(crossing.found.commits) if crossing is not None else own

    def rows(self, number: int) -> EndRows:
        """Every commit and abort of one segment."""
        ref = self.refs[number]
        major = self._index.summary(ref).major or 0
        parts = [transaction_ends(batch, major)[0] for batch in walk_of(ref).batches()]
        crossing = self._crossing(number)
        if crossing is not None and crossing.crossing is not None:
            parts.append(transaction_ends(single(crossing.crossing, crossing.start), major)[0])
        return EndRows.joined(parts)

    def first_after(self, number: int, time: int) -> Mark | None:
        """The first commit of one segment that is later than a time."""
        if not (commits := self.commits(number)).count or commits.max_time <= time:
            return None
        rows = self.rows(number)
        later = np.flatnonzero(rows.commits & (rows.times > time))
        return rows.mark(int(later[0])) if len(later) else None

    def first_from(self, number: int, position: Lsn) -> Mark | None:
        """The first commit of one segment at or behind a position."""
        return self._beside(number, position, before=False)

    def last_before(self, number: int, position: Lsn) -> Mark | None:
        """The last commit of one segment before a position."""
        return self._beside(number, position, before=True)

    def _beside(self, number: int, position: Lsn, *, before: bool) -> Mark | None:
        commits = self.commits(number)
        if commits.first is None or commits.last is None:
            return None
        if before and commits.last.position < position:
            return commits.last
        if not before and commits.first.position >= position:
            return commits.first
        rows = self.rows(number)
        limit = np.uint64(position)
        side = rows.positions < limit if before else rows.positions >= limit
        found = np.flatnonzero(rows.commits & side)
        return rows.mark(int(found[-1 if before else 0])) if len(found) else None

    def _crossing(self, number: int) -> Piece | None:
        return crossing_piece(self._index, self.refs[number:])


def last_commit(index: WalIndex, refs: Sequence[SegmentRef]) -> Mark | None:
    """The last commit in the last segments, read from the end backwards."""
    ends = LineEnds(index, refs[-LOOKED_BACK:])
    marks = (ends.commits(number).last for number in reversed(range(len(ends.refs))))
    return next((mark for mark in marks if mark is not None), None)


def first_commit(index: WalIndex, refs: Sequence[SegmentRef], since: Lsn) -> Mark | None:
    """The first commit from a position on, in the first segments."""
    ends = LineEnds(index, refs[:LOOKED_BACK])
    marks = (ends.first_from(number, since) for number in range(len(ends.refs)))
    return next((mark for mark in marks if mark is not None), None)
