"""Headers of WAL pages (`XLogPageHeaderData`, `src/include/access/xlog_internal.h`)."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import major_of_wal_magic
from pgrescue.wal.segment import is_valid_segment_size

LONG_HEADER_SIZE = 40
_LONG_HEADER_FLAG = 0x0002
_LONG = struct.Struct("<HHIQI4xQII")


@dataclass(frozen=True, slots=True)
class SegmentHeader:
    """The long header at the start of a WAL segment: whose WAL it is, and which part."""

    major: int
    timeline: int
    """May be an ancestor's: the first segment after a fork begins with a copy of the parent's."""
    start_lsn: Lsn
    system_identifier: str
    segment_size: int


def parse_segment_header(data: bytes) -> SegmentHeader | None:
    """Read the first bytes of a segment; None if they are no WAL (zeroed, compressed, foreign)."""
    if len(data) < LONG_HEADER_SIZE:
        return None
    magic, info, timeline, address, _, system_identifier, segment_size, _ = _LONG.unpack_from(data)
    major = major_of_wal_magic(magic)
    if major is None or not info & _LONG_HEADER_FLAG or not is_valid_segment_size(segment_size):
        return None
    return SegmentHeader(major, timeline, Lsn(address), str(system_identifier), segment_size)
