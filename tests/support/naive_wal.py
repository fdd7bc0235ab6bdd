"""A second reader of WAL segments, slow and simple: one record after the other, byte by byte.

It goes as `XLogReadRecord` in `src/backend/access/transam/xlogreader.c` goes, shares no code with
the reader under test, and is what that one is compared with.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

Why = Literal[
    "not_wal",  # the first page is not that of a segment
    "page",  # the header of a page is not the one that belongs there
    "no_page",  # the file ends
    "contrecord",  # a page says that a record goes on where none does, or the other way round
    "length",
    "manager",
    "prev",
    "crc",
    "switch",
    "end",  # the last record ends with the segment
    "goes_on",  # the last record goes on in the next segment
    "passes_through",  # so does the one that began in a segment before
]

PAGE, SHORT, LONG = 8192, 24, 40
_CONTINUED, _LONG, _OVERWRITE, _KNOWN_FLAGS = 1, 2, 8, 0xF
_MAGICS = {0xD101: 12, 0xD106: 13, 0xD10D: 14, 0xD110: 15, 0xD113: 16, 0xD116: 17, 0xD118: 18}
_MAX_RECORD = 1020 << 20
_POLYNOMIAL = 0x82F63B78


def _crc_table() -> tuple[int, ...]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (_POLYNOMIAL if value & 1 else 0)
        table.append(value)
    return tuple(table)


_CRC_TABLE = _crc_table()


def crc32c(content: bytes) -> int:
    """CRC-32C (Castagnoli), as `pg_comp_crc32c` computes it."""
    crc = 0xFFFFFFFF
    for byte in content:
        crc = crc >> 8 ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class NaiveRecord:
    """A record that is whole within the segment."""

    lsn: int
    total: int
    xid: int
    prev: int
    rmid: int
    info: int
    content: bytes = field(repr=False)

    @classmethod
    def of(cls, lsn: int, content: bytes) -> NaiveRecord:
        """Read the header of a record."""
        total, xid, prev, info, rmid = struct.unpack_from("<IIQBB", content)
        return cls(lsn, total, xid, prev, rmid, info, content)

    @property
    def crc_is_right(self) -> bool:
        """The data first, then the header up to the CRC itself."""
        stated = int.from_bytes(self.content[20:24], "little")
        return crc32c(self.content[24:] + self.content[:20]) == stated


@dataclass(slots=True)
class NaiveWalk:
    """What was found in a segment, and where it ends and why."""

    records: list[NaiveRecord]
    end: int
    why: Why
    blank: bool = False
    """Whether there are only zeros where a page's magic number or a record should be."""
    continued: int = 0
    """Bytes at the beginning that belong to a record of the segment before."""
    given_up: bool = False
    """Whether that record is given up in this segment."""
    unfinished: bytes = b""
    """The beginning of the record that goes on in the next segment."""


class _Stop(Exception):
    def __init__(self, why: Why, *, blank: bool = False) -> None:
        self.why: Why = why
        self.blank = blank


class _GivenUp(Exception):
    """At this page the server began anew, after a crash in the middle of a record."""

    def __init__(self, page: int) -> None:
        self.page = page


class _SegmentOver(Exception):
    pass


