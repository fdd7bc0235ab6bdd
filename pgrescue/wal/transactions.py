"""The records that end transactions (`xl_xact_commit` and `xl_xact_abort`,
`ParseCommitRecord` in `src/backend/access/rmgrdesc/xactdesc.c`)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

from pgrescue.wal.record import Record, RelFileLocator

COMMIT, PREPARE, ABORT, COMMIT_PREPARED, ABORT_PREPARED = 0x00, 0x10, 0x20, 0x30, 0x40
OPERATION = 0x70
HAS_INFO = 0x80
"""In `xl_info`: what `xinfo` announces follows the time."""
EPOCH = datetime(2000, 1, 1, tzinfo=UTC)
"""PostgreSQL's: timestamps count microseconds from here."""
_EARLIEST, _LATEST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)

_DATABASE, _SUBXACTS, _FILES, _INVALIDATIONS = 0x001, 0x002, 0x004, 0x008
_TWO_PHASE, _STATISTICS = 0x010, 0x100
_RELATION_STATISTICS = 2


@dataclass(frozen=True, slots=True)
class TransactionEnd:
    """A commit or an abort, with what it takes along."""

    outcome: Literal["commit", "abort"]
    xid: int
    """The transaction's own, also for one that was prepared."""
    time: int
    """Microseconds since `EPOCH`, by the server's clock just before the record was written."""
    database: int
    """OID of the database it worked in; 0 where the record does not say."""
    subxids: tuple[int, ...]
    files: tuple[RelFileLocator, ...]
    """Relation files that go with this record: dropped by a commit, made by an abort."""
    dropped_relations: tuple[int, ...]
    """OIDs of relations whose statistics go (15 and later)."""


def moment_of(microseconds: int) -> datetime:
    """A record's time; what no calendar holds becomes the nearest that one does."""
    try:
        return EPOCH + timedelta(microseconds=microseconds)
    except OverflowError:
        return _LATEST if microseconds > 0 else _EARLIEST


def microseconds_of(moment: datetime) -> int:
    """A moment as records have it."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def parse_transaction_end(record: Record, info: int, major: int) -> TransactionEnd | None:
    """Read a commit's or abort's main data; None for other operations and for garbage.

    `info` is the record's whole `xl_info`.
    """
    operation = info & OPERATION
    if operation not in (COMMIT, ABORT, COMMIT_PREPARED, ABORT_PREPARED):
        return None
    try:
        return _parse(record, operation, bool(info & HAS_INFO), major)
    except struct.error:
        return None


def _parse(record: Record, operation: int, has_info: bool, major: int) -> TransactionEnd:
    data = _Reader(record.data)
    time = data.integer("<q")
    xinfo = data.integer("<I") if has_info else 0
    database = data.integer("<I4x") if xinfo & _DATABASE else 0
    subxids = tuple(data.many("<I")) if xinfo & _SUBXACTS else ()
    files: tuple[RelFileLocator, ...] = ()
    if xinfo & _FILES:
        files = tuple(RelFileLocator(*item) for item in data.rows("<III"))
    dropped: list[int] = []
    if xinfo & _STATISTICS and major >= 15:
        shape = "<iIII" if major >= 18 else "<iII"
        for kind, _, oid, *_rest in data.rows(shape):
            if kind == _RELATION_STATISTICS:
                dropped.append(oid)
    is_commit = operation in (COMMIT, COMMIT_PREPARED)
    if xinfo & _INVALIDATIONS and is_commit:
        data.rows("<16s")
    xid = data.integer("<I") if xinfo & _TWO_PHASE else record.xid
    return TransactionEnd(
        outcome="commit" if is_commit else "abort",
        xid=xid,
        time=time,
        database=database,
        subxids=subxids,
        files=files,
        dropped_relations=tuple(dropped),
    )


class _Reader:
    """Values one after the other; `struct.error` at the end of the data."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._offset = 0

    def integer(self, shape: str) -> int:
        (value,) = struct.unpack_from(shape, self._data, self._offset)
        self._offset += struct.calcsize(shape)
        return int(value)

    def many(self, shape: str) -> list[int]:
        return [row[0] for row in self.rows(shape)]

    def rows(self, shape: str) -> list[tuple[int, ...]]:
        """A count and as many rows; a count that promises more than there is, is an error."""
        count = self.integer("<i")
        size = struct.calcsize(shape)
        end = self._offset + count * size
        if count < 0 or end > len(self._data):
            raise struct.error("more rows are promised than there are")
        found = list(struct.iter_unpack(shape, self._data[self._offset : end]))
        self._offset = end
        return found
