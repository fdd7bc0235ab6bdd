"""From the records of a segment to its summary: what counts is picked out by resource manager."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import AnyEvent, NotableEnd, events_of
from pgrescue.wal.names_given import names_given
from pgrescue.wal.pages import end_of
from pgrescue.wal.record import parse_record
from pgrescue.wal.records import (
    DBASE,
    HEAP,
    RECORD_HEADER,
    RELMAP,
    SMGR,
    STANDBY,
    TBLSPC,
    XACT,
    XLOG,
    Batch,
)
from pgrescue.wal.row_changes import RowCounter
from pgrescue.wal.summary import Ends, Findings, Mark
from pgrescue.wal.transactions import (
    ABORT,
    ABORT_PREPARED,
    COMMIT,
    COMMIT_PREPARED,
    HAS_INFO,
    OPERATION,
    PREPARE,
    TransactionEnd,
    parse_transaction_end,
)

MANY_SUBTRANSACTIONS = 32
"""From here on a transaction's work may be spread thin over them, and has to be looked for."""

_PLAIN_END, _FULL_END, _ROWS, _EVENT, _INSERT = 1, 2, 3, 4, 5
_SHORTEST_END = RECORD_HEADER + 2 + 8
_PLAIN_HEADER = 255 | 8 << 8
"""What precedes eight bytes of data."""
_CHECKPOINTS = (0x00, 0x10, 0x50, 0x60, 0x70, 0x90)
"""Of the resource manager XLOG: checkpoints, backup end, parameters, restore point, promotion."""


def _classes() -> npt.NDArray[np.uint8]:
    """What to do with a record, by `rmid << 8 | info`."""
    table = np.zeros(1 << 16, dtype=np.uint8)
    for info in range(256):
        operation = info & OPERATION
        if operation in (COMMIT, ABORT):
            table[XACT << 8 | info] = _FULL_END if info & HAS_INFO else _PLAIN_END
        elif operation in (COMMIT_PREPARED, ABORT_PREPARED):
            table[XACT << 8 | info] = _FULL_END
        if operation == PREPARE:
            table[XACT << 8 | info] = _EVENT
        if operation in (0x10, 0x20, 0x40):
            table[HEAP << 8 | info] = _ROWS
        if operation == 0x00:
            table[HEAP << 8 | info] = _INSERT
        if operation == 0x70:
            table[HEAP << 8 | info] = _EVENT
        if info & 0xF0 in _CHECKPOINTS:
            table[XLOG << 8 | info] = _EVENT
        if info & 0xF0 == 0x10:
            table[SMGR << 8 | info] = _EVENT
        if info & 0xF0 in (0x00, 0x10):
            table[STANDBY << 8 | info] = _EVENT
        for manager in (DBASE, TBLSPC, RELMAP):
            table[manager << 8 | info] = _EVENT
    return table


_CLASS = _classes()


def matters(kind: int) -> bool:
    """Whether a record of this kind, `rmid << 8 | info`, may end up in a summary."""
    return bool(_CLASS[kind])


def row_records(batch: Batch) -> Batch:
    """The records among these that delete or update a row."""
    return batch.select(_CLASS[batch.kinds] == _ROWS)