class _Reader:
    """Positions are offsets in the file."""

    def __init__(self, content: bytes, start: int, timeline: int, check_crc: bool) -> None:
        self.content, self.start, self.timeline, self.check_crc = (
            content,
            start,
            timeline,
            check_crc,
        )
        self.size, self.major, self.magic = 0, 0, 0
        self.timelines: dict[int, int] = {}
        """Of the pages that were looked at."""
        self.partial = b""

    def first_page(self) -> None:
        """Learn from the long header what the other pages must have."""
        if len(self.content) < PAGE:
            raise _Stop("not_wal")
        self.magic, flags = struct.unpack_from("<HH", self.content)
        self.size, block = struct.unpack_from("<II", self.content, 32)
        self.major = _MAGICS.get(self.magic, 0)
        power = self.size & (self.size - 1) == 0
        if not self.major or not flags & _LONG or not power or not 1 << 20 <= self.size <= 1 << 30:
            raise _Stop("not_wal", blank=not self.magic)
        if block != PAGE:
            raise _Stop("page")
        self.page(0)

    def page(self, offset: int) -> tuple[int, int]:
        """Check a page's header as `XLogReaderValidatePageHeader` does; its flags, rem_len."""
        if offset >= self.size:
            raise _SegmentOver
        if offset + PAGE > len(self.content):
            raise _Stop("no_page")
        magic, flags, timeline, address, rest = struct.unpack_from("<HHIQI", self.content, offset)
        before = self.timelines.get(offset - PAGE, 0)
        if (
            magic != self.magic
            or flags & ~_KNOWN_FLAGS
            or bool(flags & _LONG) != (offset == 0)
            or address != self.start + offset
            or not before <= timeline <= self.timeline
        ):
            raise _Stop("page", blank=magic == 0)
        self.timelines[offset] = timeline
        return flags, rest

    def first_record(self) -> tuple[int, int]:
        """Step over what belongs to the segment before; offset of the first record, bytes."""
        flags, rest = self.page(0)
        if not flags & _CONTINUED:
            return LONG, 0
        if not rest:
            raise _Stop("contrecord")
        page, missing, room = 0, rest, PAGE - LONG
        while missing > room:
            missing -= room
            page, room = page + PAGE, PAGE - SHORT
            self.go_on(page, missing)
        offset = page + PAGE - room + (missing + 7 & ~7)
        return offset + SHORT if offset % PAGE == 0 else offset, rest

    def go_on(self, page: int, missing: int) -> None:
        """The next page must go on with a record of which so many bytes are missing."""
        flags, rest = self.page(page)
        if flags & _OVERWRITE:
            raise _GivenUp(page)
        if not flags & _CONTINUED or rest != missing:
            raise _Stop("contrecord")

    def record(self, offset: int, before: int | None) -> NaiveRecord:
        """The record at an offset."""
        self.partial = b""
        page = offset - offset % PAGE
        flags, _ = self.page(page)
        blank = not any(self.content[offset : min(offset + 24, page + PAGE)])
        if flags & _CONTINUED and offset - page == (LONG if page == 0 else SHORT):
            raise _Stop("contrecord", blank=blank)
        (total,) = struct.unpack_from("<I", self.content, offset)
        if total < 24:
            raise _Stop("length", blank=blank)
        lsn, taken, checked = self.start + offset, bytearray(), False
        while True:
            taken += self.content[offset : min(page + PAGE, offset + total - len(taken))]
            if not checked and len(taken) >= 24:
                self.check_header(lsn, bytes(taken), before)
                checked = True
            if len(taken) == total:
                break
            page += PAGE
            offset = page + SHORT
            self.partial = bytes(taken)
            self.go_on(page, total - len(taken))
        record = NaiveRecord.of(lsn, bytes(taken))
        if self.check_crc and not record.crc_is_right:
            raise _Stop("crc")
        return record

    def check_header(self, lsn: int, header: bytes, before: int | None) -> None:
        """As `ValidXLogRecordHeader`."""
        total, _, prev, _, manager = struct.unpack_from("<IIQBB", header)
        if manager > 21 and (manager < 128 or self.major < 15):
            raise _Stop("manager")
        if prev >= lsn if before is None else prev != before:
            raise _Stop("prev")
        if total > _MAX_RECORD:
            raise _Stop("length")

    def after(self, record: NaiveRecord) -> int:
        """Offset of the next record; one at a page's beginning is behind the page's header."""
        page = (record.lsn - self.start) // PAGE * PAGE
        offset, left = record.lsn - self.start, record.total + 7 & ~7
        while left > page + PAGE - offset:
            left -= page + PAGE - offset
            page += PAGE
            offset = page + SHORT
        offset += left
        return offset + SHORT if offset % PAGE == 0 else offset


def walk_segment(content: bytes, start: int, timeline: int, *, check_crc: bool = True) -> NaiveWalk:
    """Every record of a segment whose name says that it begins at `start` on `timeline`."""
    reader = _Reader(content, start, timeline, check_crc)
    walk = NaiveWalk([], start, "end")
    try:
        reader.first_page()
    except _Stop as stop:
        walk.why, walk.blank = stop.why, stop.blank
        return walk
    walk.end = start + LONG
    try:
        offset, walk.continued = reader.first_record()
    except _GivenUp as given_up:
        walk.given_up = True
        _, walk.continued = reader.page(0)
        offset = given_up.page + SHORT
    except _SegmentOver:
        walk.continued = reader.page(0)[1]
        walk.end, walk.why = start + reader.size, "passes_through"
        return walk
    except _Stop as stop:
        walk.continued = reader.page(0)[1]
        walk.why, walk.blank = stop.why, stop.blank
        return walk
    _records(reader, walk, offset)
    return walk


def _records(reader: _Reader, walk: NaiveWalk, offset: int) -> None:
    before: int | None = None
    while True:
        walk.end = reader.start + offset
        try:
            record = reader.record(offset, before)
        except _GivenUp as given_up:
            offset = given_up.page + SHORT
            continue
        except _SegmentOver:
            if reader.partial:
                walk.why, walk.unfinished = "goes_on", reader.partial
            else:
                walk.why, walk.end = "end", reader.start + reader.size
            return
        except _Stop as stop:
            walk.why, walk.blank = stop.why, stop.blank
            return
        walk.records.append(record)
        before = record.lsn
        offset = reader.after(record)
        if record.rmid == 0 and record.info & 0xF0 == 0x40:
            # The rest of the segment belongs to it.
            walk.why, walk.end = "switch", reader.start + reader.size
            return
