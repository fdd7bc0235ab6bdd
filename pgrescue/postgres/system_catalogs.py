"""Rows of the system catalogs that give things their names, out of a tuple's bytes.

Columns that are fixed in width and never null come first, so their offsets hold for every row:
`src/include/catalog/pg_class.h`, `pg_namespace.h`, `pg_database.h`, `pg_tablespace.h`. A tuple in
a WAL record lacks most of its header: `xl_heap_header` in `src/include/access/heapam_xlog.h`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from pgrescue.postgres.heap_page import TUPLE_HEADER, is_data_offset

PG_CLASS = 1259
PG_NAMESPACE = 2615
PG_DATABASE = 1262
PG_TABLESPACE = 1213
DEFAULT_TABLESPACE = 1663
GLOBAL_TABLESPACE = 1664

KINDS = frozenset("rtiSvmcfpI")
"""Every `relkind`."""

_NAME_SIZE = 64
_NAMED = struct.Struct("<I64s")
_CLASS = struct.Struct("<I64sI16xIIif4xI?BBB")
_CLASS_18 = struct.Struct("<I64sI16xIIif8xI?BBB")
_DATABASE = struct.Struct("<I64s12xi8xI")
_DATABASE_14 = struct.Struct("<I64s140xi12xI")
_INVALID_DATABASE = -2
_WAL_HEADER = struct.Struct("<4xB")

Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class PgClassRow:
    """A table, index, view or any other relation."""

    oid: int
    name: str
    namespace: int
    filenode: int
    """0: none, or in the relation map."""
    tablespace: int
    """0: its database's default."""
    rows: float | None
    """`reltuples`; None if nothing has ever counted them."""
    toast: int
    is_shared: bool
    persistence: str
    kind: str


@dataclass(frozen=True, slots=True)
class PgDatabaseRow:
    """A database."""

    oid: int
    name: str
    tablespace: int


@dataclass(frozen=True, slots=True)
class NamedRow:
    """A schema or a tablespace: its OID and its name."""

    oid: int
    name: str


def pg_class_row(data: bytes, major: int) -> PgClassRow | None:
    """A row of `pg_class`; None if the bytes are none."""
    layout = _CLASS_18 if major >= 18 else _CLASS
    if len(data) < layout.size:
        return None
    fields = layout.unpack_from(data)
    oid, raw_name, namespace, filenode, tablespace, pages, rows, toast, _, *flags = fields
    is_shared, persistence, kind = flags[0], chr(flags[1]), chr(flags[2])
    name = _name(raw_name)
    if name is None or not oid or kind not in KINDS or persistence not in "put":
        return None
    # Since 14 nothing but -1 means "never counted"; before, an empty relation looks the same.
    counted = math.isfinite(rows) and rows >= 0 and (major >= 14 or pages != 0 or rows != 0)
    return PgClassRow(
        oid=oid,
        name=name,
        namespace=namespace,
        filenode=filenode,
        tablespace=tablespace,
        rows=rows if counted else None,
        toast=toast,
        is_shared=bool(is_shared),
        persistence=persistence,
        kind=kind,
    )


def pg_database_row(data: bytes, major: int) -> PgDatabaseRow | None:
    """A row of `pg_database`; None if the bytes are none."""
    layout = _DATABASE if major >= 15 else _DATABASE_14
    if len(data) < layout.size:
        return None
    oid, raw_name, limit, tablespace = layout.unpack_from(data)
    name = _name(raw_name)
    if name is None or not oid or not tablespace or limit < _INVALID_DATABASE:
        return None
    return PgDatabaseRow(oid, name, tablespace)


def pg_namespace_row(data: bytes, major: int) -> NamedRow | None:
    """A row of `pg_namespace`; None if the bytes are none. All versions have the same columns."""
    if len(data) < _NAMED.size:
        return None
    oid, raw_name = _NAMED.unpack_from(data)
    name = _name(raw_name)
    return NamedRow(oid, name) if name is not None and oid else None


pg_tablespace_row = pg_namespace_row
"""A row of `pg_tablespace`, which begins with the same two columns."""


def pg_class_row_from_wal(block_data: bytes, major: int) -> PgClassRow | None:
    """The row in the block data of a HEAP INSERT on `pg_class`; None if it is garbage."""
    return _inserted(block_data, major, pg_class_row)


def pg_database_row_from_wal(block_data: bytes, major: int) -> PgDatabaseRow | None:
    """The row in the block data of a HEAP INSERT on `pg_database`; None if it is garbage."""
    return _inserted(block_data, major, pg_database_row)


def pg_namespace_row_from_wal(block_data: bytes, major: int) -> NamedRow | None:
    """The row in the block data of a HEAP INSERT on `pg_namespace`; None if it is garbage."""
    return _inserted(block_data, major, pg_namespace_row)


def _inserted(
    block_data: bytes, major: int, parse: Callable[[bytes, int], Row | None]
) -> Row | None:
    if len(block_data) < _WAL_HEADER.size:
        return None
    (offset,) = _WAL_HEADER.unpack_from(block_data)
    data = _columns(block_data[_WAL_HEADER.size :], offset)
    return None if data is None else parse(data, major)


def _columns(stored: bytes, offset: int) -> bytes | None:
    """What follows header and null bitmap, of a tuple that is stored from the bitmap on."""
    start = offset - TUPLE_HEADER
    return stored[start:] if is_data_offset(offset) and start <= len(stored) else None


def _name(raw: bytes) -> str | None:
    """A column of type `name`: its bytes, and zeros up to 64 of them (`namestrcpy`)."""
    name = raw.rstrip(b"\0")
    if not 0 < len(name) < _NAME_SIZE or 0 in name:
        return None
    return name.decode("utf-8", "backslashreplace")
