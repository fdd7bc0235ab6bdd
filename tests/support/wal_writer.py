"""WAL written by hand: records of any length and content, wherever a test wants them."""

from __future__ import annotations

import struct

import crc32c

PAGE, SHORT, LONG = 8192, 24, 40
SEGMENT = 1 << 20
MAGIC, SYSTEM, TIMELINE = 0xD118, 7_000_000_000_000_000_001, 1
_CONTINUED, _LONG, _OVERWRITE = 1, 2, 8
XLOG, SWITCH = 0, 0x40


class WalWriter:
    """Appends records; `segments` gives what files would hold."""

    def __init__(self, start: int = 5 * SEGMENT) -> None:
        self.start = self.at = start
        self.content = bytearray()
        self.last = start - 48
        self.positions: list[int] = []
        """Where the whole records begin."""
        self._page(0, 0)

    @property
    def room(self) -> int:
        """Bytes that are left on the page."""
        return -self.at % PAGE

    def record(self, data: bytes, *, rmid: int = 21, info: int = 0, xid: int = 3) -> int:
        """A whole record with this content behind its header; where it begins."""
        where, content = self._compose(data, rmid, info, xid)
        self._write(content)
        self.positions.append(where)
        self.last = where
        return where

    def fill(self, left: int) -> None:
        """A record after which so many bytes are left on a page; both are multiples of 8."""
        self._turn()
        total = self.room - left
        if total < 24:
            total += PAGE - SHORT
        self.record(bytes(total - 24))

    def give_up(self, data: bytes, pages: int) -> None:
        """A record of which only what fits on this page and some more gets written."""
        _, content = self._compose(data, 21, 0, 3)
        self._write(content, pages)
        assert self.room == 0
        self._page(_OVERWRITE, 0)

    def switch(self) -> None:
        """The end of the segment."""
        self.record(b"", rmid=XLOG, info=SWITCH)
        self.content += bytes(-len(self.content) % SEGMENT)
        self.at = self.start + len(self.content)

    def segments(self) -> list[bytes]:
        """All bytes so far, zeros behind them."""
        content = bytes(self.content) + bytes(-len(self.content) % SEGMENT)
        return [content[at : at + SEGMENT] for at in range(0, len(content), SEGMENT)]

    def _compose(self, data: bytes, rmid: int, info: int, xid: int) -> tuple[int, bytes]:
        self._turn()
        head = struct.pack("<IIQBBxx", 24 + len(data), xid, self.last, info, rmid)
        return self.at, head + struct.pack("<I", crc32c.crc32c(head, crc32c.crc32c(data))) + data

    def _turn(self) -> None:
        if self.room == 0:
            self._page(0, 0)

    def _page(self, flags: int, missing: int) -> None:
        flags |= _LONG if self.at % SEGMENT == 0 else 0
        self.content += struct.pack("<HHIQI4x", MAGIC, flags, TIMELINE, self.at, missing)
        if flags & _LONG:
            self.content += struct.pack("<QII", SYSTEM, SEGMENT, PAGE)
        self.at = self.start + len(self.content)

    def _write(self, content: bytes, pages: int | None = None) -> None:
        while True:
            part, content = content[: self.room], content[self.room :]
            self.content += part
            self.at += len(part)
            if not content or pages == 0:
                break
            self._page(_CONTINUED, len(content))
            pages = None if pages is None else pages - 1
        padding = min(-self.at % 8, self.room)
        self.content += bytes(padding)
        self.at += padding
