"""One record taken apart: block references, images, data (`src/include/access/xlogrecord.h`)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal, NamedTuple

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.records import INFO_MASK, RECORD_HEADER

ImageCompression = Literal["none", "pglz", "lz4", "zstd"]

_HEADER = struct.Struct("<IIQBBxxI")
_LAST_BLOCK_ID = 32
_ORIGIN, _TOP_XID, _LONG_DATA, _SHORT_DATA = 253, 252, 254, 255
_HAS_IMAGE, _HAS_DATA, _SAME_RELATION, _FORK = 0x10, 0x20, 0x80, 0x0F
_HAS_HOLE = 0x01


class RelFileLocator(NamedTuple):
    """Which file a block belongs to (`RelFileNode` before 16)."""

    tablespace: int
    database: int
    filenode: int


@dataclass(frozen=True, slots=True)
class PageImage:
    """A full-page image as it stands in the record."""

    content: bytes
    hole_offset: int
    hole_length: int
    compression: ImageCompression


@dataclass(frozen=True, slots=True)
class BlockReference:
    """One block that a record touches."""

    file: RelFileLocator
    fork: int
    block: int
    image: PageImage | None
    data: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record."""

    position: Lsn
    prev: Lsn
    xid: int
    rmid: int
    info: int
    """Without the bits that belong to the WAL machinery."""
    blocks: tuple[BlockReference, ...]
    data: bytes
    """The resource manager's main data."""
    top_xid: int | None
    """For a subtransaction, where logical decoding is on (14 and later)."""


class _Shape(NamedTuple):
    file: RelFileLocator
    fork: int
    block: int
    image: tuple[int, int, int, ImageCompression] | None
    data: int


def parse_record(content: bytes, position: Lsn, major: int) -> Record | None:
    """Take a record apart; None if its inner lengths do not fit together."""
    try:
        return _parse(content, position, major)
    except (struct.error, IndexError):
        return None


def _parse(content: bytes, position: Lsn, major: int) -> Record | None:
    total, xid, prev, info, rmid, _ = _HEADER.unpack_from(content)
    if total != len(content):
        return None
    offset, left = RECORD_HEADER, total - RECORD_HEADER
    shapes: list[_Shape] = []
    promised = main = 0
    top_xid: int | None = None
    while offset + promised < total:
        kind = content[offset]
        if kind == _SHORT_DATA:
            main, offset = content[offset + 1], offset + 2
        elif kind == _LONG_DATA:
            (main,) = struct.unpack_from("<I", content, offset + 1)
            offset += 5
        elif kind == _ORIGIN:
            offset += 3
        elif kind == _TOP_XID:
            (top_xid,) = struct.unpack_from("<I", content, offset + 1)
            offset += 5
        elif kind <= _LAST_BLOCK_ID:
            shape, offset = _block(content, offset, shapes[-1].file if shapes else None, major)
            shapes.append(shape)
            promised += shape.data + (shape.image[0] if shape.image else 0)
        else:
            return None
        if kind in (_SHORT_DATA, _LONG_DATA):
            promised += main
            break
    if offset + promised != total or left < 0:
        return None
    blocks: list[BlockReference] = []
    for shape in shapes:
        image: PageImage | None = None
        if shape.image:
            length, hole, hole_length, compression = shape.image
            image = PageImage(content[offset : offset + length], hole, hole_length, compression)
            offset += length
        data = content[offset : offset + shape.data]
        offset += shape.data
        blocks.append(BlockReference(shape.file, shape.fork, shape.block, image, data))
    return Record(
        position=position,
        prev=Lsn(prev),
        xid=xid,
        rmid=rmid,
        info=info & INFO_MASK,
        blocks=tuple(blocks),
        data=content[total - main :] if main else b"",
        top_xid=top_xid,
    )


def _block(
    content: bytes, offset: int, before: RelFileLocator | None, major: int
) -> tuple[_Shape, int]:
    """One block's header (`XLogRecordBlockHeader` and what follows it)."""
    flags = content[offset + 1]
    (data,) = struct.unpack_from("<H", content, offset + 2)
    offset += 4
    image: tuple[int, int, int, ImageCompression] | None = None
    if flags & _HAS_IMAGE:
        length, hole, bits = struct.unpack_from("<HHB", content, offset)
        offset += 5
        compression = image_compression(bits, major)
        hole_length = 0
        if bits & _HAS_HOLE:
            if compression == "none":
                hole_length = 8192 - length
            else:
                (hole_length,) = struct.unpack_from("<H", content, offset)
                offset += 2
        image = (length, hole, hole_length, compression)
    if flags & _SAME_RELATION:
        if before is None:
            raise IndexError
        file = before
    else:
        file = RelFileLocator(*struct.unpack_from("<III", content, offset))
        offset += 12
    (block,) = struct.unpack_from("<I", content, offset)
    return _Shape(file, flags & _FORK, block, image, data), offset + 4


def image_compression(bits: int, major: int) -> ImageCompression:
    """`bimg_info` says it in other bits since 15."""
    if major < 15:
        return "pglz" if bits & 0x02 else "none"
    for bit, name in ((0x04, "pglz"), (0x08, "lz4"), (0x10, "zstd")):
        if bits & bit:
            return name  # type: ignore[return-value]
    return "none"
