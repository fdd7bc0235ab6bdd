"""Tuples of heap pages, as they lie in a relation's file.

Formats: `PageHeaderData` in `src/include/storage/bufpage.h`, `ItemIdData` in
`src/include/storage/itemid.h`, `HeapTupleHeaderData` in `src/include/access/htup_details.h`; they
are the same from 12 to 18.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

PAGE_SIZE = 8192
"""`BLCKSZ` of every packaged server."""

TUPLE_HEADER = 23
"""`SizeofHeapTupleHeader`: where the null bitmap begins, if there is one."""

_PAGE_HEADER = struct.Struct("<12xHHHH4x")
_TUPLE_HEADER = struct.Struct("<II12xHB")
_LAYOUT_VERSION = PAGE_SIZE | 4
_NORMAL = 1


@dataclass(frozen=True, slots=True)
class HeapTuple:
    """One version of a row."""

    number: int
    """Of its line pointer, from 1: the second half of its ctid."""
    xmin: int
    xmax: int
    infomask: int
    data: bytes
    """The columns, without header and null bitmap."""


def is_data_offset(offset: int) -> bool:
    """Whether this can be a `t_hoff`: where a tuple's columns begin."""
    return offset > TUPLE_HEADER and offset % 8 == 0


def page_tuples(page: bytes) -> Iterator[HeapTuple]:
    """The tuples of one page; none of a page that is zeroed, torn, of an index, or garbage."""
    if len(page) != PAGE_SIZE:
        return
    lower, upper, special, version = _PAGE_HEADER.unpack_from(page)
    header = _PAGE_HEADER.size
    if version != _LAYOUT_VERSION or not header <= lower <= upper <= special == PAGE_SIZE:
        return
    count = (lower - header) // 4
    for number, pointer in enumerate(struct.unpack_from(f"<{count}I", page, header), 1):
        start, kind, length = pointer & 0x7FFF, pointer >> 15 & 3, pointer >> 17
        end = start + length
        if kind != _NORMAL or start < upper or end > PAGE_SIZE or length <= TUPLE_HEADER:
            continue
        xmin, xmax, infomask, offset = _TUPLE_HEADER.unpack_from(page, start)
        if is_data_offset(offset) and offset <= length:
            yield HeapTuple(number, xmin, xmax, infomask, page[start + offset : end])


def heap_tuples(pages: bytes) -> Iterator[HeapTuple]:
    """The tuples of successive pages; what is left at the end and no whole page is ignored."""
    for start in range(0, len(pages) - PAGE_SIZE + 1, PAGE_SIZE):
        yield from page_tuples(pages[start : start + PAGE_SIZE])
