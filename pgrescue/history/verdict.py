"""What a transaction that dropped or exchanged files did: destroy data, or only move it.

A commit names the files that go with it. Which statement it was follows from what the same
transaction made, locked and inserted into the catalogs; several of PostgreSQL's commands exchange
a relation's file for another and lose nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pgrescue.history.activity import Activity
from pgrescue.history.model import HitRelation, IncidentKind
from pgrescue.history.namebook import Known, NameBook, is_system, rewritten_relation
from pgrescue.postgres.system_catalogs import PG_CLASS, PG_NAMESPACE
from pgrescue.wal.record import RelFileLocator
from pgrescue.wal.transactions import TransactionEnd

_TABLES = ("r", "p")
_MATERIALIZED_VIEW, _INDEXES = "m", ("i", "I")
_WITHOUT_FILE = ("p", "I")
STATISTICS_SINCE = 15
"""The version from which on a commit names the OIDs of the relations that it drops."""
UNKNOWN = "Neither the backup's catalogs nor the WAL since tell what it was called."


@dataclass(frozen=True, slots=True)
class Verdict:
    """An incident, before it is told when and by whom."""

    kind: IncidentKind
    relations: tuple[HitRelation, ...]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Exchange:
    """The files of a transaction, sorted by what became of them."""

    database: int
    dropped: tuple[RelFileLocator, ...]
    """Files that are gone and that the transaction had not made itself."""
    remade: tuple[RelFileLocator, ...]
    """New files of relations that were there before."""
    new_relations: frozenset[int]
    """OIDs of relations that it made."""
    rewritten: tuple[tuple[int, int], ...]
    """OIDs of relations that were filled into another one's file, and that file's number."""

    @property
    def moved(self) -> bool:
        """Whether the new files are in another tablespace than the old ones."""
        old = {file.tablespace for file in self.dropped}
        return bool(old) and not {file.tablespace for file in self.remade} <= old


def exchange_of(activity: Activity, end: TransactionEnd) -> Exchange:
    """Sort a transaction's files."""
    made = set(activity.created)
    gone = set(end.files)
    rows = [given for given in activity.names if given.catalog == PG_CLASS]
    own_files = {given.filenode for given in rows}
    rewritten = [(rewritten_relation(given), given.filenode) for given in rows]
    files = end.files or tuple(activity.created)
    return Exchange(
        database=files[0].database if files else end.database,
        dropped=tuple(file for file in end.files if file not in made),
        remade=tuple(
            file for file in activity.created if file not in gone and file.filenode not in own_files
        ),
        new_relations=frozenset(given.oid for given in rows),
        rewritten=tuple((oid, filenode) for oid, filenode in rewritten if oid is not None),
    )


def renumberings(activity: Activity, exchange: Exchange, book: NameBook) -> dict[int, int]:
    """New file numbers and the OIDs of the relations that have them from now on."""
    found: dict[int, int] = {filenode: oid for oid, filenode in exchange.rewritten}
    if len(exchange.dropped) == len(exchange.remade):
        # Files are noted for removal last in, first out.
        for old, new in zip(reversed(exchange.dropped), exchange.remade, strict=True):
            known = book.by_file(old)
            if known is not None:
                found[new.filenode] = known.oid
    tables = [oid for oid, known in _locked(activity, exchange, book) if known and _holds(known)]
    if len(tables) == 1 and exchange.remade and exchange.remade[0].filenode not in found:
        found[exchange.remade[0].filenode] = tables[0]
    return found


def verdict_on(
    activity: Activity,
    end: TransactionEnd,
    exchange: Exchange,
    book: NameBook,
    major: int,
    catalog_rows: int,
) -> list[Verdict]:
    """What was lost; nothing for what only looks like it.

    `catalog_rows` counts the rows of `pg_class` that it deleted: before 15 nothing else tells.
    """
    if major >= STATISTICS_SINCE:
        gone = [oid for oid in end.dropped_relations if oid not in exchange.new_relations]
        rewrites = bool(exchange.rewritten) or bool(gone and exchange.remade)
    else:
        gone = _dropped_by_files(activity, exchange, book, catalog_rows)
        rewrites = bool(exchange.rewritten) or bool(exchange.remade and catalog_rows)
    verdicts = _drops(activity, exchange, book, gone)
    if exchange.dropped and exchange.remade and not rewrites and not exchange.moved:
        verdicts += _truncations(activity, exchange, book, gone)
    return verdicts


