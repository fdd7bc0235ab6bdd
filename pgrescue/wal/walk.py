"""From record to record through one WAL segment, as recovery goes, but thousands at a time.

Every record names the start of the one before it (`xl_prev`). A word that could be such a name
marks a candidate; a candidate is a record if the one before it ends where it begins and is the
one it names, from the segment's first record on. So the walk is that of
`src/backend/access/transam/xlogreader.c`: what it accepts has the right lengths, back-links and
page headers. CRCs are checked where asked for. Nothing in a segment makes it raise or loop: it
stops, and says where and why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.body import EndKind, SegmentBody, WalEnd, first_record_offset
from pgrescue.wal.page import SegmentHeader
from pgrescue.wal.pages import (
    BODY_SIZE,
    CHUNK_PAGES,
    LONG_HEADER_BODY,
    PAGE_SIZE,
    Offsets,
    UnreadableSegment,
    WalSource,
    Words,
    position_of,
    positions_of,
    read_pages,
)
from pgrescue.wal.records import MAX_RECORD, RECORD_HEADER, XLOG, Batch, is_resource_manager

_SWITCH = XLOG << 8 | 0x40
_IS_RESOURCE_MANAGER = np.array([is_resource_manager(rmid) for rmid in range(256)])


@dataclass(frozen=True, slots=True)
class Unfinished:
    """The beginning of a record that goes on in the next segment."""

    position: Lsn
    length: int
    """`xl_tot_len` in bytes."""
    content: bytes

    @property
    def missing(self) -> int:
        """Bytes that the next segment holds."""
        return max(self.length - len(self.content), 0)


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong at a body offset."""

    offset: int
    reason: str


