"""Asking a running server, with limits so that no lock or hang can hold the asker up."""

from __future__ import annotations

# Host names are looked up with it while the server's account is assumed, which may not be allowed
# to read our Python: what is loaded only then cannot be found.
import encodings.idna  # noqa: F401
from dataclasses import dataclass
from datetime import UTC, datetime

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import Postmaster

_OPTIONS = "-c statement_timeout=10000 -c lock_timeout=2000 -c application_name=pgrescue"
_RECOVERY = """
select pg_is_in_recovery(), pg_last_wal_replay_lsn()::text, pg_last_xact_replay_timestamp(),
       case when pg_is_in_recovery() then {paused} else false end,
       case when pg_is_in_recovery() then null else pg_walfile_name(pg_current_wal_lsn()) end
"""
_RECEIVER = """
select status, pg_last_wal_receive_lsn()::text, received_tli, sender_host, sender_port
from pg_stat_wal_receiver
"""


@dataclass(frozen=True, slots=True)
class RecoveryStatus:
    """Where a server stands in its recovery."""

    in_recovery: bool
    paused: bool
    replayed: Lsn | None
    last_commit: datetime | None
    timeline: int | None
    """Only once recovery has ended."""


@dataclass(frozen=True, slots=True)
class ReceiverStatus:
    """Whether a standby receives WAL (`pg_stat_wal_receiver`)."""

    streaming: bool
    received: Lsn | None
    timeline: int | None
    sender: str


@dataclass(frozen=True, slots=True)
class DatabaseStatus:
    """One database: whether it can be entered, and how many tables it has."""

    name: str
    usable: bool
    tables: int | None
    problem: str | None


class Probe:
    """A way to ask one server; opens a connection for each question."""

    def __init__(self, postmaster: Postmaster, owner: Account, conninfo: str) -> None:
        self._owner = owner
        self._parameters = connection_parameters(postmaster, owner, conninfo)

    def recovery(self, major: int) -> RecoveryStatus:
        """Where recovery stands; raises `psycopg.Error` while nobody is let in."""
        paused = "pg_is_wal_replay_paused()"
        if major >= 14:
            paused = "pg_get_wal_replay_pause_state() = 'paused'"
        row = self._row(_RECOVERY.format(paused=paused))
        in_recovery, replayed, commit, is_paused, segment = row
        return RecoveryStatus(
            in_recovery=bool(in_recovery),
            paused=bool(is_paused),
            replayed=Lsn.parse(str(replayed)) if replayed else None,
            last_commit=commit.astimezone(UTC) if isinstance(commit, datetime) else None,
            timeline=int(str(segment)[:8], 16) if segment else None,
        )

    def receiving(self) -> ReceiverStatus | None:
        """How the WAL receiver is; None while there is none. Raises `psycopg.Error`."""
        rows = self._rows(_RECEIVER)
        if not rows:
            return None
        status, received, timeline, host, port = rows[0]
        return ReceiverStatus(
            streaming=status == "streaming",
            received=Lsn.parse(str(received)) if received else None,
            timeline=int(str(timeline)) if timeline else None,
            sender=f"{host or 'the source'}:{port}" if port else str(host or "the source"),
        )

    def system_identifier(self) -> str:
        """The cluster's system identifier."""
        return str(self._row("select system_identifier::text from pg_control_system()")[0])

    def resume_replay(self) -> None:
        """End the pause at a recovery target: recovery finishes and the server opens."""
        self._row("select pg_wal_replay_resume()::text")

    def databases(self) -> list[DatabaseStatus]:
        """Every database that lets clients in, entered once."""
        # As bytes: a name need not be of the encoding of the database that is asked.
        query = (
            "select textsend(datname), datconnlimit from pg_database where datallowconn "
            "order by datname"
        )
        found = []
        for name, limit in self._rows(query):
            assert isinstance(name, bytes)
            found.append(self._enter(name.decode(errors="surrogateescape"), invalid=limit == -2))
        return found

    def _enter(self, name: str, *, invalid: bool) -> DatabaseStatus:
        if invalid:
            return DatabaseStatus(name, False, None, "it was being dropped")
        query = "select count(*) from pg_class where relkind in ('r', 'p', 'm')"
        try:
            rows = self._rows(query, database=name)
        except UnicodeError:
            return DatabaseStatus(name, False, None, "its name is not UTF-8")
        except psycopg.Error as error:
            return DatabaseStatus(name, False, None, str(error).strip())
        return DatabaseStatus(name, True, int(str(rows[0][0])), None)

    def _row(self, query: str) -> tuple[object, ...]:
        return self._rows(query)[0]

    def _rows(self, query: str, database: str | None = None) -> list[tuple[object, ...]]:
        chosen = {} if database is None else {"dbname": database}
        with connect({**self._parameters, **chosen}, self._owner) as connection:
            return connection.execute(query.encode()).fetchall()


def connect(parameters: dict[str, str], owner: Account) -> psycopg.Connection[tuple[object, ...]]:
    """Connect as the role that is named, else as the account's own, else as `postgres`.

    The account is assumed only meanwhile: the server checks who its peer is.
    """
    roles = [parameters["user"]]
    if roles[0] == owner.name != "postgres":
        roles.append("postgres")
    refused: psycopg.OperationalError | None = None
    for role in roles:
        conninfo = make_conninfo("", **{**parameters, "user": role})
        try:
            with owner.assumed():
                return psycopg.connect(conninfo, autocommit=True)
        except psycopg.OperationalError as error:
            refused = refused or error
    assert refused is not None
    raise refused


def is_listening(postmaster: Postmaster) -> bool:
    """Whether the server's pid file says where it listens; before that, libpq's defaults would
    lead to another server."""
    address = postmaster.socket_directory or postmaster.listen_address
    return postmaster.port is not None and address is not None


def connection_parameters(postmaster: Postmaster, owner: Account, conninfo: str) -> dict[str, str]:
    """Connection parameters for a local server; configured ones win, but for host and port."""
    host = postmaster.socket_directory or postmaster.listen_address or ""
    configured = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    return {
        "user": owner.name,
        "dbname": "postgres",
        "connect_timeout": "5",
        "options": _OPTIONS,
        **configured,
        "host": "127.0.0.1" if host in ("*", "0.0.0.0") else host,
        "hostaddr": "",
        "port": str(postmaster.port or 5432),
    }
