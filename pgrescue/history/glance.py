"""One segment of an archive, looked at closely."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pgrescue.history.ends import LineEnds
from pgrescue.history.model import NamedPoint, SegmentGlance
from pgrescue.history.stop_point import transaction_of
from pgrescue.plan.model import Transaction
from pgrescue.wal.events import Checkpoint, RestorePoint
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.transactions import moment_of


def glance_at(index: WalIndex, refs: Sequence[SegmentRef], number: int) -> SegmentGlance:
    """What is in one segment of a line, given by its place there."""
    ref = refs[number]
    summary = index.summary(ref)
    commits = LineEnds(index, refs).commits(number)
    events = summary.found.events
    return SegmentGlance(
        number=int(ref.start) // (summary.segment_size or 1),
        timeline=ref.timeline,
        commits=commits.count,
        first_commit=transaction_of(commits.first),
        last_commit=transaction_of(commits.last),
        restore_points=tuple(
            NamedPoint(event.name, ref.timeline, event.position, moment_of(event.time))
            for event in events
            if isinstance(event, RestorePoint)
        ),
        checkpoints=tuple(event.position for event in events if isinstance(event, Checkpoint)),
        problem=None if summary.is_whole else summary.reason or summary.end_kind,
    )


def commits_of(index: WalIndex, refs: Sequence[SegmentRef], number: int) -> list[Transaction]:
    """Every commit of one segment of a line."""
    rows = LineEnds(index, refs).rows(number)
    marks = (rows.mark(at) for at in np.flatnonzero(rows.commits).tolist())
    return [Transaction(mark.xid, moment_of(mark.time), mark.position) for mark in marks]
