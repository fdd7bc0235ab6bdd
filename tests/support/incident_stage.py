"""A cluster on which incidents are staged, and what is written down about each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import psycopg
from psycopg.rows import TupleRow

from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from tests.support.waldump import Ending, Record

IncidentKind = Literal[
    "drop_table",
    "drop_index",
    "drop_materialized_view",
    "drop_schema",
    "drop_database",
    "drop_tablespace",
    "truncate",
    "mass_delete",
    "mass_update",
]
SHOP = "shop"
"""The database in which nearly everything happens."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One incident that must be found."""

    scene: str
    kind: IncidentKind
    database: str | None
    """None for what belongs to no database."""
    relations: tuple[str, ...]
    """What was lost and has files of its own: `schema.name`, sorted, as it was called then."""
    may_name: tuple[str, ...]
    """What went with it and may be named as well: parents, indexes, sequences."""
    old_names: tuple[str, ...]
    """What the backup calls the relations, where that is something else."""
    in_backup: bool
    """Whether the backup knows the relations at all."""
    rows: int | None
    xid: int
    time: datetime
    """Of the commit that made it final."""
    lsn: Lsn
    """Where that commit record begins."""
    first_lsn: Lsn
    """Where the transaction's first record begins: everything is there before it."""


@dataclass(frozen=True, slots=True)
class Innocent:
    """A scene in which nothing is lost, so that nothing must be found between its LSNs."""

    scene: str
    start: Lsn
    end: Lsn


@dataclass(frozen=True, slots=True)
class _Draft:
    """An incident as its scene describes it; the WAL knows the rest."""

    scene: str
    kind: IncidentKind
    relations: tuple[str, ...]
    database: str | None
    may_name: tuple[str, ...]
    old_names: tuple[str, ...]
    in_backup: bool
    rows: int | None
    xid: int | None
    """None where only the WAL between `start` and `end` tells."""
    start: Lsn
    end: Lsn


@dataclass(slots=True)
class Stage:
    """Runs scenes on a sandbox and notes what they were."""

    sandbox: Sandbox
    drafts: list[_Draft] = field(default_factory=list)
    innocents: list[Innocent] = field(default_factory=list)
    _connections: dict[str, psycopg.Connection[TupleRow]] = field(default_factory=dict)
    _promises: list[tuple[str, _Draft]] = field(default_factory=list)

    def connection(self, database: str = SHOP) -> psycopg.Connection[TupleRow]:
        """A connection that stays open; every statement is its own transaction."""
        if database not in self._connections:
            conninfo = self.sandbox.conninfo(database)
            connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
            # What is prepared keeps its locks: better a failure than to wait for ever.
            connection.execute("set lock_timeout = '10s'")
            self._connections[database] = connection
        return self._connections[database]

    def leave(self, database: str) -> None:
        """Close the connection to a database."""
        self._connections.pop(database).close()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def do(self, *statements: str, database: str = SHOP) -> None:
        """Run statements that are no scene."""
        for statement in statements:
            self.connection(database).execute(statement.encode())

    def crime(
        self,
        kind: IncidentKind,
        relations: str,
        *statements: str,
        scene: str,
        database: str = SHOP,
        may_name: str = "",
        old_names: str = "",
        in_backup: bool = True,
        rows: int | None = None,
    ) -> None:
        """An incident: the statements in one transaction. Names are separated by blanks."""
        start = self._lsn()
        self.do("begin", *statements, database=database)
        xid = self._xid(database)
        self.do("commit", database=database)
        self.drafts.append(
            _Draft(
                scene=scene,
                kind=kind,
                relations=tuple(sorted(relations.split())),
                database=database,
                may_name=tuple(may_name.split()),
                old_names=tuple(sorted(old_names.split())),
                in_backup=in_backup,
                rows=rows,
                xid=xid,
                start=start,
                end=self._lsn(),
            )
        )

    def crime_alone(
        self,
        kind: IncidentKind,
        relations: str,
        statement: str,
        *,
        scene: str,
        database: str | None,
    ) -> None:
        """An incident by a statement that refuses to run inside a transaction block."""
        start = self._lsn()
        self.do(statement, database=database if relations and database else "postgres")
        names = tuple(sorted(relations.split()))
        end = self._lsn()
        self.drafts.append(
            _Draft(scene, kind, names, database, (), (), True, None, None, start, end)
        )

    def promise(self, kind: IncidentKind, relations: str, *statements: str, scene: str) -> None:
        """An incident that is prepared now and committed by `keep_promises`."""
        gid = f"promise {len(self._promises)}"
        start = self._lsn()
        self.do("begin", *statements)
        xid = self._xid(SHOP)
        self.do(f"prepare transaction '{gid}'")
        names = tuple(sorted(relations.split()))
        draft = _Draft(scene, kind, names, SHOP, (), (), True, None, xid, start, start)
        self._promises.append((gid, draft))

    def keep_promises(self) -> None:
        """Commit what has been prepared."""
        for gid, draft in self._promises:
            self.do(f"commit prepared '{gid}'")
            self.drafts.append(draft)

    @contextmanager
    def innocent(self, scene: str) -> Iterator[None]:
        """Whatever happens in the block is no incident."""
        start = self._lsn()
        yield
        self.innocents.append(Innocent(scene, start, self._lsn()))

    def harmless(self, scene: str, *statements: str, database: str = SHOP) -> None:
        """A scene of statements that are no incident."""
        with self.innocent(scene):
            self.do(*statements, database=database)

    def _lsn(self) -> Lsn:
        row = self.connection("postgres").execute("select pg_current_wal_insert_lsn()").fetchone()
        assert row is not None
        return Lsn.parse(row[0])

    def _xid(self, database: str) -> int:
        row = self.connection(database).execute("select txid_current()").fetchone()
        assert row is not None
        return int(row[0])


def testify(stage: Stage, records: list[Record], endings: list[Ending]) -> list[Expected]:
    """The incidents of a stage with what the WAL knows of them, in the order of their commits."""
    by_xid = {ending.xid: ending for ending in endings if ending.is_commit}
    first: dict[int, Lsn] = {}
    for record in records:
        first.setdefault(record.xid, record.lsn)
    found = []
    for draft in stage.drafts:
        xid = draft.xid if draft.xid is not None else _culprit(draft, records)
        ending = by_xid[xid]
        found.append(
            Expected(
                scene=draft.scene,
                kind=draft.kind,
                database=draft.database,
                relations=draft.relations,
                may_name=draft.may_name,
                old_names=draft.old_names or draft.relations,
                in_backup=draft.in_backup,
                rows=draft.rows,
                xid=xid,
                time=ending.time,
                lsn=ending.lsn,
                first_lsn=min(first[each] for each in (xid, *ending.subxids) if each in first),
            )
        )
    return sorted(found, key=lambda expected: expected.lsn)


def _culprit(draft: _Draft, records: list[Record]) -> int:
    """The transaction between two LSNs that dropped something that has files."""
    *_, last = (
        record
        for record in records
        if draft.start <= record.lsn < draft.end
        and (
            (record.rmgr in ("Database", "Tablespace") and record.operation == "DROP")
            or (record.operation == "COMMIT" and "rels:" in record.text)
        )
    )
    return last.xid