class SegmentWalk:
    """One pass over the records of a segment; what it learns besides is in its attributes."""

    def __init__(
        self,
        source: WalSource,
        segment_start: int,
        timeline: int,
        *,
        check_crc: bool = False,
        chunk_pages: int = CHUNK_PAGES,
    ) -> None:
        """`segment_start` and `timeline` are what the segment's name says."""
        self._source = source
        self.start = Lsn(segment_start)
        self._check_crc = check_crc
        self._chunk_pages = chunk_pages
        self._body = SegmentBody(segment_start, timeline, 4 * chunk_pages * BODY_SIZE)
        self._next = 0
        """Body offset where the next record begins."""
        self._since = 0
        """Exact end of what precedes it: records are padded to 8 bytes."""
        self._needed = 0
        """Body offset before which the next record is not whole."""
        self.first_position = Lsn(segment_start)
        self.first_prev: Lsn | None = None
        """The record that the first one names as the one before it."""
        self.last_position: Lsn | None = None
        self.records = 0
        self.continued = 0
        """Bytes at the beginning that belong to a record of the segment before."""
        self.passes_through = False
        """Whether the segment is nothing but the middle of one record."""
        self.head = b""
        """Those bytes, once they have been read."""
        self.overwrites = False
        """Whether the record that the segment before left unfinished is given up here."""
        self.unfinished: Unfinished | None = None
        self.end = WalEnd("not_wal", Lsn(segment_start), "there is not even one page")

    @property
    def header(self) -> SegmentHeader | None:
        """The segment's long header; None if its beginning is no WAL."""
        return self._body.header

    def batches(self) -> Iterator[Batch]:
        """The records in order; afterwards `end` tells how far they go."""
        body = self._body
        try:
            for chunk in read_pages(self._source, self._chunk_pages):
                first = body.pages == 0
                body.add(chunk, self._next)
                if first and not self._begin():
                    return
                yield from self._ready()
                if self.end.kind != "whole":
                    return
                if body.bad is not None:
                    self._stop(body.bad.kind, self._next, body.bad.reason)
                    return
        except UnreadableSegment as error:
            self._stop("unreadable", self._next, str(error))
            return
        self._finish()

    def _begin(self) -> bool:
        body = self._body
        if body.header is None or body.pages == 0:
            kind, reason = (body.bad.kind, body.bad.reason) if body.bad else ("not_wal", "")
            self.end = WalEnd(kind, Lsn(self.start), reason)
            return False
        self.overwrites, self.continued = body.overwrites, body.continued
        self._since = LONG_HEADER_BODY + body.continued
        self._next = self._needed = first_record_offset(body.continued)
        self.first_position = self._position(self._next)
        self.end = WalEnd("whole", self.first_position)
        return True

    def _ready(self) -> Iterator[Batch]:
        """The records that are whole by now, up to where an unfinished one was given up."""
        while self.end.kind == "whole" and self._body.end >= self._needed:
            if not self._take_head():
                return
            overwrite = self._body.next_overwrite(self._next)
            bound = self._body.end if overwrite is None else min(overwrite, self._body.end)
            batch = self._chain(bound)
            if batch is not None:
                yield batch
            if self.end.kind != "whole" or overwrite is None or bound != overwrite:
                return
            # The record that did not end before this page was never completed.
            self._next = self._since = overwrite
            self._needed = overwrite + RECORD_HEADER

    def _take_head(self) -> bool:
        """Keep the bytes that belong to the record of the segment before, once all are here."""
        if self.records or self.head or self._since == LONG_HEADER_BODY:
            return True
        starts = np.array([LONG_HEADER_BODY], dtype=np.int64)
        ends = np.array([self._since], dtype=np.int64)
        wrong = self._body.wrong_continuation(starts, ends, 1)
        if wrong is not None:
            self._stop("invalid", LONG_HEADER_BODY, "the record from before is not continued")
            return False
        begin, end = LONG_HEADER_BODY - self._body.base, self._since - self._body.base
        self.head = self._body.data[begin:end].tobytes()
        return True

    def _chain(self, bound: int) -> Batch | None:
        """The whole records from the next one on that end before a body offset."""
        body = self._body
        offset, length = self._next - body.base, bound - self._next
        if length < RECORD_HEADER:
            self._needed = self._next + RECORD_HEADER
            return None
        window = body.data[offset : offset + (length & ~7)]
        indexes, lengths = self._candidates(window.view("<u8"), window.view("<u4"), bound)
        starts = indexes * 8 + self._next
        ends = starts + lengths
        fault = self._fault(window.view("<u8"), starts, ends, indexes, bound)
        if fault is not None:
            keep = int(np.searchsorted(starts, fault.offset, "left"))
            starts, ends, lengths = starts[:keep], ends[:keep], lengths[:keep]
        return self._accept(starts, ends, lengths, bound, fault)

    def _candidates(
        self, words: Words, halves: np.ndarray[tuple[int], np.dtype[np.uint32]], bound: int
    ) -> tuple[Offsets, Offsets]:
        """Word indexes and lengths of the records that follow each other from the first word on.

        The last one may reach beyond the window.
        """
        low = np.uint64(self.first_position)
        span = np.uint64(position_of(bound, self.start) - self.first_position)
        found = np.flatnonzero((words[1:-1] - low) < span)
        if not len(found) or found[0] != 0:
            # The first record of a segment names one of the segment before.
            found = np.concatenate((np.zeros(1, dtype=np.int64), found))
        lengths = halves[found * 2].astype(np.int64)
        plausible = lengths >= RECORD_HEADER
        plausible[0] = True
        if not plausible.all():
            found, lengths = found[plausible], lengths[plausible]
        follow = found + ((lengths + 7) >> 3)
        broken = np.flatnonzero(found[1:] != follow[:-1])
        if not len(broken):
            return found, lengths
        kept = _follow(found, follow, broken)
        return found[kept], lengths[kept]

    def _fault(
        self, words: Words, starts: Offsets, ends: Offsets, indexes: Offsets, bound: int
    ) -> _Fault | None:
        """The first thing that is wrong with these records, as the server would find it."""
        positions = positions_of(starts, self.start)
        prevs = words[indexes + 1]
        wrong = prevs[1:] != positions[:-1]
        first_prev = Lsn(prevs[0])
        if self.last_position is not None:
            right = first_prev == self.last_position
        else:
            right = first_prev < positions[0]
        faults: list[_Fault] = []
        lengths = ends - starts
        if lengths[0] < RECORD_HEADER:
            faults.append(_Fault(int(starts[0]), f"invalid record length {int(lengths[0])}"))
        elif not right:
            faults.append(_Fault(int(starts[0]), f"incorrect prev-link {first_prev}"))
        if wrong.any():
            at = int(np.flatnonzero(wrong)[0]) + 1
            faults.append(_Fault(int(starts[at]), f"incorrect prev-link {Lsn(prevs[at])}"))
        managers = (words[indexes + 2].astype(np.uint32) >> 8) & 0xFF
        unknown = np.flatnonzero(~_IS_RESOURCE_MANAGER[managers])
        if len(unknown):
            at = int(unknown[0])
            faults.append(_Fault(int(starts[at]), f"invalid resource manager {managers[at]}"))
        long = np.flatnonzero(lengths > MAX_RECORD)
        if len(long):
            at = int(long[0])
            faults.append(_Fault(int(starts[at]), f"invalid record length {int(lengths[at])}"))
        last = int(ends[-1] + 7) & ~7
        if not faults and bound - last >= RECORD_HEADER and not _ends_with_switch(words, indexes):
            length = int(words[(last - self._next) >> 3] & np.uint64(0xFFFFFFFF))
            faults.append(_Fault(last, _no_record(length)))
        misplaced = self._body.wrong_continuation(starts, ends, self._since)
        if misplaced is not None:
            faults.append(_Fault(misplaced, "a page header contradicts the records"))
        return min(faults, key=lambda fault: fault.offset, default=None)

    def _accept(
        self, starts: Offsets, ends: Offsets, lengths: Offsets, bound: int, fault: _Fault | None
    ) -> Batch | None:
        """Make a batch of those that are whole, and note where to go on or why not."""
        body = self._body
        if len(ends) and ends[-1] > bound:
            self._needed = int(ends[-1])
            starts, ends, lengths = starts[:-1], ends[:-1], lengths[:-1]
            fault = None
        elif len(ends):
            self._needed = (int(ends[-1] + 7) & ~7) + RECORD_HEADER
        if not len(starts):
            if fault is not None:
                self._stop_at(fault)
            return None
        batch = Batch(
            body.data, starts - body.base, positions_of(starts, self.start), lengths.astype("<u4")
        )
        switches = np.flatnonzero(batch.kinds == _SWITCH)
        switched = bool(len(switches))
        if switched:
            keep = int(switches[0]) + 1
            batch, ends, fault = batch.select(np.arange(keep)), ends[:keep], None
        bad = batch.first_bad_crc() if self._check_crc else None
        if bad is not None:
            fault = _Fault(int(batch.starts[bad]) + body.base, "incorrect checksum of a record")
            batch, ends, switched = batch.select(np.arange(bad)), ends[:bad], False
        if len(batch):
            self._passed(batch, int(ends[-1]))
        if fault is not None:
            self._stop_at(fault)
        elif switched:
            self._stop("switched", self._next, "")
        return batch if len(batch) else None

    def _passed(self, batch: Batch, end: int) -> None:
        if self.first_prev is None:
            prev = batch.select(np.zeros(1, dtype=np.int64))
            self.first_prev = Lsn(int(prev.word(2)[0]) | int(prev.word(3)[0]) << 32)
        self.records += len(batch)
        self.last_position = Lsn(batch.positions[-1])
        self._since = end
        self._next = (end + 7) & ~7

    def _stop_at(self, fault: _Fault) -> None:
        offset = fault.offset - self._body.base
        blank = not self._body.data[offset : offset + RECORD_HEADER].any()
        self._stop("zeros" if blank else "invalid", fault.offset, fault.reason)

    def _stop(self, kind: EndKind, offset: int, reason: str) -> None:
        self.end = WalEnd(kind, self._position(offset), reason)

    def _finish(self) -> None:
        """After the last page: is the segment whole, and does a record go on in the next one?"""
        body = self._body
        if body.header is None:
            return
        expected = body.header.segment_size // PAGE_SIZE
        if body.pages != expected:
            reason = f"the file ends after {body.pages} of {expected} pages"
            self._stop("short", self._next, reason)
            return
        self.passes_through = self._next > body.end
        if self._next < body.end:
            content = body.data[self._next - body.base : body.end - body.base].tobytes()
            length = int.from_bytes(content[:4], "little")
            self.unfinished = Unfinished(self._position(self._next), length, content)
            self._stop("whole", self._next, "")
        else:
            self.end = WalEnd("whole", Lsn(self.start + body.header.segment_size))

    def _position(self, offset: int) -> Lsn:
        return Lsn(position_of(offset, self.start))


def _follow(found: Offsets, follow: Offsets, broken: Offsets) -> Offsets:
    """Indexes of the candidates that are reached from the first one, from record to record.

    What lies inside a record and only looks like one is stepped over.
    """
    runs: list[Offsets] = []
    at = 0
    while True:
        turn = int(np.searchsorted(broken, at))
        last = int(broken[turn]) if turn < len(broken) else len(found) - 1
        runs.append(np.arange(at, last + 1))
        if last == len(found) - 1:
            break
        at = int(np.searchsorted(found, follow[last]))
        if at == len(found) or found[at] != follow[last]:
            break
    return np.concatenate(runs)


def _ends_with_switch(words: Words, indexes: Offsets) -> bool:
    return (int(words[int(indexes[-1]) + 2]) & 0xFFFF) == _SWITCH


def _no_record(length: int) -> str:
    if length < RECORD_HEADER:
        return f"invalid record length {length}"
    return "no record follows: its back-link is wrong"
