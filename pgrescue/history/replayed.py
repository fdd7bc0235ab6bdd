"""What a recovery will have gone through when it stops."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import (
    DatabaseDropped,
    DatabaseInvalidated,
    Event,
    NotableEnd,
    ParameterChange,
    TablespaceDropped,
    destruction_begins,
)
from pgrescue.wal.sift import transaction_ends
from pgrescue.wal.stretch import Stretch

E = TypeVar("E", bound=Event)


class Replayed:
    """What recovery will have gone through when it stops."""

    def __init__(self, stretch: Stretch, boundary: Lsn, consistent: Lsn | None) -> None:
        """Records that begin before `boundary` are replayed; `consistent` is the backup's end."""
        self.stretch, self.boundary, self.consistent = stretch, boundary, consistent
        self._events = [event for event in stretch.events() if event.position < boundary]
        self._ended = {
            xid
            for notable in self.of(NotableEnd)
            for xid in (notable.end.xid, *notable.end.subxids)
        }

    def of(self, kind: type[E]) -> list[E]:
        """The events of one kind, in order."""
        return [event for event in self._events if isinstance(event, kind)]

    def destroyed(self) -> Iterator[tuple[DatabaseDropped | TablespaceDropped, Lsn]]:
        """Drops of databases and tablespaces, each with where it is under way from."""
        marks = self.of(DatabaseInvalidated)
        for event in self._events:
            if isinstance(event, DatabaseDropped):
                yield event, destruction_begins(event, marks)
            elif isinstance(event, TablespaceDropped):
                yield event, event.position

    def unfinished(self, xids: Iterable[int], at: Lsn | None = None) -> set[int]:
        """Which of these transactions have not ended when recovery stops, or at a position."""
        limit = self.boundary if at is None else at
        wanted = set(xids) - (self._ended if at is None else set())
        for index, piece in enumerate(self.stretch.pieces):
            if not wanted or piece.start >= limit:
                break
            commits, aborts = piece.found.commits, piece.found.aborts
            bounds = [(ends.min_xid, ends.max_xid) for ends in (commits, aborts) if ends.count]
            if not any(low <= xid <= high for xid in wanted for low, high in bounds):
                continue
            wanted -= self._ended_in(index, limit)
        # A subtransaction ends with its transaction, whose record alone names it.
        for index, piece in enumerate(self.stretch.pieces):
            if not wanted or piece.start >= limit:
                break
            if piece.found.commits.max_xid or piece.found.aborts.max_xid:
                wanted -= self._parts_ended_in(index, limit)
        return wanted

    def _ended_in(self, index: int, limit: Lsn) -> set[int]:
        rows = self.stretch.ends_of(index)
        ended: list[int] = rows.xids[rows.positions < np.uint64(limit)].tolist()
        return set(ended)

    def _parts_ended_in(self, index: int, limit: Lsn) -> set[int]:
        major = self.stretch.major
        return {
            xid
            for batch in self.stretch.records_of(index)
            for position, end in transaction_ends(batch, major)[1]
            if position < limit
            for xid in end.subxids
        }


def limits_in(replayed: Replayed) -> StandbyLimits | None:
    """The highest settings that a hot standby needs on the way; None if none were changed."""
    changes = [event.limits for event in replayed.of(ParameterChange)]
    if not changes:
        return None
    return StandbyLimits(
        max_connections=max(limits.max_connections for limits in changes),
        max_worker_processes=max(limits.max_worker_processes for limits in changes),
        max_wal_senders=max(limits.max_wal_senders for limits in changes),
        max_prepared_transactions=max(limits.max_prepared_transactions for limits in changes),
        max_locks_per_transaction=max(limits.max_locks_per_transaction for limits in changes),
    )
