"""The oracle: one row per transaction, so that the rows tell where recovery has stopped."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime

from pgrescue.demo.sandbox import Sandbox
from pgrescue.plan.target import TargetKind
from pgrescue.postgres.lsn import Lsn

_MARK = """
select pg_current_wal_insert_lsn();
begin;
insert into epochs values ({n}, clock_timestamp(), '{note}');
select txid_current();
commit;
select pg_current_wal_insert_lsn();
select to_char(pg_xact_commit_timestamp(xmin) at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')
  from epochs where n = {n};
select pg_create_restore_point('{restore_point}');
"""


@dataclass(frozen=True, slots=True)
class Epoch:
    """One committed row of `epochs` and everything that a recovery target can name it by."""

    n: int
    note: str
    xid: int
    lsn_before: Lsn
    """Where the next record began just before the transaction's first."""
    lsn_after: Lsn
    """Just after its commit record."""
    committed: datetime
    """The commit record's time, to the microsecond, in UTC."""
    restore_point: str
    """The name of a restore point right after the commit."""

    def option(self, kind: TargetKind) -> tuple[str, str]:
        """The restore option that aims at this epoch; an LSN is the one after its commit."""
        match kind:
            case "xid":
                return "--to-xid", str(self.xid)
            case "time":
                return "--to", self.committed.isoformat()
            case "lsn":
                return "--to-lsn", str(self.lsn_after)
            case "name":
                return "--to-name", self.restore_point
            case _:
                raise ValueError(f"{kind} aims at no transaction")


class EpochLog:
    """Writes epochs into a sandbox's database and knows which a recovery must show."""

    def __init__(self, sandbox: Sandbox, database: str = "postgres") -> None:
        """Make the table; the server must run with `track_commit_timestamp`."""
        self._sandbox = sandbox
        self._database = database
        self._numbers: Iterator[int] = itertools.count(1)
        self.epochs: list[Epoch] = []
        sandbox.sql("create table epochs (n int primary key, at timestamptz, note text)", database)

    def mark(self, note: str = "") -> Epoch:
        """Commit one row in a transaction of its own and keep its marks."""
        n = next(self._numbers)
        point = f"epoch_{n}"
        query = _MARK.format(n=n, note=note.replace("'", "''"), restore_point=point)
        before, xid, after, committed, _ = self._sandbox.sql(query, self._database)
        epoch = Epoch(
            n=n,
            note=note,
            xid=int(xid),
            lsn_before=Lsn.parse(before),
            lsn_after=Lsn.parse(after),
            committed=datetime.fromisoformat(committed),
            restore_point=point,
        )
        self.epochs.append(epoch)
        return epoch

    def branch(self, visible: Collection[int]) -> EpochLog:
        """The log of a history that goes on after `visible`; numbers are never used twice."""
        other = object.__new__(EpochLog)
        other._sandbox, other._database = self._sandbox, self._database
        other._numbers = self._numbers
        other.epochs = [epoch for epoch in self.epochs if epoch.n in visible]
        return other

    def rows_visible(self, conninfo: str | None = None) -> list[int]:
        """The rows that the server (the sandbox's own, or that of `conninfo`) shows."""
        where = conninfo or self._sandbox.conninfo(self._database)
        return [int(row) for row in self._sandbox.sql_at(where, "select n from epochs order by n")]

    def expected(
        self, kind: TargetKind, inclusive: bool = True, epoch: Epoch | None = None
    ) -> list[int]:
        """The rows that recovery to `epoch.option(kind)` must show; `latest` shows them all.

        An LSN after the commit, or the restore point there, shows the epoch either way:
        `recovery_target_inclusive` only decides about records that begin at or after it.
        """
        if kind == "latest":
            return [known.n for known in self.epochs]
        if epoch is None:
            raise ValueError(f"{kind} needs an epoch to aim at")
        last = self.epochs.index(epoch) + (1 if inclusive or kind in ("lsn", "name") else 0)
        return [known.n for known in self.epochs[:last]]
