"""`pg_filenode.map`: the files of the catalogs that are needed to find all other files.

Format: `RelMapFile` in `src/backend/utils/cache/relmapper.c`. 16 made room for 64 instead of 62
entries and dropped the padding.
"""

from __future__ import annotations

import struct

import crc32c

from pgrescue.errors import InvalidFormat

NAME = "pg_filenode.map"
_MAGIC = 0x592717
_HEADER = struct.Struct("<ii")
_ENTRY = struct.Struct("<II")
_ENTRIES_BY_SIZE = {512: 62, 524: 64}


def parse_relation_map(data: bytes) -> dict[int, int]:
    """Relation OID to filenode; raises `InvalidFormat` as the server would refuse it."""
    room = _ENTRIES_BY_SIZE.get(len(data))
    if room is None:
        raise InvalidFormat(f"{NAME} is damaged.", f"It has {len(data)} bytes instead of 512.")
    magic, count = _HEADER.unpack_from(data)
    if magic != _MAGIC or not 0 <= count <= room:
        raise InvalidFormat(f"{NAME} is damaged.", "It does not begin as a relation map.")
    end = _HEADER.size + room * _ENTRY.size
    if crc32c.crc32c(data[:end]) != int.from_bytes(data[end : end + 4], "little"):
        raise InvalidFormat(f"{NAME} is damaged.", "Its CRC does not match.")
    entries = data[_HEADER.size : _HEADER.size + count * _ENTRY.size]
    return dict(_ENTRY.iter_unpack(entries))
