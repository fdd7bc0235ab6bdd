"""Where recovery will stop: PostgreSQL's own rules, applied to the WAL beforehand.

As `recoveryStopsBefore` and `recoveryStopsAfter` in
`src/backend/access/transam/xlogrecovery.c` (12 to 14: `xlog.c`): only ends of transactions count
for times and ids, the first match in the order of the WAL decides, positions are compared with
where a record begins, a restore point is always included. Prepared transactions count when they
are committed or rolled back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pgrescue.history.nearest import (
    before_consistency,
    beyond_the_end,
    no_such_name,
    no_such_transaction,
    not_consistent,
)
from pgrescue.plan.foretold import Unreachable
from pgrescue.plan.model import Stop, StopKind, Transaction
from pgrescue.plan.target import Target
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import BackupEnd, RestorePoint
from pgrescue.wal.pages import end_of
from pgrescue.wal.sift import EndRows
from pgrescue.wal.stretch import Stretch
from pgrescue.wal.summary import Ends, Mark
from pgrescue.wal.transactions import microseconds_of, moment_of


@dataclass(frozen=True, slots=True)
class StopRecord:
    """The record at which recovery stops."""

    position: Lsn
    after: bool
    """Whether it is replayed itself."""
    end: Lsn
    """The position after it."""
    mark: Mark | None = None
    """The transaction that it ends, if it ends one."""

    @property
    def boundary(self) -> Lsn:
        """Records that begin before this position are replayed, others are not."""
        return Lsn(self.position + 1) if self.after else self.position

    @property
    def replayed_to(self) -> Lsn:
        """The end of the last record that is replayed."""
        return self.end if self.after else self.position


@dataclass(frozen=True, slots=True)
class StopPoint:
    """The answer: where, and which transactions are kept; or why it cannot be reached."""

    stop: Stop
    boundary: Lsn
    """Records that begin before this position are replayed, others are not."""
    unreachable: Unreachable | None


def stop_point(
    stretch: Stretch, target: Target, consistent: Lsn | None, timeline: int
) -> StopPoint:
    """Apply a target to the WAL from the backup's start on.

    `consistent` is where the backup's end makes recovery consistent; None if the WAL does not get
    so far.
    """
    if consistent is None or stretch.end < consistent:
        return _missed(stretch, target, not_consistent(stretch), timeline)
    record = _find(stretch, target, consistent)
    if target.kind == "latest":
        return _reached(stretch, target, _end(stretch), timeline)
    if record is None:
        return _missed(stretch, target, _not_found(stretch, target, consistent), timeline)
    if record.replayed_to < consistent:
        too_early = before_consistency(stretch, target, record.position, consistent)
        return _missed(stretch, target, too_early, timeline)
    return _reached(stretch, target, record, timeline)


def _find(stretch: Stretch, target: Target, consistent: Lsn | None) -> StopRecord | None:
    match target.kind:
        case "time":
            assert target.time is not None
            return _at_time(stretch, microseconds_of(target.time), target.inclusive)
        case "xid":
            assert target.xid is not None
            return _at_xid(stretch, target.xid & 0xFFFFFFFF, target.inclusive)
        case "lsn":
            assert target.lsn is not None
            return _at_position(stretch, target.lsn, target.inclusive)
        case "name":
            return _at_name(stretch, target.name or "")
        case "immediate":
            return _at_consistency(stretch, consistent)
        case _:
            return None


def _at_time(stretch: Stretch, time: int, inclusive: bool) -> StopRecord | None:
    """Before the first end of a transaction that is later; exclusive: or at that very time."""
    limit = time + 1 if inclusive else time

    def may_have(ends: Ends) -> bool:
        return ends.count > 0 and ends.max_time >= limit

    return _first_end(stretch, may_have, lambda rows: rows.times >= limit, after=False)


def _at_xid(stretch: Stretch, xid: int, inclusive: bool) -> StopRecord | None:
    def may_have(ends: Ends) -> bool:
        return ends.count > 0 and ends.min_xid <= xid <= ends.max_xid

    return _first_end(stretch, may_have, lambda rows: rows.xids == np.uint32(xid), after=inclusive)


def _first_end(
    stretch: Stretch,
    may_have: Callable[[Ends], bool],
    wanted: Callable[[EndRows], npt.NDArray[np.bool_]],
    *,
    after: bool,
) -> StopRecord | None:
    for index, piece in enumerate(stretch.pieces):
        if not (may_have(piece.found.commits) or may_have(piece.found.aborts)):
            continue
        rows = stretch.ends_of(index)
        found = np.flatnonzero(wanted(rows))
        if len(found):
            mark = rows.mark(int(found[0]))
            return StopRecord(
                mark.position, after, _end_of_record(stretch, index, mark.position), mark
            )
    return None


def _at_position(stretch: Stretch, lsn: Lsn, inclusive: bool) -> StopRecord | None:
    """The first record that begins at or after a position."""
    for index in range(max(stretch.piece_at(lsn), 0), len(stretch.pieces)):
        if stretch.pieces[index].end <= lsn:
            continue
        for batch in stretch.records_of(index):
            at = int(np.searchsorted(batch.positions, np.uint64(lsn)))
            if at < len(batch):
                position = Lsn(batch.positions[at])
                end = end_of(position, int(batch.lengths[at]), stretch.segment_size)
                mark = _mark_at(stretch, index, position)
                return StopRecord(position, inclusive, end, mark)
    return None


def _at_name(stretch: Stretch, name: str) -> StopRecord | None:
    for index, piece in enumerate(stretch.pieces):
        for event in piece.found.events:
            if isinstance(event, RestorePoint) and event.name == name:
                end = _end_of_record(stretch, index, event.position)
                return StopRecord(event.position, True, end)
    return None


def _at_consistency(stretch: Stretch, consistent: Lsn | None) -> StopRecord | None:
    return None if consistent is None else StopRecord(consistent, False, consistent)


def _end(stretch: Stretch) -> StopRecord:
    return StopRecord(stretch.end, False, stretch.end)


def _end_of_record(stretch: Stretch, index: int, position: Lsn) -> Lsn:
    for batch in stretch.records_of(index):
        at = int(np.searchsorted(batch.positions, np.uint64(position)))
        if at < len(batch) and batch.positions[at] == position:
            return end_of(position, int(batch.lengths[at]), stretch.segment_size)
    return position


def _mark_at(stretch: Stretch, index: int, position: Lsn) -> Mark | None:
    rows = stretch.ends_of(index)
    found = np.flatnonzero(rows.positions == np.uint64(position))
    return rows.mark(int(found[0])) if len(found) else None


@dataclass(frozen=True, slots=True)
class Kept:
    """What a boundary keeps and loses of the committed transactions."""

    last_kept: Mark | None
    first_discarded: Mark | None
    kept: int
    discarded: int


def kept_at(stretch: Stretch, boundary: Lsn) -> Kept:
    """The last commit before a boundary, the first one after it, and how many there are."""
    kept = 0
    last: Mark | None = None
    first: Mark | None = None
    for index, piece in enumerate(stretch.pieces):
        commits = piece.found.commits
        if not commits.count or commits.first is None or commits.last is None:
            continue
        if commits.last.position < boundary:
            kept, last = kept + commits.count, commits.last
        elif commits.first.position >= boundary:
            first = first or commits.first
        else:
            rows = stretch.ends_of(index)
            chosen = np.flatnonzero(rows.commits)
            before = int(np.searchsorted(rows.positions[chosen], np.uint64(boundary)))
            kept, last = kept + before, rows.mark(int(chosen[before - 1]))
            first = rows.mark(int(chosen[before]))
    return Kept(last, first, kept, stretch.commits - kept)


def _reached(stretch: Stretch, target: Target, record: StopRecord, timeline: int) -> StopPoint:
    kept = kept_at(stretch, record.boundary)
    stop = Stop(
        kind=_kind(target),
        xid=record.mark.xid if record.mark else target.xid,
        time=moment_of(record.mark.time) if record.mark else target.time,
        lsn=record.position,
        name=target.name,
        timeline=timeline,
        last_kept=transaction_of(kept.last_kept),
        first_discarded=transaction_of(kept.first_discarded),
        discarded_transactions=kept.discarded,
        replayed_to=record.replayed_to,
    )
    return StopPoint(stop, record.boundary, None)


def _missed(stretch: Stretch, target: Target, unreachable: Unreachable, timeline: int) -> StopPoint:
    return StopPoint(nowhere(target, timeline), stretch.end, unreachable)


def nowhere(target: Target, timeline: int) -> Stop:
    """The stop of a target that the WAL does not have."""
    return Stop(_kind(target), target.xid, target.time, target.lsn, target.name, timeline)


def _kind(target: Target) -> StopKind:
    match target.kind:
        case "xid":
            return "after_commit" if target.inclusive else "before_commit"
        case "time":
            return "before_commit"
        case "lsn":
            return "at_lsn"
        case "name":
            return "at_name"
        case "immediate":
            return "consistency"
        case "latest":
            return "end_of_wal"


def transaction_of(mark: Mark | None) -> Transaction | None:
    """A mark as plans show it."""
    return None if mark is None else Transaction(mark.xid, moment_of(mark.time), mark.position)


def _not_found(stretch: Stretch, target: Target, consistent: Lsn | None) -> Unreachable:
    match target.kind:
        case "name":
            return no_such_name(stretch, target.name or "", consistent)
        case "xid":
            return no_such_transaction(stretch, target, consistent)
        case _:
            return beyond_the_end(stretch, target)


def consistent_at(stretch: Stretch, start: Lsn, stop: Lsn | None) -> Lsn | None:
    """Where a backup that began at `start` becomes consistent: after the record of its end.

    `stop` is what its manifest or history file says, for backups whose record is not here (taken
    from a standby, which writes none).
    """
    for event in stretch.events():
        if isinstance(event, BackupEnd) and event.start == start:
            return event.end
    return stop
