"""How many rows each transaction deleted and updated, relation by relation, within a segment.

Record bodies: `xl_heap_delete` and `xl_heap_update` in `src/include/access/heapam_xlog.h`; there
is one record for each row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.record import RelFileLocator
from pgrescue.wal.records import RECORD_HEADER, Batch
from pgrescue.wal.summary import RowChanges

WORTH_COUNTING = 8
"""Rows of one transaction in one segment below which they are not kept."""
PG_CLASS = 1259
"""The file in which a row goes when a relation is dropped, unless the catalog was rewritten."""

_DELETE = 0x10
_HAS_IMAGE, _HAS_HOLE = 0x10, 0x01
_NOT_A_DELETED_ROW = 0x08 | 0x10
"""Flags of `xl_heap_delete`: a speculative insertion given up, a row moved to another partition."""
_FLAGS_OFFSET = 7
_BLOCK_HEADER = 4
_LOCATOR_AND_BLOCK = 16
_ORIGIN, _TOP_XID, _SHORT_DATA = 253, 252, 255
_SHORTEST = RECORD_HEADER + _BLOCK_HEADER + _LOCATOR_AND_BLOCK + 2 + 8

Numbers = npt.NDArray[np.uint32]


class RowCounter:
    """Takes the batches' DELETE and UPDATE records and adds them up."""

    def __init__(self, major: int) -> None:
        self._compressed = 0x02 if major < 15 else 0x1C
        self._parts: list[npt.NDArray[np.uint32]] = []
        self._positions: list[npt.NDArray[np.uint64]] = []

    def take(self, batch: Batch) -> None:
        """Count these records, which are all of HEAP's operations DELETE, UPDATE, HOT_UPDATE."""
        batch = batch.select(batch.lengths >= _SHORTEST)
        if not len(batch):
            return
        deletes = (batch.kinds & 0x70) == _DELETE
        first = batch.word(6)
        with_image = (first >> 8) & _HAS_IMAGE != 0
        at = batch.starts + RECORD_HEADER + _BLOCK_HEADER
        columns = [batch.word(7), batch.word(8), batch.word(9)]
        images = np.flatnonzero(with_image)
        if len(images):
            at[images] = self._behind_image(batch, at[images])
            for number, column in enumerate(columns):
                column[images] = _unaligned(batch, at[images] + 4 * number)
        # The first block's id is 0; anything else is no record of these operations.
        counted = (first & 0xFF) == 0
        counted[deletes] &= ~_moved(batch.select(deletes), at[deletes] + _LOCATOR_AND_BLOCK)
        table = np.column_stack((batch.xids, deletes.astype(np.uint32), *columns))
        self._parts.append(table[counted])
        self._positions.append(batch.positions[counted])

    def result(self) -> tuple[RowChanges, ...]:
        """The transactions with many rows, and all that deleted rows of `pg_class`."""
        if not self._parts:
            return ()
        table, positions = np.concatenate(self._parts), np.concatenate(self._positions)
        if not len(table):
            return ()
        catalog = (table[:, 1] == 1) & (table[:, 4] == PG_CLASS)
        kept = np.flatnonzero(_occurs_often(table[:, 0]) | catalog)
        if not len(kept):
            return ()
        table, positions = table[kept], positions[kept]
        order = np.lexsort(np.vstack((positions, *table.T[[1, 4, 3, 2, 0]].astype(np.uint64))))
        table, positions = table[order], positions[order]
        changed = np.any(table[1:] != table[:-1], axis=1)
        begins = np.concatenate(([0], np.flatnonzero(changed) + 1))
        sizes = np.diff(np.concatenate((begins, [len(table)])))
        merged: dict[tuple[int, RelFileLocator], RowChanges] = {}
        for begin, size in zip(begins.tolist(), sizes.tolist(), strict=True):
            xid, deleted, *file = table[begin].tolist()
            key = (xid, RelFileLocator(*file))
            before = merged.get(key) or RowChanges(*key, 0, 0, Lsn(positions[begin]))
            merged[key] = RowChanges(
                *key,
                before.deleted + (size if deleted else 0),
                before.updated + (0 if deleted else size),
                min(before.first, Lsn(positions[begin])),
            )
        return tuple(sorted(merged.values(), key=lambda item: item.first))

    def _behind_image(self, batch: Batch, at: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Where the relation is named, behind the header of a full-page image."""
        bits = batch.data[at + 4]
        two_lengths = (bits & _HAS_HOLE != 0) & (bits & self._compressed != 0)
        return np.asarray(at + 5 + 2 * two_lengths)


def _moved(batch: Batch, at: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a DELETE is none: a flag in its data says so.

    `at` is the end of the block's header; what may precede the data's own header is stepped over.
    The data are the last bytes of the record.
    """
    data = batch.data
    at = at + 3 * (data[at] == _ORIGIN)
    at = at + 5 * (data[at] == _TOP_XID)
    size = np.where(data[at] == _SHORT_DATA, data[at + 1], _unaligned(batch, at + 1))
    flags = batch.starts + batch.lengths - size + _FLAGS_OFFSET
    inside = (flags > at) & (flags < batch.starts + batch.lengths)
    return np.asarray(data[np.where(inside, flags, 0)] & _NOT_A_DELETED_ROW != 0) & inside


def _unaligned(batch: Batch, at: npt.NDArray[np.int64]) -> Numbers:
    data = batch.data
    return np.asarray(
        data[at].astype(np.uint32)
        | data[at + 1].astype(np.uint32) << 8
        | data[at + 2].astype(np.uint32) << 16
        | data[at + 3].astype(np.uint32) << 24
    )


def _occurs_often(xids: Numbers) -> npt.NDArray[np.bool_]:
    low = int(xids.min())
    span = int(xids.max()) - low + 1
    if span <= 8 * len(xids) + 1024:
        shifted = xids - np.uint32(low)
        return np.asarray(np.bincount(shifted, minlength=span)[shifted] >= WORTH_COUNTING)
    _, inverse, counts = np.unique(xids, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] >= WORTH_COUNTING)
