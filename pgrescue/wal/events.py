"""What happened in the WAL besides plain work: each with the position of its record.

Bodies: `src/include/catalog/pg_control.h`, `access/xlog_internal.h`, `commands/dbcommands_xlog.h`,
`commands/tablespace.h`, `catalog/storage_xlog.h`, `storage/standbydefs.h`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

import msgspec

from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.heap_page import page_tuples
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.page_image import restore_page_image
from pgrescue.wal.record import BlockReference, Record, RelFileLocator
from pgrescue.wal.records import DBASE, HEAP, RELMAP, SMGR, STANDBY, TBLSPC, XACT, XLOG
from pgrescue.wal.transactions import TransactionEnd

GLOBAL_TABLESPACE = 1664
_CONNECTION_LIMIT, _CONNECTION_LIMIT_BEFORE_15 = 80, 208
"""Offsets of `datconnlimit` in a row of `pg_database`."""
_INVALID_DATABASE = -2
"""`DATCONNLIMIT_INVALID_DB` in `src/include/catalog/pg_database.h`."""
_MAIN_FORK, _INIT_FORK = 0, 3


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """Something at a position."""

    position: Lsn


class RestorePoint(Event, frozen=True, tag=True, kw_only=True):
    """`pg_create_restore_point`."""

    time: int
    """Microseconds since 2000."""
    name: str


class Checkpoint(Event, frozen=True, tag=True, kw_only=True):
    """The end of a checkpoint; a timeline begins at one that names another as the one before."""

    redo: Lsn
    timeline: int
    previous_timeline: int
    next_xid: int
    """64 bits: the epoch in the high half."""
    seconds: int
    """Unix time."""
    shutdown: bool


class EndOfRecovery(Event, frozen=True, tag=True, kw_only=True):
    """A promotion."""

    time: int
    timeline: int
    previous_timeline: int


class ParameterChange(Event, frozen=True, tag=True, kw_only=True):
    """Settings that a hot standby has to match."""

    limits: StandbyLimits
    wal_level: int


class BackupEnd(Event, frozen=True, tag=True, kw_only=True):
    """The end of a base backup that began at `start`."""

    start: Lsn
    end: Lsn
    """After this record: a recovery from that backup is consistent."""


class RunningTransactions(Event, frozen=True, tag=True, kw_only=True):
    """A snapshot for hot standbys; one that `overflowed` does not let a standby open."""

    overflowed: bool
    next_xid: int
    oldest_running: int
    """Ids of what was going on, subtransactions included; none where there are very many."""


class TablespaceCreated(Event, frozen=True, tag=True, kw_only=True):
    """`CREATE TABLESPACE`: replay makes the link to this path."""

    xid: int
    oid: int
    path: str


class TablespaceDropped(Event, frozen=True, tag=True, kw_only=True):
    """`DROP TABLESPACE`: the directory goes here, before the commit."""

    xid: int
    oid: int


class DatabaseCreated(Event, frozen=True, tag=True, kw_only=True):
    """`CREATE DATABASE`: its directory is made here."""

    xid: int
    oid: int
    tablespace: int


class DatabaseDropped(Event, frozen=True, tag=True, kw_only=True):
    """`DROP DATABASE`: its directory goes here, before the commit."""

    xid: int
    oid: int


class DatabaseInvalidated(Event, frozen=True, tag=True, kw_only=True):
    """`DROP DATABASE` marks the row of the database, in place, before it removes any file.

    Minor releases before 2023 do not: there the files go first.
    """

    oid: int


class FileCreated(Event, frozen=True, tag=True, kw_only=True):
    """A relation's file is made."""

    xid: int
    file: RelFileLocator


class RelationLocked(Event, frozen=True, tag=True, kw_only=True):
    """An AccessExclusiveLock, which recovery takes too and holds until the transaction's end."""

    xid: int
    database: int
    relation: int
    """OID of the relation."""


class MapUpdated(Event, frozen=True, tag=True, kw_only=True):
    """Mapped catalogs of a database got other files (`pg_filenode.map`)."""

    xid: int
    database: int
    content: bytes


class NameGiven(Event, frozen=True, tag=True, kw_only=True):
    """A row of `pg_class`, `pg_namespace` or `pg_database` is inserted: something gets a name."""

    xid: int
    catalog: int
    """OID of the catalog."""
    database: int
    oid: int
    name: str
    namespace: int = 0
    filenode: int = 0
    tablespace: int = 0
    relkind: str = ""
    persistence: str = ""


class Prepared(Event, frozen=True, tag=True, kw_only=True):
    """`PREPARE TRANSACTION`: its state is in this record until a checkpoint writes it out."""

    xid: int


class NotableEnd(Event, frozen=True, tag=True, kw_only=True):
    """The end of a transaction that dropped or made files, or had many subtransactions."""

    end: TransactionEnd


AnyEvent = (
    RestorePoint
    | Checkpoint
    | EndOfRecovery
    | ParameterChange
    | BackupEnd
    | RunningTransactions
    | TablespaceCreated
    | TablespaceDropped
    | DatabaseCreated
    | DatabaseDropped
    | DatabaseInvalidated
    | FileCreated
    | RelationLocked
    | MapUpdated
    | NameGiven
    | Prepared
    | NotableEnd
)

CHECKPOINT_SHUTDOWN, CHECKPOINT_ONLINE = 0x00, 0x10
BACKUP_END, PARAMETER_CHANGE, RESTORE_POINT, END_OF_RECOVERY = 0x50, 0x60, 0x70, 0x90


