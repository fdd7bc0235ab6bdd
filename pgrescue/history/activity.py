"""What each transaction did that may turn out to be an incident, gathered from summaries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.relation_map import parse_relation_map
from pgrescue.postgres.system_catalogs import PG_CLASS
from pgrescue.wal.events import (
    AnyEvent,
    DatabaseCreated,
    DatabaseDropped,
    DatabaseInvalidated,
    FileCreated,
    MapUpdated,
    NameGiven,
    NotableEnd,
    RelationLocked,
    TablespaceDropped,
)
from pgrescue.wal.record import RelFileLocator
from pgrescue.wal.stretch import Piece
from pgrescue.wal.summary import RowChanges


@dataclass(slots=True)
class Activity:
    """One transaction's, or one subtransaction's, doings."""

    first: Lsn | None = None
    """The first record that is known of it."""
    last_piece: int = 0
    locks: list[tuple[int, int]] = field(default_factory=list)
    """Databases and OIDs of the relations that it locked exclusively, in order."""
    created: list[RelFileLocator] = field(default_factory=list)
    names: list[NameGiven] = field(default_factory=list)
    deleted: dict[RelFileLocator, int] = field(default_factory=dict)
    updated: dict[RelFileLocator, int] = field(default_factory=dict)

    def note(self, position: Lsn, piece: int) -> None:
        """It did something there."""
        self.first = position if self.first is None else min(self.first, position)
        self.last_piece = max(self.last_piece, piece)

    def rows(self) -> int:
        """The most rows that it is known to have deleted or updated in one relation."""
        return max((*self.deleted.values(), *self.updated.values()), default=0)


def merged(parts: Iterable[Activity]) -> Activity:
    """A transaction with its subtransactions."""
    whole = Activity()
    for part in parts:
        if part.first is not None:
            whole.note(part.first, part.last_piece)
        whole.locks += part.locks
        whole.created += part.created
        whole.names += part.names
        for mine, theirs in ((whole.deleted, part.deleted), (whole.updated, part.updated)):
            for file, count in theirs.items():
                mine[file] = mine.get(file, 0) + count
    return whole


class Diary:
    """Everything that was noted, by transaction and in order."""

    def __init__(self) -> None:
        self.by_xid: dict[int, Activity] = {}
        self.ends: list[tuple[int, NotableEnd]] = []
        """With the piece that each is in."""
        self.names: list[NameGiven] = []
        self.maps: list[MapUpdated] = []
        self.database_drops: list[tuple[int, DatabaseDropped]] = []
        """With the piece that each is in."""
        self.database_marks: list[DatabaseInvalidated] = []
        self.tablespace_drops: list[tuple[int, TablespaceDropped]] = []
        self.created_databases: dict[int, Lsn] = {}

    def take(self, number: int, piece: Piece) -> None:
        """Note what is in a piece of WAL."""
        for event in piece.found.events:
            self._event(number, event)
        for rows in piece.found.rows:
            self._rows(number, rows)

    def of(self, xids: Iterable[int]) -> Activity:
        """What these, a transaction and its subtransactions, did together."""
        return merged(self.by_xid[xid] for xid in xids if xid in self.by_xid)

    def pg_class_file(self, database: int, default: int, before: Lsn) -> int:
        """The file of a database's `pg_class` at a position, if it was rewritten before."""
        filenode = default
        for update in self.maps:
            if update.database == database and update.position < before:
                filenode = parse_relation_map(update.content).get(PG_CLASS, filenode)
        return filenode

    def _event(self, number: int, event: AnyEvent) -> None:
        match event:
            case RelationLocked():
                activity = self._activity(event.xid, event.position, number)
                activity.locks.append((event.database, event.relation))
            case FileCreated():
                self._activity(event.xid, event.position, number).created.append(event.file)
            case NameGiven():
                self._activity(event.xid, event.position, number).names.append(event)
                self.names.append(event)
            case NotableEnd():
                self.ends.append((number, event))
            case MapUpdated():
                self.maps.append(event)
            case DatabaseInvalidated():
                self.database_marks.append(event)
            case DatabaseCreated():
                self.created_databases.setdefault(event.oid, event.position)
            case DatabaseDropped():
                self.database_drops.append((number, event))
            case TablespaceDropped():
                self.tablespace_drops.append((number, event))
            case _:
                pass

    def _rows(self, number: int, rows: RowChanges) -> None:
        activity = self._activity(rows.xid, rows.first, number)
        if rows.deleted:
            activity.deleted[rows.file] = activity.deleted.get(rows.file, 0) + rows.deleted
        if rows.updated:
            activity.updated[rows.file] = activity.updated.get(rows.file, 0) + rows.updated

    def _activity(self, xid: int, position: Lsn, piece: int) -> Activity:
        activity = self.by_xid.setdefault(xid, Activity())
        activity.note(position, piece)
        return activity
