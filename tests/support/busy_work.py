"""Clients that do all that clients do in transactions, and remember what they did."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg
from psycopg import sql

Numbers = Iterator[int]
"""Numbers that no two transactions share, `itertools.count(1)`."""

POINT_USED_TWICE = 'it\'s "twice"'
"""The name of two restore points."""

_LOW = 0xFFFFFFFF
_TABLES = """
create table done (id bigint primary key);
create table payload (n bigint, filler text);
create index on payload (n);
"""
_MANY_SUBTRANSACTIONS = """
do $$ begin
  for i in 1..{count} loop
    begin
      insert into payload values ({n}, 'sub ' || i);
    exception when division_by_zero then raise; end;
  end loop;
end $$
"""


@dataclass(slots=True)
class Trace:
    """What the clients know of the transactions they made on one timeline; xids have 32 bits."""

    ids: dict[int, int] = field(default_factory=dict)
    """Top-level xid: the row that it inserts into `done`, whether or not it commits."""
    released: set[int] = field(default_factory=set)
    """Subtransactions whose savepoint was released: no record ends them by themselves."""
    rolled_back: set[int] = field(default_factory=set)
    """Subtransactions that were rolled back alone, which writes an abort record with their xid."""
    silent: set[int] = field(default_factory=set)
    """Transactions with an xid that wrote nothing."""
    dropped: set[int] = field(default_factory=set)
    """Transactions that dropped a table."""
    asynchronous: set[int] = field(default_factory=set)
    """Transactions that committed with `synchronous_commit = off`."""
    late: set[int] = field(default_factory=set)
    """Transactions that stayed open for long."""
    unfinished: set[int] = field(default_factory=set)
    """Transactions that were open when the server was stopped for good."""
    prepared: dict[str, int] = field(default_factory=dict)
    """By identifier: every transaction that was prepared, and its xid."""
    read_only: int = 0
    """How many transactions had no xid at all."""

    def absorb(self, other: Trace) -> None:
        """Add what another one knows."""
        self.ids |= other.ids
        self.released |= other.released
        self.rolled_back |= other.rolled_back
        self.silent |= other.silent
        self.dropped |= other.dropped
        self.asynchronous |= other.asynchronous
        self.late |= other.late
        self.unfinished |= other.unfinished
        self.prepared |= other.prepared
        self.read_only += other.read_only


def prepare_tables(conninfo: str) -> None:
    """Make the tables that the workers write to."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(_TABLES)