def events_of(record: Record, end: Lsn, major: int) -> list[AnyEvent]:
    """What a record means; nothing for most, and for bodies that are too short.

    `end` is the position after the record. Ends of transactions are not read here.
    """
    try:
        match record.rmid:
            case _ if record.rmid == XLOG:
                return _xlog(record, end)
            case _ if record.rmid == XACT:
                return [Prepared(position=record.position, xid=record.xid)]
            case _ if record.rmid == SMGR:
                return _storage(record)
            case _ if record.rmid == DBASE:
                return _database(record, major)
            case _ if record.rmid == TBLSPC:
                return _tablespace(record)
            case _ if record.rmid == STANDBY:
                return _standby(record)
            case _ if record.rmid == RELMAP:
                database, _, size = struct.unpack_from("<III", record.data)
                content = record.data[12 : 12 + size]
                at, xid = record.position, record.xid
                return [MapUpdated(position=at, xid=xid, database=database, content=content)]
            case _ if record.rmid == HEAP:
                return _invalidated(record, major)
    except struct.error:
        pass
    return []


def _xlog(record: Record, end: Lsn) -> list[AnyEvent]:
    data, at = record.data, record.position
    match record.info:
        case 0x00 | 0x10:
            redo, timeline, previous = struct.unpack_from("<QII", data)
            (next_xid,) = struct.unpack_from("<Q", data, 24)
            (seconds,) = struct.unpack_from("<q", data, 64)
            return [
                Checkpoint(
                    position=at,
                    redo=Lsn(redo),
                    timeline=timeline,
                    previous_timeline=previous,
                    next_xid=next_xid,
                    seconds=seconds,
                    shutdown=record.info == CHECKPOINT_SHUTDOWN,
                )
            ]
        case 0x50:
            return [BackupEnd(position=at, start=Lsn(*struct.unpack_from("<Q", data)), end=end)]
        case 0x60:
            connections, workers, senders, prepared, locks, level = struct.unpack_from("<6i", data)
            limits = StandbyLimits(connections, workers, senders, prepared, locks)
            return [ParameterChange(position=at, limits=limits, wal_level=level)]
        case 0x70:
            time, name = struct.unpack_from("<q64s", data)
            text = name.split(b"\0")[0].decode(errors="backslashreplace")
            return [RestorePoint(position=at, time=time, name=text)]
        case 0x90:
            time, timeline, previous = struct.unpack_from("<qII", data)
            return [
                EndOfRecovery(position=at, time=time, timeline=timeline, previous_timeline=previous)
            ]
    return []


def _storage(record: Record) -> list[AnyEvent]:
    if record.info != 0x10:
        return []
    *file, fork = struct.unpack_from("<IIIi", record.data)
    if fork not in (_MAIN_FORK, _INIT_FORK):
        return []
    return [FileCreated(position=record.position, xid=record.xid, file=RelFileLocator(*file))]


def _database(record: Record, major: int) -> list[AnyEvent]:
    at, xid = record.position, record.xid
    oid, second = struct.unpack_from("<II", record.data)
    if record.info == (0x20 if major >= 15 else 0x10):
        return [DatabaseDropped(position=at, xid=xid, oid=oid)]
    return [DatabaseCreated(position=at, xid=xid, oid=oid, tablespace=second)]


def _tablespace(record: Record) -> list[AnyEvent]:
    at, xid = record.position, record.xid
    (oid,) = struct.unpack_from("<I", record.data)
    if record.info == 0x10:
        return [TablespaceDropped(position=at, xid=xid, oid=oid)]
    path = record.data[4:].split(b"\0")[0].decode(errors="backslashreplace")
    return [TablespaceCreated(position=at, xid=xid, oid=oid, path=path)]


def _standby(record: Record) -> list[AnyEvent]:
    data, at = record.data, record.position
    if record.info == 0x00:
        (count,) = struct.unpack_from("<i", data)
        locks = list(struct.iter_unpack("<III", data[4 : 4 + 12 * max(count, 0)]))
        return [
            RelationLocked(position=at, xid=holder, database=database, relation=relation)
            for holder, database, relation in locks
        ]
    if record.info == 0x10:
        count, overflowed, next_xid, oldest = struct.unpack_from("<i4x?3xII", data)
        return [
            RunningTransactions(
                position=at,
                overflowed=overflowed and count > 0,
                next_xid=next_xid,
                oldest_running=oldest,
            )
        ]
    return []


def _invalidated(record: Record, major: int) -> list[AnyEvent]:
    """An in-place change of a row of `pg_database` to `datconnlimit` -2."""
    block = record.blocks[0] if record.blocks else None
    if block is None or block.file.tablespace != GLOBAL_TABLESPACE:
        return []
    row = block.data or _row_in_image(record, block)
    offset = _CONNECTION_LIMIT if major >= 15 else _CONNECTION_LIMIT_BEFORE_15
    (oid,) = struct.unpack_from("<I", row)
    (limit,) = struct.unpack_from("<i", row, offset)
    if limit != _INVALID_DATABASE:
        return []
    return [DatabaseInvalidated(position=record.position, oid=oid)]


def _row_in_image(record: Record, block: BlockReference) -> bytes:
    """After a checkpoint the whole page is logged; the record says which row was changed."""
    image = block.image
    (number,) = struct.unpack_from("<H", record.data)
    page = image and restore_page_image(
        image.content, image.hole_offset, image.hole_length, image.compression
    )
    rows = (row.data for row in page_tuples(page or b"") if row.number == number)
    return next(rows, b"")


def destruction_begins(drop: DatabaseDropped, marks: Iterable[DatabaseInvalidated]) -> Lsn:
    """From where on a database that is dropped cannot be entered any more."""
    own = [
        mark.position for mark in marks if mark.oid == drop.oid and mark.position < drop.position
    ]
    return own[-1] if own else drop.position
