"""Pages of a WAL segment, many at a time, without their headers between the records' bytes.

Format: `XLogPageHeaderData` and `XLogLongPageHeaderData` in `src/include/access/xlog_internal.h`.
A *body offset* counts a segment's bytes without the 24 bytes of each page's header, so that a
record's bytes are contiguous in it whatever pages they cross. The 16 further bytes of the long
header on a segment's first page count as body.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import numpy as np
import numpy.typing as npt

from pgrescue.compression import DECOMPRESSION_ERRORS, open_decompressed, split_ending
from pgrescue.postgres.lsn import Lsn

PAGE_SIZE = 8192
HEADER_SIZE = 24
BODY_SIZE = PAGE_SIZE - HEADER_SIZE
LONG_HEADER_SIZE = 40
LONG_HEADER_BODY = LONG_HEADER_SIZE - HEADER_SIZE
"""Where the first page's records begin, in body bytes."""

CONTINUED, LONG, REMOVABLE, OVERWRITE = 0x1, 0x2, 0x4, 0x8
ALL_FLAGS = CONTINUED | LONG | REMOVABLE | OVERWRITE
CHUNK_PAGES = 256
"""Two megabytes at a time: what is computed of them stays in a processor's own cache."""

HEADER = np.dtype(
    {
        "names": ["magic", "flags", "timeline", "address", "remaining"],
        "formats": ["<u2", "<u2", "<u4", "<u8", "<u4"],
        "offsets": [0, 2, 4, 8, 16],
        "itemsize": HEADER_SIZE,
    }
)

Bytes = npt.NDArray[np.uint8]
Words = npt.NDArray[np.uint64]
Offsets = npt.NDArray[np.int64]


def position_of(body_offset: int, segment_start: int) -> int:
    """The WAL position of a body offset, where a record may begin."""
    return segment_start + body_offset + HEADER_SIZE * (body_offset // BODY_SIZE + 1)


def positions_of(body_offsets: Offsets, segment_start: int) -> Words:
    """As `position_of`, for many."""
    within = body_offsets + HEADER_SIZE * (body_offsets // BODY_SIZE + 1)
    return within.astype(np.uint64) + np.uint64(segment_start)


def end_of(position: int, length: int, segment_size: int) -> Lsn:
    """The position after a record of that many bytes, headers of the pages it crosses included.

    As `EndRecPtr` of the server: padded to 8 bytes.
    """
    left = (length + 7) & ~7
    while True:
        within = position % PAGE_SIZE
        if within == 0:
            position += LONG_HEADER_SIZE if position % segment_size == 0 else HEADER_SIZE
            within = position % PAGE_SIZE
        room = PAGE_SIZE - within
        if left <= room:
            return Lsn(position + left)
        left -= room
        position += room


@dataclass(frozen=True, slots=True)
class Identity:
    """What a segment's summary is kept by."""

    key: str
    """A file's path; of a member of a tar file `TAR//MEMBER`."""
    file: str
    """The file that holds the bytes: they are the same as long as it is."""


class WalSource(Protocol):
    """Something whose bytes are those of one WAL segment."""

    def open(self) -> BinaryIO:
        """The plain bytes from the beginning; raises what reading and decompressing raise."""

    def size(self) -> int | None:
        """How many bytes there are, where that is known without reading them."""

    def identity(self) -> Identity | None:
        """None for bytes of which nothing is to be kept."""


@dataclass(frozen=True, slots=True)
class SegmentFile:
    """A segment in a file, compressed or not."""

    path: str

    def open(self) -> BinaryIO:
        """Open it, decompressing by its ending."""
        return open_decompressed(Path(self.path))

    def size(self) -> int | None:
        """The file's, if it is not compressed."""
        try:
            return None if split_ending(self.path)[1] else os.stat(self.path).st_size
        except OSError:
            return None

    def identity(self) -> Identity:
        """Its path says it all."""
        return Identity(self.path, self.path)


class UnreadableSegment(Exception):
    """The file cannot be read or decompressed to its end; what came before was given."""


def read_pages(source: WalSource, chunk_pages: int = CHUNK_PAGES) -> Iterator[Bytes]:
    """Whole pages, many at a time, as an array of rows; the array is used again for the next.

    Bytes after the last whole page are left out. Raises `UnreadableSegment`.
    """
    buffer = np.empty((chunk_pages, PAGE_SIZE), dtype=np.uint8)
    view = memoryview(buffer.data).cast("B")
    try:
        with source.open() as stream:
            while True:
                filled = _fill(stream, view)
                if filled >= PAGE_SIZE:
                    yield buffer[: filled // PAGE_SIZE]
                if filled < len(view):
                    return
    except NotImplementedError:
        raise  # an error of ours, not of the file
    except DECOMPRESSION_ERRORS as error:
        raise UnreadableSegment(getattr(error, "strerror", None) or str(error)) from error


def _fill(stream: BinaryIO, view: memoryview) -> int:
    """Read until the buffer is full or the stream ends; returns the number of bytes."""
    filled = 0
    reader = cast(RawIOBase, stream)
    while filled < len(view):
        count = reader.readinto(view[filled:]) or 0
        if not count:
            break
        filled += count
    return filled
