"""Whether a compressed archive is whole, told from its framing without decompressing it.

gzip: RFC 1952; lz4: `doc/lz4_Frame_format.md` of lz4; zstd: RFC 8878.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

from pgrescue.catalog.tar_stream import BLOCK
from pgrescue.compression import ZSTD_HEAD, split_ending

_LZ4_CONTENT_CHECKSUM = 0x04
_ZSTD_SKIPPABLE = 0x184D2A50
_ZSTD_CHECKSUM = 0x04
_ZSTD_SINGLE_SEGMENT = 0x20
_ZSTD_RLE = 1


def ends_plausibly(path: Path) -> bool:
    """A cheap guess from the first and last bytes; False deserves a whole reading.

    A tar is a whole number of blocks, which gzip's length field must agree with; an lz4 frame
    closes with a mark; a zstd frame has no end that could be told from behind.
    """
    _, ending = split_ending(path.name)
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        if ending == ".gz":
            tail = _last(file, 4)
            return len(tail) == 4 and struct.unpack("<I", tail)[0] % BLOCK == 0
        if ending == ".lz4":
            file.seek(4)
            flags = file.read(1)
            checksum = 4 if flags and flags[0] & _LZ4_CONTENT_CHECKSUM else 0
            return size > 15 and _last(file, 4 + checksum)[:4] == bytes(4)
        return size > 0


def zstd_frames_are_whole(path: Path) -> bool:
    """Whether the last frame of a zstd file ends where the file ends.

    The library takes a truncated stream for a finished one, so the block headers are followed.
    """
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        position = 0
        while position < size:
            following = _after_frame(file, position)
            if following is None or following > size:
                return False
            position = following
    return size > 0


def _after_frame(file: BinaryIO, position: int) -> int | None:
    file.seek(position)
    head = file.read(18)
    if len(head) < 8:
        return None
    if int.from_bytes(head[:4], "little") & 0xFFFFFFF0 == _ZSTD_SKIPPABLE:
        return position + 8 + int.from_bytes(head[4:8], "little")
    if head[:4] != ZSTD_HEAD:
        return None
    descriptor = head[4]
    position += 5 + _zstd_header_rest(descriptor)
    while True:
        file.seek(position)
        raw = file.read(3)
        if len(raw) < 3:
            return None
        block = int.from_bytes(raw, "little")
        position += 3 + (1 if block >> 1 & 3 == _ZSTD_RLE else block >> 3)
        if block & 1:
            return position + (4 if descriptor & _ZSTD_CHECKSUM else 0)


def _zstd_header_rest(descriptor: int) -> int:
    """Bytes of the frame header after the descriptor: window, dictionary id, content size."""
    single = bool(descriptor & _ZSTD_SINGLE_SEGMENT)
    content_size = (1 if single else 0, 2, 4, 8)[descriptor >> 6]
    return (0 if single else 1) + (0, 1, 2, 4)[descriptor & 3] + content_size


def _last(file: BinaryIO, count: int) -> bytes:
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - count))
    return file.read(count)
