"""How many rows each transaction deleted and updated, relation by relation, within a segment.

Record bodies: `xl_heap_delete` and `xl_heap_update` in `src/include/access/heapam_xlog.h`; there
is one record for each row.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.system_catalogs import PG_CLASS, PG_DATABASE, PG_NAMESPACE
from pgrescue.wal.block_heads import SHORTEST, block_heads, unaligned
from pgrescue.wal.record import RelFileLocator
from pgrescue.wal.records import Batch
from pgrescue.wal.summary import RowChanges

WORTH_COUNTING = 8
"""Rows of one transaction in one segment below which they are not kept."""
CATALOGS = (PG_CLASS, PG_NAMESPACE, PG_DATABASE)
"""Files in which a row goes when a relation, a schema, a database is dropped, unless the catalog
was rewritten."""

_DELETE = 0x10
_NOT_A_DELETED_ROW = 0x08 | 0x10
"""Flags of `xl_heap_delete`: a speculative insertion given up, a row moved to another partition."""
_FLAGS_OFFSET = 7
_ORIGIN, _TOP_XID, _SHORT_DATA = 253, 252, 255
_SHORTEST = SHORTEST + 2 + 8

Numbers = npt.NDArray[np.uint32]


class RowCounter:
    """Takes the batches' DELETE and UPDATE records and adds them up."""

    def __init__(self, major: int, worth_counting: int = WORTH_COUNTING) -> None:
        """Transactions with fewer rows than are worth counting are left out of the result."""
        self._worth_counting = worth_counting
        self._major = major
        self._parts: list[npt.NDArray[np.uint32]] = []
        self._positions: list[npt.NDArray[np.uint64]] = []

    def take(self, batch: Batch) -> None:
        """Count these records, which are all of HEAP's operations DELETE, UPDATE, HOT_UPDATE."""
        batch = batch.select(batch.lengths >= _SHORTEST)
        if not len(batch):
            return
        heads = block_heads(batch, self._major)
        deletes = (batch.kinds & 0x70) == _DELETE
        # Anything else is no record of these operations.
        counted = heads.is_first.copy()
        counted[deletes] &= ~_moved(batch.select(deletes), heads.ends[deletes])
        columns = (heads.tablespaces, heads.databases, heads.filenodes)
        table = np.column_stack((batch.xids, deletes.astype(np.uint32), *columns))
        self._parts.append(table[counted])
        self._positions.append(batch.positions[counted])

    def result(self) -> tuple[RowChanges, ...]:
        """The transactions with many rows, and all that deleted rows of those catalogs."""
        if not self._parts:
            return ()
        table, positions = np.concatenate(self._parts), np.concatenate(self._positions)
        if not len(table):
            return ()
        catalog = (table[:, 1] == 1) & np.isin(table[:, 4], CATALOGS)
        kept = np.flatnonzero(_occurs_often(table[:, 0], self._worth_counting) | catalog)
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


def _moved(batch: Batch, at: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether a DELETE is none: a flag in its data says so.

    `at` is the end of the block's header; what may precede the data's own header is stepped over.
    The data are the last bytes of the record.
    """
    data = batch.data
    at = at + 3 * (data[at] == _ORIGIN)
    at = np.minimum(at + 5 * (data[at] == _TOP_XID), len(data) - 2)
    size = np.where(data[at] == _SHORT_DATA, data[at + 1], unaligned(batch, at + 1))
    flags = batch.starts + batch.lengths - size + _FLAGS_OFFSET
    inside = (flags > at) & (flags < batch.starts + batch.lengths)
    return np.asarray(data[np.where(inside, flags, 0)] & _NOT_A_DELETED_ROW != 0) & inside


def _occurs_often(xids: Numbers, often: int) -> npt.NDArray[np.bool_]:
    low = int(xids.min())
    span = int(xids.max()) - low + 1
    if span <= 8 * len(xids) + 1024:
        shifted = xids - np.uint32(low)
        return np.asarray(np.bincount(shifted, minlength=span)[shifted] >= often)
    _, inverse, counts = np.unique(xids, return_inverse=True, return_counts=True)
    return np.asarray(counts[inverse] >= often)
