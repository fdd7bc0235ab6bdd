"""A stretch of WAL: segments one after the other, as far as recovery gets through them.

Each segment was walked by itself; here their seams are joined: back-links, records that begin in
one and end in the next, and what such a record means.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.events import AnyEvent
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.pages import (
    BODY_SIZE,
    HEADER_SIZE,
    LONG_HEADER_BODY,
    PAGE_SIZE,
    end_of,
    read_pages,
)
from pgrescue.wal.records import RECORD_HEADER, Batch, crc_matches, is_resource_manager
from pgrescue.wal.sift import EndRows, Sift, matters, transaction_ends
from pgrescue.wal.summary import Findings, Mark, SegmentSummary
from pgrescue.wal.walk import SegmentWalk

StretchEnd = Literal["end_of_files", "end_of_wal", "damage", "foreign"]
"""Why a stretch ends: after its last file; inside its last file, where nothing was written any
more; at damage with more WAL behind it; at a file that does not belong here."""


_KIND_ENDS = 18
"""Bytes of a record's header up to and with what tells its kind."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a stretch: a segment's own records, or the one that crosses into the next."""

    start: Lsn
    end: Lsn
    found: Findings
    ref: SegmentRef
    crossing: bytes | None = None
    """The record that begins in `ref` and ends in the segment after it."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """What recovery would replay, in order."""

    pieces: tuple[Piece, ...]
    start: Lsn
    end: Lsn
    """The end of the last record that can be replayed."""
    why: StretchEnd
    reason: str
    """In words, where it is not the end of the files."""
    segment: str
    """The file in which it ends."""
    major: int
    segment_size: int
    system_identifier: str

    def events(self) -> Iterator[AnyEvent]:
        """Everything that happened, in order."""
        for piece in self.pieces:
            yield from piece.found.events

    def piece_at(self, position: int) -> int:
        """Index of the last piece that begins at or before a position; -1 before the first."""
        return bisect_right([piece.start for piece in self.pieces], position) - 1

    def ends_of(self, index: int) -> EndRows:
        """Every commit and abort of one piece."""
        piece = self.pieces[index]
        if piece.crossing is not None:
            batch = single(piece.crossing, piece.start)
            return transaction_ends(batch, self.major)[0]
        rows: list[EndRows] = []
        for batch in self._batches(piece):
            rows.append(transaction_ends(batch, self.major)[0])
        return EndRows.joined(rows)

    def records_of(self, index: int) -> Iterator[Batch]:
        """Every record of one piece."""
        piece = self.pieces[index]
        if piece.crossing is not None:
            yield single(piece.crossing, piece.start)
        else:
            yield from self._batches(piece)

    def _batches(self, piece: Piece) -> Iterator[Batch]:
        for batch in walk_of(piece.ref).batches():
            inside = (batch.positions >= self.start) & (batch.positions < self.end)
            yield batch if inside.all() else batch.select(inside)

    @property
    def commits(self) -> int:
        """How many transactions were committed in it."""
        return sum(piece.found.commits.count for piece in self.pieces)

    @property
    def last_commit(self) -> Mark | None:
        """The last commit that can be replayed."""
        lasts = (piece.found.commits.last for piece in reversed(self.pieces))
        return next((mark for mark in lasts if mark is not None), None)


def walk_of(ref: SegmentRef) -> SegmentWalk:
    """A walk through one segment."""
    return SegmentWalk(ref.source, ref.start, ref.timeline)


def single(content: bytes, position: Lsn) -> Batch:
    """A batch of one record."""
    data = np.frombuffer(content + bytes(-len(content) % 8 + 8), dtype=np.uint8)
    return Batch(
        data,
        np.zeros(1, dtype=np.int64),
        np.array([position], dtype=np.uint64),
        np.array([len(content)], dtype=np.uint32),
    )


def read_stretch(
    index: WalIndex,
    refs: Sequence[SegmentRef],
    start: Lsn,
    *,
    checked: bool = False,
    progress: Progress | None = None,
) -> Stretch | None:
    """Join segments that follow each other, from the record at `start` on.

    None if the first of them holds no WAL at all. With `checked` every record's CRC is compared.
    """
    summaries = index.summaries(refs, checked=checked, progress=progress)
    if not summaries or summaries[0].major is None:
        return None
    return _Joiner(refs, summaries, start, checked).stretch()


def crossing_piece(index: WalIndex, refs: Sequence[SegmentRef]) -> Piece | None:
    """The record that begins in the first of these segments and ends in a later one.

    None if there is none, if it is not whole, or if it is of a kind that tells nothing.
    """
    first = index.summary(refs[0])
    if not first.is_whole or not first.unfinished or not first.segment_size:
        return None
    kind = int.from_bytes(first.tail[16:18], "little")
    if len(first.tail) >= _KIND_ENDS and not matters(kind):
        return None
    some = refs[: 2 + first.unfinished // first.segment_size]
    return _Joiner(some, index.summaries(some), first.start, checked=False).crossing()


@dataclass(slots=True)
class _Stop:
    why: StretchEnd
    reason: str
    end: Lsn
    segment: str


class _Joiner:
    """Goes over the seams until one does not hold."""

    def __init__(
        self,
        refs: Sequence[SegmentRef],
        summaries: Sequence[SegmentSummary],
        start: Lsn,
        checked: bool,
    ) -> None:
        self._refs, self._summaries, self._start, self._checked = refs, summaries, start, checked
        first = summaries[0]
        self._major = first.major or 0
        self._size = first.segment_size or 0
        self._identifier = first.system_identifier or ""
        self._pieces: list[Piece] = []
        self._last: Lsn | None = None
        """The last record that was accepted."""
        self._joined = False
        """Whether what the segment before left unfinished has been dealt with."""

    def stretch(self) -> Stretch:
        """Everything up to the first seam that does not hold."""
        stop = self._go()
        pieces = self._pieces
        if pieces and pieces[0].start < self._start:
            pieces[0] = self._cut(pieces[0])
        return Stretch(
            pieces=tuple(pieces),
            start=self._start,
            end=stop.end,
            why=stop.why,
            reason=stop.reason,
            segment=stop.segment,
            major=self._major,
            segment_size=self._size,
            system_identifier=self._identifier,
        )

    def crossing(self) -> Piece | None:
        """The record that crosses out of the first segment, if it is whole."""
        self._last = self._summaries[0].last
        crossing = self._cross(0)
        return None if isinstance(crossing, _Stop) else crossing[0]

    def _go(self) -> _Stop:
        end = self._summaries[0].first
        number = 0
        while number < len(self._refs):
            ref, summary = self._refs[number], self._summaries[number]
            if (foreign := self._foreign(summary)) is not None:
                return _Stop("foreign", foreign, end, ref.name)
            if (misfit := self._misfit(number)) is not None:
                return _Stop(self._why(number, begun=False), misfit, end, ref.name)
            self._joined = False
            self._pieces.append(Piece(summary.first, summary.end, summary.found, ref))
            self._last = summary.last or self._last
            end = summary.end
            if not summary.is_whole:
                return self._ended(number, summary)
            if summary.unfinished:
                crossing = self._cross(number)
                if isinstance(crossing, _Stop):
                    return crossing
                piece, number = crossing
                if piece is not None:
                    self._pieces.append(piece)
                    self._last, end = piece.start, piece.end
                self._joined = True
                continue
            number += 1
        return _Stop("end_of_files", "", end, self._refs[-1].name)

    def _ended(self, number: int, summary: SegmentSummary) -> _Stop:
        """A segment that recovery does not get through: the end of the WAL, or damage."""
        why = self._why(number, begun=True)
        return _Stop(why, summary.reason, summary.end, self._refs[number].name)

    def _why(self, number: int, *, begun: bool) -> StretchEnd:
        """What it means that recovery does not get into, or, if `begun`, through a segment.

        Behind the end of a cluster's WAL there may be segments that wait to be written.
        """
        unwritten = self._summaries[number].end_kind in ("zeros", "recycled", "invalid")
        behind = self._summaries[number + begun :]
        empty = all(later.records == 0 and not later.is_whole for later in behind)
        return "end_of_wal" if unwritten and empty else "damage"

    def _foreign(self, summary: SegmentSummary) -> str | None:
        """Why a segment belongs to something else."""
        if summary.major is None:
            return None
        if summary.system_identifier != self._identifier:
            return f"it is of another cluster, {summary.system_identifier}"
        if (summary.major, summary.segment_size) != (self._major, self._size):
            return "it is of another version or segment size"
        return None

    def _misfit(self, number: int) -> str | None:
        """Why a segment does not follow the one before it."""
        if not number:
            return None
        before, summary = self._summaries[number - 1], self._summaries[number]
        if summary.major is None:
            return f"it holds no WAL: {summary.reason}"
        if summary.start != before.start + self._size:
            return "a segment before it is missing"
        if before.end_kind == "switched" and summary.continued:
            return "it begins within a record, though the segment before ended with a switch"
        if not self._joined and summary.continued and not before.passes_through:
            return "it begins within a record that did not begin before"
        if None not in (summary.first_prev, self._last) and summary.first_prev != self._last:
            wrong = summary.first_prev
            return f"its first record names {wrong}, not {self._last}, as the one before it"
        return None

    def _cross(self, number: int) -> tuple[Piece | None, int] | _Stop:
        """The record that begins in one segment and ends in a later one; None if it was given up.

        Returns its piece and the number of the segment in which it ends.
        """
        ref, summary = self._refs[number], self._summaries[number]
        parts = [summary.tail or _tail(ref)]
        needed, last = summary.unfinished, number
        while needed > 0:
            last += 1
            if last == len(self._refs):
                return _Stop("end_of_files", "", summary.end, ref.name)
            after = self._summaries[last]
            if (foreign := self._foreign(after)) is not None:
                return _Stop("foreign", foreign, summary.end, self._refs[last].name)
            if after.overwrites and after.continued in (0, needed):
                return None, last
            if not self._goes_on(last, needed):
                reason = "the record with which the segment before ends does not go on here"
                why = self._why(last, begun=False)
                return _Stop(why, reason, summary.end, self._refs[last].name)
            part = after.head or _head(self._refs[last], after)
            if not part:
                return _Stop("damage", "it cannot be read", summary.end, self._refs[last].name)
            parts.append(part)
            needed -= len(part)
        content = b"".join(parts)
        if (wrong := self._wrong(content, summary.end)) is not None:
            return _Stop("damage", wrong, summary.end, self._refs[last].name)
        end = end_of(summary.end, len(content), self._size)
        return Piece(summary.end, end, self._meaning(content, summary.end), ref, content), last

    def _goes_on(self, number: int, needed: int) -> bool:
        """Whether a segment begins with so many bytes of a record, page headers and all."""
        before, summary = self._summaries[number - 1], self._summaries[number]
        follows = summary.major is not None and summary.start == before.start + self._size
        through = summary.is_whole or summary.end >= summary.first
        return follows and summary.continued == needed and through

    def _wrong(self, content: bytes, position: Lsn) -> str | None:
        """What is wrong with a record that crosses into another segment: its header was split."""
        if len(content) < RECORD_HEADER or len(content) != int.from_bytes(content[:4], "little"):
            return "invalid length of the record that ends here"
        prev, manager = Lsn.from_bytes(content[8:16], "little"), content[17]
        if not is_resource_manager(manager, self._major):
            return f"invalid resource manager {manager} of the record that ends here"
        if prev >= position if self._last is None else prev != self._last:
            return f"incorrect prev-link {prev} of the record that ends here"
        if self._checked and not crc_matches(content):
            return "incorrect checksum of the record that ends here"
        return None

    def _meaning(self, content: bytes, position: Lsn) -> Findings:
        if not matters(content[16] | content[17] << 8):
            return Findings()
        sift = Sift(self._major, self._size)
        sift.take(single(content, position))
        return sift.findings()

    def _cut(self, piece: Piece) -> Piece:
        """The first piece without what comes before the start: read once more, record by record."""
        sift = Sift(self._major, self._size)
        for batch in walk_of(piece.ref).batches():
            sift.take(batch.select(batch.positions >= self._start))
        return Piece(self._start, piece.end, sift.findings(), piece.ref)


def _tail(ref: SegmentRef) -> bytes:
    """The bytes of the record with which a segment ends, where they were too many to keep."""
    walk = walk_of(ref)
    for _ in walk.batches():
        pass
    return walk.unfinished.content if walk.unfinished else b""


def _head(ref: SegmentRef, summary: SegmentSummary) -> bytes:
    """The bytes at a segment's beginning that belong to the record before."""
    begin = LONG_HEADER_BODY
    end = min(begin + summary.continued, (summary.segment_size or 0) // PAGE_SIZE * BODY_SIZE)
    body = bytearray()
    for chunk in read_pages(ref.source):
        body += chunk[:, HEADER_SIZE:].tobytes()
        if len(body) >= end:
            break
    return bytes(body[begin:end])
