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
from pgrescue.wal.records import (
    INFO_MASK,
    MAX_RECORD,
    RECORD_HEADER,
    XLOG,
    Batch,
    chained,
    is_resource_manager,
)
from pgrescue.wal.summary import KEPT_BYTES

_SWITCH = XLOG << 8 | 0x40
_KIND = 0xFF00 | INFO_MASK


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
        self._open: tuple[int, int] | None = None
        """Where a record that is not whole yet begins and ends."""
        self._followed = 0
        """Body offset before which page headers agree with it."""
        self._in_head = False
        """Whether that is the record of the segment before."""
        self._is_manager = np.zeros(256, dtype=np.bool_)
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
        """Those bytes, once they have been read, if they are few."""
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
                body.add(chunk, self._kept_from())
                if first and not self._begin():
                    return
                yield from self._ready()
                if self.end.kind != "whole":
                    return
                if body.bad is not None:
                    self._cut_off(body.bad.kind, body.bad.reason)
                    return
        except UnreadableSegment as error:
            self._cut_off("unreadable", str(error))
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
        if body.continued:
            self._in_head = True
            self._open, self._followed = (LONG_HEADER_BODY, self._since), LONG_HEADER_BODY + 1
        self.first_position = self._position(self._next)
        major = body.header.major
        self._is_manager = np.array([is_resource_manager(rmid, major) for rmid in range(256)])
        self.end = WalEnd("whole", self.first_position)
        if body.continues_nothing:
            self._stop("invalid", LONG_HEADER_BODY, "nothing of a record is continued")
            return False
        return True

    @property
    def _begun(self) -> int:
        """Body offset where what is not whole yet begins."""
        return LONG_HEADER_BODY if self._in_head else self._next

    def _kept_from(self) -> int:
        """Body offset before which nothing is needed any more."""
        if self._in_head and self.continued <= KEPT_BYTES:
            return 0
        return min(self._next, self._body.end)

    def _ready(self) -> Iterator[Batch]:
        """The records that are whole by now."""
        body = self._body
        while self.end.kind == "whole":
            overwrite = body.next_overwrite(self._begun)
            bound = body.end if overwrite is None else overwrite
            if not self._goes_on(bound):
                return
            if bound >= self._needed:
                self._take_head()
                batch = self._chain(bound)
                if batch is not None:
                    yield batch
                if self.end.kind != "whole":
                    return
            if overwrite is None:
                return
            self._give_up(overwrite)

    def _goes_on(self, bound: int) -> bool:
        """Whether the headers of the pages before `bound` agree with the unfinished record."""
        if self._open is None:
            return True
        start, end = (np.array([offset], dtype=np.int64) for offset in self._open)
        wrong = self._body.wrong_continuation(start, end, self._followed, bound)
        self._followed = max(self._followed, bound)
        if wrong is not None:
            self._stop("invalid", self._begun, "a page header contradicts the records")
        return wrong is None

    def _take_head(self) -> None:
        """Keep the bytes that belong to the record of the segment before: all are here."""
        if self._in_head and self.continued <= KEPT_BYTES:
            begin, end = LONG_HEADER_BODY - self._body.base, self._since - self._body.base
            self.head = self._body.data[begin:end].tobytes()
        self._in_head, self._open = False, None

    def _give_up(self, overwrite: int) -> None:
        """Go on at this page: the record that did not end before it was never completed."""
        if self._in_head:
            self.overwrites = True
            self.first_position = self._position(overwrite)
        elif (fault := self._no_length()) is not None:
            self._stop_at(fault)
            return
        self._in_head, self._open = False, None
        self._next = self._since = overwrite
        self._needed = overwrite + RECORD_HEADER

    def _no_length(self) -> _Fault | None:
        """What is wrong with a record of which not even the header is there."""
        body = self._body
        page_end = (self._next // BODY_SIZE + 1) * BODY_SIZE
        if self._in_head or not 0 < page_end - self._next < RECORD_HEADER or self._next >= body.end:
            return None
        offset = self._next - body.base
        length = int.from_bytes(body.data[offset : offset + 4].tobytes(), "little")
        if length >= RECORD_HEADER:
            return None
        return _Fault(self._next, f"invalid record length {length}")

    def _chain(self, bound: int) -> Batch | None:
        """The whole records from the next one on that end before a body offset."""
        body = self._body
        offset, length = self._next - body.base, bound - self._next
        if length < RECORD_HEADER:
            self._needed = self._next + RECORD_HEADER
            return None
        window = body.data[offset : offset + (length & ~7)]
        span = position_of(bound, self.start) - self.first_position
        indexes, lengths = chained(window, self.first_position, span)
        starts = indexes * 8 + self._next
        ends = starts + lengths
        fault = self._fault(window.view("<u8"), starts, ends, indexes, bound)
        if fault is not None:
            keep = int(np.searchsorted(starts, fault.offset, "left"))
            starts, ends, lengths = starts[:keep], ends[:keep], lengths[:keep]
        return self._accept(starts, ends, lengths, bound, fault)

    def _fault(
        self, words: Words, starts: Offsets, ends: Offsets, indexes: Offsets, bound: int
    ) -> _Fault | None:
        """The first thing that is wrong with these records, as the server would find it."""
        positions = positions_of(starts, self.start)
        before = self.last_position
        suspects = [] if self._wrong_header(words, 0, before) is None else [0]
        suspects += (np.flatnonzero(words[indexes[1:] + 1] != positions[:-1])[:1] + 1).tolist()
        managers = (words[indexes + 2].astype(np.uint32) >> 8) & 0xFF
        suspects += np.flatnonzero(~self._is_manager[managers])[:1].tolist()
        suspects += np.flatnonzero(ends - starts > MAX_RECORD)[:1].tolist()
        fault: _Fault | None = None
        last = int(ends[-1] + 7) & ~7
        if suspects:
            at = min(suspects)
            before = Lsn(positions[at - 1]) if at else before
            reason = self._wrong_header(words, int(indexes[at]), before)
            fault = _Fault(int(starts[at]), reason or "")
        elif bound - last >= RECORD_HEADER and not _ends_with_switch(words, indexes):
            index = (last - self._next) >> 3
            fault = _Fault(last, self._wrong_header(words, index, Lsn(positions[-1])) or "")
        misplaced = self._body.wrong_continuation(starts, ends, self._since, bound)
        if misplaced is not None and (fault is None or misplaced < fault.offset):
            fault = _Fault(misplaced, "a page header contradicts the records")
        return fault

    def _wrong_header(self, words: Words, index: int, before: Lsn | None) -> str | None:
        """What `ValidXLogRecordHeader` finds wrong with one record; None if it is right."""
        length = int(words[index]) & 0xFFFFFFFF
        manager = int(words[index + 2]) >> 8 & 0xFF
        prev = Lsn(words[index + 1])
        if length < RECORD_HEADER:
            return f"invalid record length {length}"
        if not self._is_manager[manager]:
            return f"invalid resource manager {manager}"
        here = position_of(self._next + 8 * index, self.start)
        if prev >= here if before is None else prev != before:
            return f"incorrect prev-link {prev}"
        return f"invalid record length {length}" if length > MAX_RECORD else None

    def _accept(
        self, starts: Offsets, ends: Offsets, lengths: Offsets, bound: int, fault: _Fault | None
    ) -> Batch | None:
        """Make a batch of those that are whole, and note where to go on or why not."""
        body = self._body
        if len(ends) and ends[-1] > bound:
            self._needed = int(ends[-1])
            self._open, self._followed = (int(starts[-1]), self._needed), bound
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
        switches = np.flatnonzero((batch.kinds & _KIND) == _SWITCH)
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
        elif switched and body.header is not None:
            # The rest of the segment belongs to the switch.
            self.end = WalEnd("switched", Lsn(self.start + body.header.segment_size))
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
        on_page = BODY_SIZE - fault.offset % BODY_SIZE
        blank = not self._body.data[offset : offset + min(RECORD_HEADER, on_page)].any()
        self._stop("zeros" if blank else "invalid", fault.offset, fault.reason)

    def _stop(self, kind: EndKind, offset: int, reason: str) -> None:
        self.end = WalEnd(kind, self._position(offset), reason)

    def _cut_off(self, kind: EndKind, reason: str) -> None:
        """Stop where the next page is missing, unless the record is wrong as far as it is there."""
        if (fault := self._no_length()) is not None:
            self._stop_at(fault)
        else:
            self._stop(kind, self._begun, reason)

    def _finish(self) -> None:
        """After the last page: is the segment whole, and does a record go on in the next one?"""
        body = self._body
        if body.header is None:
            return
        expected = body.header.segment_size // PAGE_SIZE
        if body.pages != expected:
            reason = f"the file ends after {body.pages} of {expected} pages"
            self._cut_off("short", reason)
            return
        if (fault := self._no_length()) is not None:
            self._stop_at(fault)
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


def _ends_with_switch(words: Words, indexes: Offsets) -> bool:
    return (int(words[int(indexes[-1]) + 2]) & _KIND) == _SWITCH
