"""The body of a segment as its pages arrive: headers checked and taken out, bytes put together.

Page headers are judged as `XLogReaderValidatePageHeader` in
`src/backend/access/transam/xlogreader.c` does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import major_of_wal_magic
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.pages import (
    ALL_FLAGS,
    BODY_SIZE,
    CONTINUED,
    HEADER,
    HEADER_SIZE,
    LONG,
    LONG_HEADER_BODY,
    OVERWRITE,
    PAGE_SIZE,
    Bytes,
    Offsets,
)

_BLOCK_SIZE = 36
"""Offset of `xlp_xlog_blcksz` in the long header."""

EndKind = Literal[
    "whole", "switched", "zeros", "recycled", "invalid", "short", "unreadable", "not_wal"
]
"""How the valid WAL of a segment ends: `whole` (at the segment's end, perhaps within a record
that goes on in the next one), `switched` (the rest is unused since a WAL switch), `zeros` (never
written), `recycled` (pages of an older segment: not written yet either), `short` (the file ends
before the segment does), or for a reason that is damage anywhere but at the very end of the WAL."""


@dataclass(frozen=True, slots=True)
class WalEnd:
    """Where the valid WAL of a segment ends, and what is there."""

    kind: EndKind
    position: Lsn
    """The end of the last valid record, or the start of one that goes on in the next segment."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class BadPage:
    """Why the pages cannot be followed any further."""

    kind: EndKind
    reason: str


