"""Names in the WAL: rows that are inserted into `pg_class`, `pg_namespace` and `pg_database`.

Record body: `xl_heap_insert` in `src/include/access/heapam_xlog.h`.
"""

from __future__ import annotations

import struct

import numpy as np

from pgrescue.postgres.heap_page import page_tuples
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.system_catalogs import (
    PG_CLASS,
    PG_DATABASE,
    PG_NAMESPACE,
    NamedRow,
    PgClassRow,
    PgDatabaseRow,
    pg_class_row,
    pg_class_row_from_wal,
    pg_database_row,
    pg_database_row_from_wal,
    pg_namespace_row,
    pg_namespace_row_from_wal,
)
from pgrescue.wal.block_heads import SHORTEST, block_heads
from pgrescue.wal.events import NameGiven
from pgrescue.wal.page_image import restore_page_image
from pgrescue.wal.record import BlockReference, Record, parse_record
from pgrescue.wal.records import Batch

Row = PgClassRow | PgDatabaseRow | NamedRow

_FROM_WAL = {
    PG_CLASS: pg_class_row_from_wal,
    PG_NAMESPACE: pg_namespace_row_from_wal,
    PG_DATABASE: pg_database_row_from_wal,
}
_FROM_PAGE = {
    PG_CLASS: pg_class_row,
    PG_NAMESPACE: pg_namespace_row,
    PG_DATABASE: pg_database_row,
}
CATALOGS = np.array(sorted(_FROM_WAL), dtype=np.uint32)


def names_given(inserts: Batch, major: int) -> list[NameGiven]:
    """What HEAP INSERT records put into these catalogs' own, never rewritten, files."""
    inserts = inserts.select(inserts.lengths >= SHORTEST)
    if not len(inserts):
        return []
    heads = block_heads(inserts, major)
    wanted = heads.is_first & np.isin(heads.filenodes, CATALOGS)
    found: list[NameGiven] = []
    for index in np.flatnonzero(wanted).tolist():
        position = Lsn(inserts.positions[index])
        record = parse_record(inserts.bytes_of(index), position, major)
        if record is not None and record.blocks:
            given = name_given(record, record.blocks[0].file.filenode, major)
            if given is not None:
                found.append(given)
    return found


def name_given(record: Record, catalog: int, major: int) -> NameGiven | None:
    """The row that one HEAP INSERT puts into a catalog; None if it cannot be made out."""
    block = record.blocks[0]
    row = _FROM_WAL[catalog](block.data, major) if block.data else None
    if row is None and block.image is not None:
        row = _from_image(record, block, catalog, major)
    if row is None:
        return None
    name = NameGiven(
        position=record.position,
        xid=record.xid,
        catalog=catalog,
        database=block.file.database,
        oid=row.oid,
        name=row.name,
    )
    if not isinstance(row, PgClassRow):
        return name
    return NameGiven(
        position=name.position,
        xid=name.xid,
        catalog=catalog,
        database=name.database,
        oid=row.oid,
        name=row.name,
        namespace=row.namespace,
        filenode=row.filenode,
        tablespace=row.tablespace,
        relkind=row.kind,
        persistence=row.persistence,
    )


def _from_image(record: Record, block: BlockReference, catalog: int, major: int) -> Row | None:
    """After a checkpoint the whole page is logged instead of the row; the record says which one."""
    image = block.image
    if image is None or len(record.data) < 2:
        return None
    page = restore_page_image(
        image.content, image.hole_offset, image.hole_length, image.compression
    )
    (number,) = struct.unpack_from("<H", record.data)
    for row in page_tuples(page) if page is not None else ():
        if row.number == number:
            return _FROM_PAGE[catalog](row.data, major)
    return None
