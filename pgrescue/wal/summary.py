"""What a WAL segment holds, in little: enough to decide in which segment to look closely."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.body import EndKind
from pgrescue.wal.events import AnyEvent
from pgrescue.wal.record import RelFileLocator

KEPT_BYTES = 16384
"""How much of a record that crosses into another segment is kept with the summary."""


class Mark(NamedTuple):
    """The end of a transaction: where, when, whose."""

    position: Lsn
    time: int
    """Microseconds since 2000."""
    xid: int


class RowChanges(msgspec.Struct, frozen=True):
    """Rows that one transaction deleted from or updated in one relation, within a segment."""

    xid: int
    """The subtransaction's own, where it was one."""
    file: RelFileLocator
    deleted: int
    updated: int
    first: Lsn
    """The first of these records."""


class Ends(msgspec.Struct, frozen=True):
    """Commits, or aborts, of a segment in numbers; times and ids are of all of them."""

    count: int = 0
    first: Mark | None = None
    """By position, not by time."""
    last: Mark | None = None
    min_time: int = 0
    max_time: int = 0
    min_xid: int = 0
    max_xid: int = 0

    def followed_by(self, later: Ends) -> Ends:
        """These and those behind them."""
        if not self.count or not later.count:
            return self if self.count else later
        return Ends(
            count=self.count + later.count,
            first=self.first,
            last=later.last,
            min_time=min(self.min_time, later.min_time),
            max_time=max(self.max_time, later.max_time),
            min_xid=min(self.min_xid, later.min_xid),
            max_xid=max(self.max_xid, later.max_xid),
        )


class Findings(msgspec.Struct, frozen=True):
    """What the records of a segment, or some of them, tell."""

    commits: Ends = Ends()
    aborts: Ends = Ends()
    events: tuple[AnyEvent, ...] = ()
    rows: tuple[RowChanges, ...] = ()


class SegmentSummary(msgspec.Struct, frozen=True):
    """One segment as it was walked."""

    start: Lsn
    timeline: int
    """As its name says."""
    major: int | None
    system_identifier: str | None
    segment_size: int | None
    end_kind: EndKind
    end: Lsn
    """The end of its last valid record, or the start of one that goes on in the next segment."""
    reason: str
    """Why it ends where it does, if not as it should."""
    checked: bool
    """Whether the CRC of every record was compared."""
    records: int
    first: Lsn
    """Where its first record begins."""
    first_prev: Lsn | None
    last: Lsn | None
    """Where its last whole record begins."""
    continued: int
    """Bytes at its beginning that belong to a record of the segment before."""
    overwrites: bool
    """Whether that record is given up instead: the server crashed while writing it."""
    unfinished: int
    """Bytes that its last record still needs from the next segment; 0 if none is unfinished."""
    passes_through: bool
    """Whether it is nothing but the middle of one record."""
    tail: bytes
    """The beginning of the unfinished record, if it is short enough to be kept."""
    head: bytes
    """The bytes that belong to the record before, if they are few enough to be kept."""
    found: Findings

    @property
    def is_whole(self) -> bool:
        """Whether recovery gets from its beginning to its end."""
        return self.end_kind in ("whole", "switched")