def _dropped_by_files(
    activity: Activity, exchange: Exchange, book: NameBook, catalog_rows: int
) -> list[int]:
    """The relations that were dropped, where only files and locks tell."""
    if not exchange.dropped or exchange.remade or exchange.rewritten:
        return []
    by_file = {known.oid for file in exchange.dropped if (known := book.by_file(file))}
    unnamed = sum(1 for file in exchange.dropped if book.by_file(file) is None)
    if not by_file and not catalog_rows and not activity.locks:
        return []
    locked = _locked(activity, exchange, book)
    parents = {oid for oid, known in locked if known and known.kind in _WITHOUT_FILE}
    # A relation whose file the backup does not know has been rewritten since, or is newer.
    others = {
        oid
        for oid, known in locked
        if unnamed and oid not in exchange.new_relations and not _file_remains(known, exchange)
    }
    return sorted(by_file | parents | others)


def _file_remains(known: Known | None, exchange: Exchange) -> bool:
    """Whether a relation's only known file is not among those that go, and can be its own still."""
    if known is None or not known.filenode:
        return False
    return known.filenode not in {file.filenode for file in exchange.dropped} and known.kind != "r"


def _drops(
    activity: Activity, exchange: Exchange, book: NameBook, gone: Iterable[int]
) -> list[Verdict]:
    known = [(oid, book.relation(exchange.database, oid)) for oid in gone]
    if not exchange.dropped:
        return []
    found = [
        item
        for _, item in known
        if item and item.persistence != "t" and not is_system(item, item.filenode)
    ]
    tables = [item for item in found if item.kind in _TABLES]
    views = [item for item in found if item.kind == _MATERIALIZED_VIEW]
    indexes = [item for item in found if _really_dropped(item, activity, exchange, book)]
    unknown = [oid for oid, item in known if item is None]
    if _drops_schema(activity, exchange, book) and (tables or views or unknown):
        return [Verdict("drop_schema", _hits([*tables, *views], exchange.database))]
    if tables:
        return [Verdict("drop_table", _hits([*tables, *views], exchange.database))]
    if views:
        return [Verdict("drop_materialized_view", _hits(views, exchange.database))]
    if unknown and not found and not exchange.remade and not exchange.rewritten:
        return [_unknown_drop(exchange, book, unknown)]
    if indexes and not exchange.remade and not exchange.rewritten:
        return [Verdict("drop_index", _hits(indexes, exchange.database))]
    return []


def _unknown_drop(exchange: Exchange, book: NameBook, oids: list[int]) -> Verdict:
    files = [file.filenode for file in exchange.dropped if book.by_file(file) is None]
    hits = tuple(
        HitRelation(None, None, oid, files[number] if number < len(files) else None)
        for number, oid in enumerate(oids[:1])
    )
    return Verdict("drop_table", hits, UNKNOWN)


def _really_dropped(index: Known, activity: Activity, exchange: Exchange, book: NameBook) -> bool:
    """Not one that is only built anew: under the same name, or concurrently."""
    if index.kind not in _INDEXES:
        return False
    again = any(given.name == index.name and given.relkind == "i" for given in activity.names)
    return not again and not book.was_rebuilt(exchange.database, index.name)


def _drops_schema(activity: Activity, exchange: Exchange, book: NameBook) -> bool:
    schemas = book.catalog_file(exchange.database, PG_NAMESPACE)
    return any(
        file.database == exchange.database and file.filenode in (schemas, PG_NAMESPACE)
        for file in activity.deleted
    )


def _truncations(
    activity: Activity, exchange: Exchange, book: NameBook, gone: Iterable[int]
) -> list[Verdict]:
    """TRUNCATE locks the tables themselves, REINDEX only their indexes."""
    away = set(gone) | exchange.new_relations
    locked = [(oid, known) for oid, known in _locked(activity, exchange, book) if oid not in away]
    tables = [known for _, known in locked if known and known.kind == "r"]
    if tables:
        return [Verdict("truncate", _hits(tables, exchange.database))]
    unknown = [oid for oid, known in locked if known is None]
    if not unknown or any(known for _, known in locked):
        return []
    hits = tuple(HitRelation(None, None, oid, None) for oid in unknown)
    return [Verdict("truncate", hits, f"{UNKNOWN} It may have been a REINDEX.")]


def _locked(
    activity: Activity, exchange: Exchange, book: NameBook
) -> list[tuple[int, Known | None]]:
    """The relations that the transaction locked exclusively, each once, in order."""
    oids = dict.fromkeys(oid for database, oid in activity.locks if database == exchange.database)
    return [(oid, book.relation(exchange.database, oid)) for oid in oids]


def _holds(relation: Known) -> bool:
    return relation.kind in ("r", _MATERIALIZED_VIEW)


def _hits(relations: Iterable[Known], database: int) -> tuple[HitRelation, ...]:
    shown = {known.oid: known for known in relations if not is_system(known, known.filenode)}
    return tuple(
        HitRelation(known.schema, known.name, known.oid, known.filenode or None)
        for known in sorted(shown.values(), key=lambda item: (item.schema or "", item.name))
    )
