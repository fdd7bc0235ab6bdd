"""The ends of transactions in one segment, exactly."""

from __future__ import annotations

from pgrescue.wal.index import SegmentRef
from pgrescue.wal.sift import EndRows, transaction_ends
from pgrescue.wal.stretch import walk_of


def ends_in(ref: SegmentRef, major: int) -> EndRows:
    """Every commit and abort whose record is whole in one segment."""
    return EndRows.joined([transaction_ends(batch, major)[0] for batch in walk_of(ref).batches()])