class Worker:
    """One connection with work to do, chosen at random."""

    def __init__(self, conninfo: str, trace: Trace, numbers: Numbers, seed: int) -> None:
        """Connect; `work_until` is for a thread of its own."""
        self._connection = psycopg.connect(conninfo, autocommit=True, prepare_threshold=None)
        self._trace = trace
        self._numbers = numbers
        self._random = random.Random(seed)
        self.failure: BaseException | None = None
        work: tuple[tuple[Callable[[], None], int], ...] = (
            (self._commit, 30),
            (self._one_statement, 10),
            (self._release, 8),
            (self._roll_back_savepoint, 8),
            (self._nested_savepoints, 5),
            (self._abort, 8),
            (self._abort_with_savepoint, 4),
            (self._prepare, 8),
            (self._settle, 7),
            (self._many_subtransactions, 1),
            (self._restore_point, 4),
            (self._drop_table, 2),
            (self._read_only, 6),
            (self._silent, 5),
            (self._late, 6),
            (self._bulk, 3),
            (self._switch, 1),
        )
        self._pieces, self._weights = zip(*work, strict=True)

    def work_until(self, end: threading.Event) -> None:
        """Do one piece after the other; every kind at least once."""
        try:
            for piece in self._random.sample(self._pieces, len(self._pieces)):
                piece()
            while not end.is_set():
                self._random.choices(self._pieces, self._weights)[0]()
                time.sleep(self._random.random() * 0.004)
        except BaseException as error:
            self.failure = error

    def begin_and_leave(self) -> int:
        """Open a transaction that writes, and leave it so."""
        self._execute("begin")
        return self._insert()

    def close(self) -> None:
        """Close the connection, whose server may be gone."""
        self._connection.close()

    def _commit(self) -> None:
        with self._transaction() as xid:
            if self._random.random() < 0.3:
                self._execute("set local synchronous_commit = off")
                self._trace.asynchronous.add(xid)

    def _one_statement(self) -> None:
        number = next(self._numbers)
        xid = self._number(f"insert into done values ({number}) returning xmin::text::bigint")
        self._trace.ids[xid & _LOW] = number

    def _release(self) -> None:
        with self._transaction():
            self._execute("savepoint a")
            self._trace.released.add(self._fill())
            self._execute("release a")

    def _roll_back_savepoint(self) -> None:
        with self._transaction():
            self._execute("savepoint a")
            self._trace.rolled_back.add(self._fill())
            self._execute("rollback to a")

    def _nested_savepoints(self) -> None:
        """The inner one is released, the outer one rolled back with it."""
        with self._transaction():
            self._execute("savepoint a")
            self._trace.rolled_back.add(self._fill())
            self._execute("savepoint b")
            self._trace.released.add(self._fill())
            self._execute("release b")
            self._execute("rollback to a")

    def _abort(self) -> None:
        with self._transaction(end="rollback"):
            self._fill()

    def _abort_with_savepoint(self) -> None:
        with self._transaction(end="rollback"):
            self._execute("savepoint a")
            self._trace.released.add(self._fill())
            self._execute("release a")

    def _prepare(self) -> None:
        if self._number("select count(*) from pg_prepared_xacts") > 8:
            return
        number = next(self._numbers)
        self._execute("begin")
        xid = self._insert(number)
        if self._random.random() < 0.4:
            self._execute("savepoint a")
            self._trace.released.add(self._fill())
            self._execute("release a")
        self._trace.prepared[f"gid {number}"] = xid
        self._execute(f"prepare transaction 'gid {number}'")

    def _settle(self) -> None:
        rows = self._connection.execute("select gid from pg_prepared_xacts").fetchall()
        if not rows:
            return
        gid = self._random.choice(rows)[0]
        verb = self._random.choice(("commit", "commit", "rollback"))
        try:
            self._execute(f"{verb} prepared '{gid}'")
        except (psycopg.errors.UndefinedObject, psycopg.errors.ObjectNotInPrerequisiteState):
            return  # somebody else was faster

    def _many_subtransactions(self) -> None:
        number = next(self._numbers)
        with self._transaction(number):
            self._execute(_MANY_SUBTRANSACTIONS.format(count=70, n=number))
            rows = self._connection.execute(f"select xmin::text from payload where n = {number}")
            self._trace.released |= {int(row[0]) for row in rows}

    def _restore_point(self) -> None:
        name = f"point {next(self._numbers)}"
        if self._random.random() < 0.2:
            name = POINT_USED_TWICE
        self._connection.execute(
            sql.SQL("select pg_create_restore_point({})").format(sql.Literal(name))
        )

    def _drop_table(self) -> None:
        table = f"lost_{next(self._numbers)}"
        self._execute(f"create table {table} as select generate_series(1, 20) as n")
        with self._transaction() as xid:
            self._trace.dropped.add(xid)
            self._execute(f"drop table {table}")

    def _read_only(self) -> None:
        self._number("select count(*) from done")
        self._trace.read_only += 1

    def _silent(self) -> None:
        self._execute("begin")
        self._trace.silent.add(self._number("select txid_current()") & _LOW)
        self._execute(self._random.choice(("commit", "rollback")))

    def _late(self) -> None:
        with self._transaction() as xid:
            self._trace.late.add(xid)
            time.sleep(0.02 + self._random.random() * 0.15)

    def _bulk(self) -> None:
        number = next(self._numbers)
        with self._transaction(number):
            self._execute(
                f"insert into payload select {number}, repeat('x', 300) from generate_series(1, 40)"
            )
            self._execute(f"update payload set filler = 'y' where n = {number}")
            self._execute(f"delete from payload where n = {number}")

    def _switch(self) -> None:
        if self._random.random() < 0.5:
            self._execute("select pg_switch_wal()")
        else:
            self._execute("checkpoint")

    @contextmanager
    def _transaction(self, number: int | None = None, end: str = "commit") -> Iterator[int]:
        self._execute("begin")
        yield self._insert(number)
        self._execute(end)

    def _insert(self, number: int | None = None) -> int:
        """Put the transaction's number into `done`; returns its xid."""
        number = next(self._numbers) if number is None else number
        xid = self._number(f"insert into done values ({number}) returning txid_current()") & _LOW
        self._trace.ids[xid] = number
        return xid

    def _fill(self) -> int:
        """Write something; returns the xid, which is the subtransaction's if there is one."""
        insert = "insert into payload values (0, 'something') returning xmin::text::bigint"
        return self._number(insert)

    def _number(self, query: str) -> int:
        row = self._connection.execute(query.encode()).fetchone()
        assert row is not None
        return int(row[0])

    def _execute(self, query: str) -> None:
        self._connection.execute(query.encode())


def fresh_numbers() -> Numbers:
    """Fresh numbers for the transactions of a history."""
    return itertools.count(1)
