"""WAL records byte by byte: where they are, the server's pg_waldump says.

Their form: `XLogRecord` and `XLogRecordBlockHeader` in `src/include/access/xlogrecord.h`.
"""

from __future__ import annotations

import re
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo.account import tool_environment
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.page_image import ImageCompression
from pgrescue.wal.segment import SegmentId

_LINE = re.compile(
    r"rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:.*?lsn: (\S+), prev \S+, desc: (\S+)"
)
_PAGE = 8192
_HOLE, _HAS_IMAGE, _HAS_DATA, _SAME_RELATION = 0x01, 0x10, 0x20, 0x80
_COMPRESSED: dict[bool, dict[int, ImageCompression]] = {
    False: {0x02: "pglz"},
    True: {0x04: "pglz", 0x08: "lz4", 0x10: "zstd"},
}
"""Flags of an image, before 15 and since."""


@dataclass(frozen=True, slots=True)
class RawImage:
    """A full-page image as it is stored."""

    data: bytes
    hole_offset: int
    hole_length: int
    compression: ImageCompression


@dataclass(slots=True)
class RawBlock:
    """What a record has for one block."""

    fork: int
    relation: tuple[int, int, int]
    """OIDs of tablespace and database, and the filenode."""
    block: int
    image: RawImage | None
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class RawRecord:
    """One record."""

    lsn: Lsn
    rmgr: str
    operation: str
    blocks: tuple[RawBlock, ...]


def current_lsn(sandbox: Sandbox) -> Lsn:
    """Where the server will write next."""
    return Lsn.parse(sandbox.sql("select pg_current_wal_insert_lsn()")[0])


def raw_records(sandbox: Sandbox, start: Lsn, segment_size: int) -> list[RawRecord]:
    """The records of timeline 1 from `start` to the end of what is flushed."""
    argv = [sandbox.binaries.program("pg_waldump"), "-p", str(sandbox.data / "pg_wal")]
    completed = subprocess.run(
        [*argv, "-s", str(start)],
        cwd="/",
        env=tool_environment(sandbox.account),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,  # it fails at the end of WAL
        **sandbox.account.spawn_arguments(),
    )
    records = []
    for line in completed.stdout.splitlines():
        if found := _LINE.match(line):
            lsn = Lsn.parse(found[3])
            data = _bytes_at(sandbox.data / "pg_wal", lsn, int(found[2]), segment_size)
            blocks = tuple(_blocks(data, sandbox.binaries.major))
            records.append(RawRecord(lsn, found[1], found[4], blocks))
    assert records, completed.stderr
    return records


def _bytes_at(directory: Path, lsn: Lsn, length: int, segment_size: int) -> bytes:
    """The bytes of a record, page headers left out."""
    taken = bytearray()
    position = int(lsn)
    while len(taken) < length:
        if position % _PAGE == 0:
            position += 40 if position % segment_size == 0 else 24
        name = SegmentId.at(Lsn(position), 1, segment_size).name(segment_size)
        with (directory / name).open("rb") as segment:
            segment.seek(position % segment_size)
            part = segment.read(min(length - len(taken), _PAGE - position % _PAGE))
        taken += part
        position += len(part)
    return bytes(taken)


def _blocks(record: bytes, major: int) -> Iterator[RawBlock]:
    blocks: list[tuple[RawBlock, int, int]] = []
    relation, position, pending = (0, 0, 0), 24, 0
    while len(record) - position > pending:
        identifier = record[position]
        if identifier >= 252:
            length = {255: 2, 254: 5, 253: 3, 252: 5}[identifier]
            if identifier == 255:
                pending += record[position + 1]
            elif identifier == 254:
                pending += struct.unpack_from("<I", record, position + 1)[0]
            position += length
            continue
        flags, data_length = struct.unpack_from("<BH", record, position + 1)
        position += 4
        image, image_length = None, 0
        if flags & _HAS_IMAGE:
            image_length, offset, how = struct.unpack_from("<HHB", record, position)
            position += 5
            packed = _COMPRESSED[major >= 15]
            compression = next((name for bit, name in packed.items() if how & bit), None)
            hole = 0
            if how & _HOLE:
                hole = _PAGE - image_length
                if compression is not None:
                    hole = struct.unpack_from("<H", record, position)[0]
                    position += 2
            image = RawImage(b"", offset, hole, compression or "none")
        if not flags & _SAME_RELATION:
            relation = struct.unpack_from("<III", record, position)
            position += 12
        (number,) = struct.unpack_from("<I", record, position)
        position += 4
        pending += image_length + data_length
        blocks.append((RawBlock(flags & 0x0F, relation, number, image), image_length, data_length))
    for block, image_length, data_length in blocks:
        if block.image is not None:
            stored = record[position : position + image_length]
            kind = block.image
            block.image = RawImage(stored, kind.hole_offset, kind.hole_length, kind.compression)
        position += image_length
        block.data = record[position : position + data_length]
        position += data_length
        yield block
