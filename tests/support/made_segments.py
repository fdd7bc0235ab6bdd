"""Segments that are right as far as their first page's header tells, and hold nothing."""

from __future__ import annotations

import struct

from pgrescue.plan.fetch_wal import ExpectedWal
from pgrescue.wal.segment import SegmentId

SIZE = 1 << 20
IDENTIFIER = "7301874987712345678"
WAL = ExpectedWal(SIZE, IDENTIFIER, 15)


def segment(
    name: str, identifier: str = IDENTIFIER, magic: int = 0xD110, size: int = SIZE
) -> bytes:
    """A segment of that name (`XLogLongPageHeaderData`, PostgreSQL 15)."""
    number = SegmentId.parse(name, SIZE)
    start = number.start(SIZE)
    header = struct.pack(
        "<HHIQI4xQII", magic, 2, number.timeline, start, 0, int(identifier), SIZE, 8192
    )
    return header + b"w" * (size - len(header))