class SegmentBody:
    """A window over a segment's body; body offsets are absolute, the buffer holds some of them."""

    def __init__(self, segment_start: int, timeline: int, capacity: int) -> None:
        """`segment_start` and `timeline` are what the segment's name says."""
        self._segment_start = segment_start
        self._name_timeline = timeline
        self._page_timeline = 0
        self._magic = 0
        self._flags: npt.NDArray[np.uint16] = np.zeros(0, dtype=np.uint16)
        self._remaining: npt.NDArray[np.uint32] = np.zeros(0, dtype=np.uint32)
        self.data: Bytes = np.empty(capacity, dtype=np.uint8)
        self.base = 0
        """Body offset of the buffer's first byte."""
        self.end = 0
        """Body offset after the last byte that is there."""
        self.header: SegmentHeader | None = None
        self.bad: BadPage | None = None

    @property
    def pages(self) -> int:
        """How many good pages have come."""
        return len(self._flags)

    @property
    def continued(self) -> int:
        """Bytes at the beginning that belong to a record of the segment before."""
        return int(self._remaining[0]) if self.pages and self._flags[0] & CONTINUED else 0

    @property
    def continues_nothing(self) -> bool:
        """Whether the first page says that a record goes on there, and that nothing of it does."""
        return bool(self.pages and self._flags[0] & CONTINUED and not self._remaining[0])

    @property
    def overwrites(self) -> bool:
        """Whether the segment's first page gives up the record that the one before left open."""
        return bool(self.pages and self._flags[0] & OVERWRITE)

    def next_overwrite(self, after: int) -> int | None:
        """Body offset of the next page, beyond `after`, that gives up an unfinished record."""
        first = after // BODY_SIZE + 1
        found = np.flatnonzero(self._flags[first:] & OVERWRITE)
        return (first + int(found[0])) * BODY_SIZE if len(found) else None

    def add(self, chunk: Bytes, keep_from: int) -> None:
        """Take the next pages; bytes before the body offset `keep_from` are needed no more."""
        headers = chunk[:, :HEADER_SIZE].copy().view(HEADER)[:, 0]
        if not self.pages and not self._first(chunk[0], headers[0]):
            return
        assert self.header is not None
        # As for the server, what a file holds behind its segment is not there.
        headers = headers[: self.header.segment_size // PAGE_SIZE - self.pages]
        if not len(headers):
            return
        good = self._good(headers)
        self._flags = np.concatenate((self._flags, headers["flags"][:good]))
        self._remaining = np.concatenate((self._remaining, headers["remaining"][:good]))
        self._append(chunk[:good, HEADER_SIZE:], keep_from)

    def wrong_continuation(
        self, starts: Offsets, ends: Offsets, since: int, bound: int
    ) -> int | None:
        """Body offset of the first record that page headers contradict; None if all is right.

        A page begins within a record if and only if its header says so, with the number of bytes
        that are still to come. `starts` and `ends` are body offsets of consecutive records,
        `since` is the end of what precedes them. Pages from `bound` on are not looked at.
        """
        first = -(-since // BODY_SIZE)
        edges = np.arange(first * BODY_SIZE, bound, BODY_SIZE, dtype=np.int64)
        if not len(starts) or not len(edges):
            return None
        edges = edges[edges < ends[-1]]
        if first == 0:
            edges = edges[1:]
        if not len(edges):
            return None
        numbers = edges // BODY_SIZE
        index = np.searchsorted(starts, edges, "left") - 1
        inside = (index >= 0) & (ends[index] > edges)
        flagged = (self._flags[numbers] & CONTINUED) != 0
        missing = np.where(inside, ends[index] - edges, 0)
        stated = np.where(flagged, self._remaining[numbers].astype(np.int64), 0)
        wrong = np.flatnonzero((inside != flagged) | (missing != stated))
        if not len(wrong):
            return None
        at = int(wrong[0])
        return int(starts[index[at]]) if inside[at] else int(edges[at])

    def _first(self, page: Bytes, header: np.void) -> bool:
        """Read the long header; what is no beginning of this segment ends the walk."""
        self.header = parse_segment_header(page[:LONG_HEADER_SIZE].tobytes())
        if self.header is None:
            blank = int(header["magic"]) == 0
            self.bad = (
                BadPage("zeros", "its first page was never written")
                if blank
                else BadPage("not_wal", f"no page of WAL: magic number {header['magic']:04X}")
            )
            return False
        if int(page[_BLOCK_SIZE : _BLOCK_SIZE + 4].view("<u4")[0]) != PAGE_SIZE:
            self.bad = BadPage("invalid", f"its pages do not have {PAGE_SIZE} bytes")
            return False
        self._magic = int(header["magic"])
        return True

    def _good(self, headers: npt.NDArray[np.void]) -> int:
        """How many of the pages from here on are good; the first bad one is noted."""
        count, before = len(headers), self.pages
        expected = np.arange(before, before + count, dtype=np.uint64) * np.uint64(PAGE_SIZE)
        expected += np.uint64(self._segment_start)
        timelines = headers["timeline"]
        flags = headers["flags"]
        longs = (flags & LONG) != 0
        should_be_long = np.zeros(count, dtype=np.bool_)
        should_be_long[0] = before == 0
        earlier = np.concatenate(([self._page_timeline], timelines[:-1]))
        right = (
            (headers["magic"] == self._magic)
            & (headers["address"] == expected)
            & ((flags & np.uint16(~ALL_FLAGS & 0xFFFF)) == 0)
            & (longs == should_be_long)
            & (timelines >= earlier)
            & (timelines <= self._name_timeline)
        )
        wrong = np.flatnonzero(~right)
        good = int(wrong[0]) if len(wrong) else count
        if good:
            self._page_timeline = int(timelines[good - 1])
        if good < count:
            self.bad = self._why(headers[good], int(expected[good]))
        return good

    def _why(self, header: np.void, expected: int) -> BadPage:
        magic, address = int(header["magic"]), int(header["address"])
        if magic == 0:
            return BadPage("zeros", "the page was never written")
        if magic != self._magic and major_of_wal_magic(magic) is None:
            return BadPage("invalid", f"invalid magic number {magic:04X} in a page header")
        if address != expected:
            return BadPage(
                "recycled", f"unexpected page address {Lsn(address)} instead of {Lsn(expected)}"
            )
        timeline = int(header["timeline"])
        if timeline > self._name_timeline or timeline < self._page_timeline:
            return BadPage("invalid", f"a page of timeline {timeline} out of sequence")
        return BadPage("invalid", f"invalid flags {int(header['flags']):04X} in a page header")

    def _append(self, bodies: Bytes, keep_from: int) -> None:
        size = bodies.size
        used = self.end - self.base
        if used + size > len(self.data):
            kept = self.data[keep_from - self.base : used]
            if 2 * len(kept) + size > len(self.data):
                self.data = np.empty(2 * (len(kept) + size), dtype=np.uint8)
            # In the same buffer the two places do not overlap: it is more than twice as large.
            self.data[: len(kept)] = kept
            self.base, used = keep_from, len(kept)
        self.data[used : used + size].reshape(bodies.shape)[...] = bodies
        self.end += size


def first_record_offset(continued: int) -> int:
    """Body offset of a segment's first record, behind what belongs to the one before."""
    return (LONG_HEADER_BODY + continued + 7) & ~7