class EndRows:
    """Ends of transactions as columns, in the order of the WAL."""

    def __init__(
        self,
        positions: npt.NDArray[np.uint64],
        times: npt.NDArray[np.int64],
        xids: npt.NDArray[np.uint32],
        commits: npt.NDArray[np.bool_],
    ) -> None:
        self.positions, self.times, self.xids, self.commits = positions, times, xids, commits

    def __len__(self) -> int:
        return len(self.positions)

    @classmethod
    def joined(cls, parts: Sequence[EndRows]) -> EndRows:
        """All of them, one part after the other."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return _no_rows()
        return cls(
            np.concatenate([part.positions for part in parts]),
            np.concatenate([part.times for part in parts]),
            np.concatenate([part.xids for part in parts]),
            np.concatenate([part.commits for part in parts]),
        )

    def mark(self, index: int) -> Mark:
        """One of them."""
        return Mark(Lsn(self.positions[index]), int(self.times[index]), int(self.xids[index]))


def transaction_ends(batch: Batch, major: int) -> tuple[EndRows, list[tuple[Lsn, TransactionEnd]]]:
    """Every commit and abort among these records, and those that carry more than a time.

    What is no well-formed end, whatever its header says, is left out.
    """
    classes = _CLASS[batch.kinds]
    is_end = (classes == _PLAIN_END) | (classes == _FULL_END)
    ends = batch.select(is_end & (batch.lengths >= _SHORTEST_END))
    if not len(ends):
        return _no_rows(), []
    infos = ends.kinds & 0xFF
    operations = infos & OPERATION
    commits = (operations == COMMIT) | (operations == COMMIT_PREPARED)
    xids = ends.xids.copy()
    times = _times(ends)
    full: list[tuple[Lsn, TransactionEnd]] = []
    keep = np.ones(len(ends), dtype=np.bool_)
    # Nearly all are a short data header and a time; others are rare.
    unusual = (ends.word(6) & 0xFFFF != _PLAIN_HEADER) | (ends.lengths != _SHORTEST_END)
    for index in np.flatnonzero((_CLASS[ends.kinds] == _FULL_END) | unusual).tolist():
        position = Lsn(ends.positions[index])
        record = parse_record(ends.bytes_of(index), position, major)
        end = record and parse_transaction_end(record, int(infos[index]), major)
        if not end:
            keep[index] = False
            continue
        times[index], xids[index] = end.time, end.xid
        full.append((position, end))
    rows = EndRows(ends.positions[keep], times[keep], xids[keep], commits[keep])
    return rows, full


def _times(ends: Batch) -> npt.NDArray[np.int64]:
    """The 8 bytes behind a short data header; the caller replaces those that have another."""
    offsets = ends.starts[:, None] + (RECORD_HEADER + 2) + np.arange(8)
    times: npt.NDArray[np.int64] = ends.data[offsets].view("<i8")[:, 0].copy()
    return times


def _no_rows() -> EndRows:
    return EndRows(
        np.zeros(0, dtype=np.uint64),
        np.zeros(0, dtype=np.int64),
        np.zeros(0, dtype=np.uint32),
        np.zeros(0, dtype=np.bool_),
    )


class Sift:
    """Takes the batches of one segment, in order, and keeps what matters."""

    def __init__(self, major: int, segment_size: int) -> None:
        self._major = major
        self._segment_size = segment_size
        self._rows: list[EndRows] = []
        self._events: list[AnyEvent] = []
        self._changes = RowCounter(major)

    def take(self, batch: Batch) -> None:
        """Look at the next records."""
        classes = _CLASS[batch.kinds]
        rows, full = transaction_ends(batch, self._major)
        self._rows.append(rows)
        self._events += [
            NotableEnd(position=position, end=end) for position, end in full if is_notable(end)
        ]
        self._changes.take(row_records(batch))
        self._events += names_given(batch.select(classes == _INSERT), self._major)
        for index in np.flatnonzero(classes == _EVENT).tolist():
            content = batch.bytes_of(index)
            position = Lsn(batch.positions[index])
            record = parse_record(content, position, self._major)
            if record is not None:
                end = end_of(position, len(content), self._segment_size)
                self._events += events_of(record, end, self._major)

    def findings(self) -> Findings:
        """Everything together, once the last batch was taken."""
        commits, aborts = self._ends()
        return Findings(
            commits=commits,
            aborts=aborts,
            events=tuple(sorted(self._events, key=lambda event: event.position)),
            rows=self._changes.result(),
        )

    def _ends(self) -> tuple[Ends, Ends]:
        rows = EndRows.joined(self._rows)
        commits, aborts = np.flatnonzero(rows.commits), np.flatnonzero(~rows.commits)
        return _counted(rows, commits), _counted(rows, aborts)


def _counted(rows: EndRows, chosen: npt.NDArray[np.int64]) -> Ends:
    if not len(chosen):
        return Ends()
    times, xids = rows.times[chosen], rows.xids[chosen]
    return Ends(
        count=len(chosen),
        first=rows.mark(int(chosen[0])),
        last=rows.mark(int(chosen[-1])),
        min_time=int(times.min()),
        max_time=int(times.max()),
        min_xid=int(xids.min()),
        max_xid=int(xids.max()),
    )


def is_notable(end: TransactionEnd) -> bool:
    """Whether an end is kept whole: it dropped or made files, or had many subtransactions."""
    return bool(end.files or end.dropped_relations) or len(end.subxids) >= MANY_SUBTRANSACTIONS
