"""Destructive transactions in the WAL, and how to stop just before each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pgrescue.history.activity import Activity, Diary
from pgrescue.history.model import HitRelation, Incident, IncidentKind
from pgrescue.history.namebook import Known, NameBook, is_system
from pgrescue.history.recount import recount
from pgrescue.history.verdict import exchange_of, renumberings, verdict_on
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.system_catalogs import PG_CLASS
from pgrescue.wal.events import NotableEnd, destruction_begins
from pgrescue.wal.record import RelFileLocator
from pgrescue.wal.sift import EndRows, transaction_ends
from pgrescue.wal.stretch import Stretch
from pgrescue.wal.transactions import TransactionEnd, moment_of

_SEARCHED_PIECES = 1024
"""How far behind its last row the end of a transaction is looked for."""


@dataclass(frozen=True, slots=True)
class Thresholds:
    """From how many rows on a DELETE or UPDATE counts as an incident."""

    rows: int = 10_000
    """So many, whatever the size of the table."""
    share: float = 0.3
    """Or this part of a table whose size is known,"""
    least: int = 100
    """but not fewer rows than this."""
    of_unknown: int = 1000
    """Or so many of a table whose size is not known."""

    def exceeded(self, rows: int, table_rows: float | None) -> bool:
        """Whether that many rows of such a table are an incident."""
        if rows >= self.rows:
            return True
        if not table_rows:
            return rows >= self.of_unknown
        return rows >= self.least and rows >= self.share * table_rows


@dataclass(frozen=True, slots=True)
class _End:
    """When and where a transaction was committed."""

    position: Lsn
    time: int
    xid: int
    piece: int
    xids: tuple[int, ...]
    """Its own id and those of its subtransactions."""


class IncidentFinder:
    """Goes through one stretch of one timeline."""

    def __init__(
        self,
        stretch: Stretch,
        timeline: int,
        book: NameBook,
        thresholds: Thresholds,
    ) -> None:
        self._stretch, self._timeline, self._book = stretch, timeline, book
        self._thresholds = thresholds
        self._diary = Diary()
        self._cache: dict[int, tuple[EndRows, list[tuple[Lsn, TransactionEnd]]]] = {}

    def find(self) -> list[Incident]:
        """Every incident, in the order of the commits."""
        for number, piece in enumerate(self._stretch.pieces):
            self._diary.take(number, piece)
        found = [*self._files(), *self._databases(), *self._tablespaces()]
        told = {incident.xid for incident in found}
        found += [incident for incident in self._rows() if incident.xid not in told]
        return sorted(found, key=lambda incident: incident.lsn)

    def _files(self) -> Iterator[Incident]:
        """Drops and truncations, while names and files are followed in the order of the WAL."""
        book, names = self._book, iter(self._diary.names)
        given = next(names, None)
        for number, notable in self._diary.ends:
            while given is not None and given.position < notable.position:
                book.learn(given)
                given = next(names, None)
            if notable.end.outcome == "commit":
                yield from self._commit(number, notable)
        while given is not None:
            book.learn(given)
            given = next(names, None)

    def _commit(self, number: int, notable: NotableEnd) -> Iterator[Incident]:
        end, book = notable.end, self._book
        xids = (end.xid, *end.subxids)
        activity = self._diary.of(xids)
        exchange = exchange_of(activity, end)
        rows = self._catalog_rows(exchange.database, activity, number, xids, notable.position)
        verdicts = verdict_on(activity, end, exchange, book, self._stretch.major, rows)
        for filenode, oid in renumberings(activity, exchange, book).items():
            book.renumber(exchange.database, filenode, oid)
        for verdict in verdicts:
            yield self._incident(
                verdict.kind,
                _End(notable.position, end.time, end.xid, number, xids),
                activity.first,
                book.database(exchange.database) or str(exchange.database),
                verdict.relations,
                note=verdict.note,
            )

    def _catalog_rows(
        self, database: int, activity: Activity, number: int, xids: tuple[int, ...], before: Lsn
    ) -> int:
        """How many rows of `pg_class` a transaction deleted."""
        default = self._book.catalog_file(database, PG_CLASS)
        filenode = self._diary.pg_class_file(database, default, before)
        deleted = activity.deleted
        if filenode != PG_CLASS:
            # Only the file that the catalog has at first is kept in summaries.
            deleted = recount(self._stretch, number, xids, activity.first).deleted
        return sum(
            count
            for file, count in deleted.items()
            if (file.database, file.filenode) == (database, filenode)
        )

    def _databases(self) -> Iterator[Incident]:
        for number, drop in self._diary.database_drops:
            begin = destruction_begins(drop, self._diary.database_marks)
            created = self._diary.created_databases.get(drop.oid)
            if created is not None and created < drop.position and not self._row_went(drop.xid):
                continue  # it was moved to another tablespace
            end = self._end_of(drop.xid, number)
            if end is not None:
                yield self._incident(
                    "drop_database",
                    end,
                    begin,
                    self._book.database(drop.oid) or str(drop.oid),
                    (),
                    arguments=("--to-lsn", str(begin), "--exclusive"),
                    note="Its files go before the commit; this stops before the first of them.",
                )

    def _row_went(self, xid: int) -> bool:
        activity = self._diary.by_xid.get(xid)
        return activity is not None and any(file.database == 0 for file in activity.deleted)

    def _tablespaces(self) -> Iterator[Incident]:
        for number, drop in self._diary.tablespace_drops:
            end = self._end_of(drop.xid, number)
            if end is not None:
                name = self._book.tablespace(drop.oid)
                yield self._incident(
                    "drop_tablespace",
                    end,
                    drop.position,
                    None,
                    (HitRelation(None, name, drop.oid, None),),
                    arguments=("--to-lsn", str(drop.position), "--exclusive"),
                    note="Its directory goes before the commit; this stops before that.",
                )

    def _rows(self) -> Iterator[Incident]:
        """Mass DELETE and UPDATE, row by row in the WAL."""
        ends: dict[Lsn, _End] = {}
        for number, notable in self._diary.ends:
            if notable.end.outcome == "commit":
                xids = (notable.end.xid, *notable.end.subxids)
                ends[notable.position] = _End(
                    notable.position, notable.end.time, notable.end.xid, number, xids
                )
        known = {xid for end in ends.values() for xid in end.xids}
        aborted = {
            xid
            for _, notable in self._diary.ends
            if notable.end.outcome == "abort"
            for xid in (notable.end.xid, *notable.end.subxids)
        }
        for xid, activity in self._diary.by_xid.items():
            if activity.rows() >= self._least_rows and xid not in known and xid not in aborted:
                end = self._end_of(xid, activity.last_piece)
                if end is not None:
                    ends[end.position] = end
        for end in ends.values():
            yield from self._mass(end)

    @property
    def _least_rows(self) -> int:
        limits = self._thresholds
        # A transaction may have spread its rows over several subtransactions.
        return min(limits.rows, limits.least, limits.of_unknown) // 4

    def _mass(self, end: _End) -> Iterator[Incident]:
        activity = self._diary.of(end.xids)
        many_parts = len(end.xids) > self._thresholds.least // 4
        if activity.rows() < self._least_rows and not many_parts:
            return
        exact = recount(self._stretch, end.piece, end.xids, activity.first)
        made = set(activity.created)
        kinds: tuple[tuple[IncidentKind, dict[RelFileLocator, int]], ...] = (
            ("mass_delete", exact.deleted),
            ("mass_update", exact.updated),
        )
        for kind, counts in kinds:
            tables = self._tables(counts, made)
            hit = [
                (file, known, count)
                for file, known, count in tables
                if self._thresholds.exceeded(count, known.rows if known else None)
            ]
            if hit:
                yield self._mass_incident(kind, end, exact.first or end.position, hit)

    def _tables(
        self, counts: dict[RelFileLocator, int], made: set[RelFileLocator]
    ) -> Iterator[tuple[RelFileLocator, Known | None, int]]:
        """Users' tables that were there before the transaction; TOAST goes with its table."""
        for file, count in counts.items():
            known = self._book.by_file(file)
            if file in made or is_system(known, file.filenode):
                continue
            if known is None or known.kind == "r":
                yield file, known, count

    def _mass_incident(
        self,
        kind: IncidentKind,
        end: _End,
        first: Lsn,
        hit: list[tuple[RelFileLocator, Known | None, int]],
    ) -> Incident:
        rows = sum(count for _, _, count in hit)
        sizes = [known.rows if known else None for _, known, _ in hit]
        total = sum(size for size in sizes if size)
        return self._incident(
            kind,
            end,
            first,
            self._book.database(hit[0][0].database) or str(hit[0][0].database),
            tuple(
                HitRelation(
                    known.schema if known else None,
                    known.name if known else None,
                    known.oid if known else None,
                    file.filenode,
                )
                for file, known, _ in hit
            ),
            rows=rows,
            share=min(rows / total, 1.0) if total and None not in sizes else None,
        )

    def _incident(
        self,
        kind: IncidentKind,
        end: _End,
        first: Lsn | None,
        database: str | None,
        relations: tuple[HitRelation, ...],
        *,
        rows: int | None = None,
        share: float | None = None,
        arguments: tuple[str, ...] = (),
        note: str = "",
    ) -> Incident:
        return Incident(
            time=moment_of(end.time),
            xid=end.xid,
            lsn=end.position,
            first_lsn=min(first or end.position, end.position),
            timeline=self._timeline,
            kind=kind,
            database=database,
            relations=relations,
            rows=rows,
            share=share,
            arguments=arguments or ("--before-xid", str(end.xid)),
            note=note,
        )

    def _end_of(self, xid: int, piece: int) -> _End | None:
        """The commit of a transaction, or of the one that it is a part of; None if it has none."""
        last = min(len(self._stretch.pieces), piece + _SEARCHED_PIECES)
        for number in range(piece, last):
            rows, full = self._ends(number)
            own = np.flatnonzero(rows.xids == np.uint32(xid))
            for index in own.tolist():
                if not rows.commits[index]:
                    return None
            for position, end in full:
                if xid in (end.xid, *end.subxids):
                    if end.outcome == "abort":
                        return None
                    return _End(position, end.time, end.xid, number, (end.xid, *end.subxids))
            if len(own):
                mark = rows.mark(int(own[0]))
                return _End(mark.position, mark.time, xid, number, (xid,))
        return None

    def _ends(self, number: int) -> tuple[EndRows, list[tuple[Lsn, TransactionEnd]]]:
        if number not in self._cache:
            rows: list[EndRows] = []
            full: list[tuple[Lsn, TransactionEnd]] = []
            found = self._stretch.pieces[number].found
            if found.commits.count or found.aborts.count:
                for batch in self._stretch.records_of(number):
                    some, more = transaction_ends(batch, self._stretch.major)
                    rows.append(some)
                    full += more
            self._cache[number] = (EndRows.joined(rows), full)
        return self._cache[number]
