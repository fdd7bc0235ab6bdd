"""Full-page images of WAL records, made whole again.

`RestoreBlockImage` in `src/backend/access/transam/xlogreader.c`: the hole of zeros between line
pointers and tuples is left out, and what remains may be compressed.
"""

from __future__ import annotations

from typing import Literal

import lz4.block
import zstandard

from pgrescue.postgres.heap_page import PAGE_SIZE

ImageCompression = Literal["none", "pglz", "lz4", "zstd"]

_SHORTEST_MATCH = 3
_LONG_MATCH = 18


def restore_page_image(
    image: bytes, hole_offset: int, hole_length: int, compression: ImageCompression
) -> bytes | None:
    """The page of `PAGE_SIZE` bytes that an image stands for; None if it is damaged.

    The page's own LSN and checksum are those from before the record.
    """
    if hole_offset < 0 or hole_length < 0 or hole_offset + hole_length > PAGE_SIZE:
        return None
    size = PAGE_SIZE - hole_length
    match compression:
        case "none":
            content: bytes | None = image
        case "pglz":
            content = pglz_decompress(image, size)
        case "lz4":
            content = _lz4(image, size)
        case "zstd":
            content = _zstd(image, size)
    if content is None or len(content) != size:
        return None
    return content[:hole_offset] + bytes(hole_length) + content[hole_offset:]


def pglz_decompress(data: bytes, size: int) -> bytes | None:
    """The `size` bytes that PostgreSQL's own compression made `data` of; None if it is damaged.

    Format: head of `src/common/pg_lzcompress.c`. A control byte announces eight items, lowest bit
    first: a literal byte, or the offset and length of a match in what was written before.
    """
    written = bytearray()
    position, end = 0, len(data)
    while position < end and len(written) < size:
        control = data[position]
        position += 1
        if control == 0 and position + 8 <= end and len(written) + 8 <= size:
            written += data[position : position + 8]
            position += 8
            continue
        for bit in range(8):
            if position >= end or len(written) >= size:
                break
            if not control >> bit & 1:
                written.append(data[position])
                position += 1
                continue
            match = _match(data, position)
            if match is None or not 0 < match[0] <= len(written):
                return None
            offset, length, taken = match
            position += taken
            _repeat(written, offset, min(length, size - len(written)))
    return bytes(written) if position == end and len(written) == size else None


def _match(data: bytes, position: int) -> tuple[int, int, int] | None:
    """Offset and length of a match, and the bytes that its tag takes; None if they are cut off."""
    tag = data[position : position + 3]
    if len(tag) < 2:
        return None
    length = (tag[0] & 0x0F) + _SHORTEST_MATCH
    offset = (tag[0] & 0xF0) << 4 | tag[1]
    if length < _LONG_MATCH:
        return offset, length, 2
    return (offset, length + tag[2], 3) if len(tag) == 3 else None


def _repeat(written: bytearray, offset: int, length: int) -> None:
    """Append `length` bytes from `offset` bytes back; they may reach into what is appended."""
    source = bytes(written[-offset:])
    written += (source * -(-length // offset))[:length]


def _lz4(image: bytes, size: int) -> bytes | None:
    try:
        return bytes(lz4.block.decompress(image, uncompressed_size=size))
    except (lz4.block.LZ4BlockError, ValueError):
        return None


def _zstd(image: bytes, size: int) -> bytes | None:
    try:
        # A damaged header may promise terabytes, which the library would ask for at once.
        if zstandard.frame_content_size(image) != size:
            return None
        return zstandard.ZstdDecompressor().decompress(image, allow_extra_data=False)
    except zstandard.ZstdError:
        return None
