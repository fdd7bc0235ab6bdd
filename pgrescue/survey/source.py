"""The server that is to be backed up, asked as libpq would reach it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from pgrescue.backup.facts import (
    ArchiverFacts,
    ServerFacts,
    SlotFacts,
    SourceFacts,
    SourceTablespace,
)
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import UsageError
from pgrescue.postgres.account import Account
from pgrescue.postgres.conninfo import secrets_in
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import Postmaster, find_postmaster
from pgrescue.postgres.probe import connect, connection_parameters, is_listening

_OPTIONS = "-c statement_timeout=15000 -c lock_timeout=2000"
_NOT_OF_THE_SOURCE = ("dbname", "options", "connect_timeout", "application_name")
_FROM_ENVIRONMENT = ("dbname", "options", "application_name", "client_encoding")
"""Parameters that, like secrets, are not taken over from the environment."""
_SETTINGS = (
    "archive_command",
    "archive_library",
    "archive_mode",
    "checkpoint_completion_target",
    "checkpoint_timeout",
    "data_directory",
    "full_page_writes",
    "max_connections",
    "max_locks_per_transaction",
    "max_prepared_transactions",
    "max_replication_slots",
    "max_wal_senders",
    "max_worker_processes",
    "summarize_wal",
    "wal_keep_segments",
    "wal_keep_size",
    "wal_level",
    "wal_segment_size",
    "wal_summary_keep_time",
)
_REASON = re.compile(r"connection to server .*? failed: (.+)")
_UNITS = {"B": 1, "kB": 1 << 10, "8kB": 8 << 10, "MB": 1 << 20, "16MB": 16 << 20}
_SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": 86400}
_ROLE = """
select current_user, rolsuper, rolreplication, pg_is_in_recovery(),
       current_setting('server_version_num')::int, current_setting('server_version')
from pg_roles where rolname = current_user
"""
_ARCHIVER = """
select last_archived_wal, last_archived_time, last_failed_wal, last_failed_time, failed_count
from pg_stat_archiver
"""
_CHECKPOINT = """
select checkpoint_time,
       pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
                            else pg_current_wal_lsn() end, redo_lsn)::bigint,
       timeline_id
from pg_control_checkpoint()
"""
_POSITION = """
select case when pg_is_in_recovery()
            then greatest(c.timeline_id, r.min_recovery_end_timeline)
            else ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
       case when pg_is_in_recovery() then pg_last_wal_replay_lsn()
            else pg_current_wal_lsn() end::text
from pg_control_checkpoint() c, pg_control_recovery() r
"""
_STARTED = "select pg_postmaster_start_time()"
_SLOTS = "select slot_name::text, slot_type, active from pg_replication_slots"
_TABLESPACES = """
select oid::bigint, spcname, pg_tablespace_location(oid),
       case when has_tablespace_privilege(oid, 'create')
            or pg_has_role('pg_read_all_stats', 'usage') then pg_tablespace_size(oid) end
from pg_tablespace where spcname not in ('pg_default', 'pg_global') order by oid
"""
_SIZE = "select sum(pg_tablespace_size(oid))::bigint from pg_tablespace"


def look_at_source(cluster: ClusterConfig, owner: Account, source: str | None) -> SourceFacts:
    """Ask the named server, or else the cluster's own; a failure is a fact, too."""
    try:
        wanted = _named(source, owner) if source is not None else _own(cluster, owner)
    except _NotRunning as error:
        return SourceFacts("", f"The cluster {cluster.name}", True, None, str(error))
    try:
        with (
            as_account(owner),
            connect(
                {"dbname": "postgres", "connect_timeout": "10", "options": _OPTIONS, **wanted},
                owner,
            ) as connection,
        ):
            named = {**wanted, "user": connection.info.user}
            # The attempt comes last: while its WAL sender ends, it still counts as one at work.
            server = replace(
                _ask(connection), replication_problem=replication_problem(_text(named), owner)
            )
    except (psycopg.Error, OSError, UnicodeError) as error:
        return SourceFacts(_text(wanted), _words(wanted), _is_local(wanted), None, _said(error))
    return SourceFacts(_text(named), _words(named), _is_local(named), server, None)


@contextmanager
def as_account(owner: Account) -> Iterator[None]:
    """libpq looks for password and service files in the home that the environment names."""
    if not owner.must_switch:
        yield
        return
    before = os.environ.get("HOME")
    os.environ["HOME"] = owner.home
    try:
        yield
    finally:
        if before is None:
            del os.environ["HOME"]
        else:
            os.environ["HOME"] = before


def connect_again(
    conninfo: str, owner: Account, *, patience: int = 15
) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection to a server that was looked at before; no question takes longer, in seconds.

    Raises `psycopg.Error` and OSError.
    """
    named = {key: str(value) for key, value in conninfo_to_dict(conninfo).items()}
    options = f"-c statement_timeout={patience * 1000} -c lock_timeout=2000"
    parameters = {"dbname": "postgres", "connect_timeout": "5", "options": options, **named}
    with as_account(owner):
        return connect(parameters, owner)


def started_at(server: Postmaster, owner: Account, conninfo: str) -> datetime | None:
    """When a server on this machine was started, by its own word; None if it does not tell."""
    if not is_listening(server):
        return None
    try:
        with connect(connection_parameters(server, owner, conninfo), owner) as connection:
            return _Asker(connection).value(_STARTED)  # type: ignore[no-any-return]
    except (psycopg.Error, OSError):
        return None


class _NotRunning(Exception):
    """There is no server to be reached over its socket."""


def _own(cluster: ClusterConfig, owner: Account) -> dict[str, str]:
    postmaster = find_postmaster(Path(cluster.data_directory))
    if postmaster is None or not is_listening(postmaster):
        raise _NotRunning(f"no server runs on {cluster.data_directory}")
    parameters = connection_parameters(postmaster, owner, cluster.conninfo)
    return _of_the_source(parameters)


def _named(source: str, owner: Account) -> dict[str, str]:
    """What the connection string says, and the environment beside it, as libpq takes them."""
    try:
        parameters = {key: str(value) for key, value in conninfo_to_dict(source).items()}
    except psycopg.ProgrammingError as error:
        # Neither it nor libpq's words on it are shown: a part of it may be a password.
        raise UsageError(
            "The source is no connection string.",
            "libpq takes KEYWORD=VALUE pairs with spaces between them, or a URI.",
            next_steps=("--source 'host=db2 port=5432 user=backup'",),
        ) from error
    if secrets := secrets_in(parameters):
        raise UsageError(
            f"A connection string with a password ({', '.join(secrets)}) is not taken.",
            "It would be seen in the process list and kept in the plan.",
            next_steps=(
                "put the password into ~/.pgpass (host:port:database:user:password)",
                "that of a key for TLS: take it off a copy of the key for this account",
            ),
        )
    for option in pq.Conninfo.get_defaults():
        name = option.keyword.decode()
        variable = option.envvar.decode() if option.envvar else ""
        if name in _FROM_ENVIRONMENT or secrets_in({name: ""}):
            continue
        if os.environ.get(variable):
            parameters.setdefault(name, os.environ[variable])
    return {"user": owner.name, **_of_the_source(parameters)}


def _of_the_source(parameters: dict[str, str]) -> dict[str, str]:
    kept = {key: value for key, value in parameters.items() if value}
    for name in _NOT_OF_THE_SOURCE:
        kept.pop(name, None)
    return kept


def _text(parameters: dict[str, str]) -> str:
    return make_conninfo("", **parameters)


def _is_local(parameters: dict[str, str]) -> bool:
    host = parameters.get("host", "")
    return not host or host.startswith(("/", "@")) or host in ("localhost", "127.0.0.1", "::1")


def _words(parameters: dict[str, str]) -> str:
    host = parameters.get("host") or parameters.get("service") or "the local socket"
    port = parameters.get("port")
    return f"The server at {host}" + (f", port {port}" if port else "")


def _said(error: Exception) -> str:
    """The reason in libpq's words, without its hints; of several addresses, that of the last."""
    text = str(error).strip()
    reasons = _REASON.findall(text)
    return str(reasons[-1]) if reasons else (text.splitlines() or [type(error).__name__])[-1]


def replication_problem(conninfo: str, owner: Account) -> str | None:
    """Open one replication connection: nothing else tells what pg_hba.conf lets through."""
    try:
        with as_account(owner), owner.assumed():
            connection = psycopg.connect(
                make_conninfo(conninfo, replication="true", connect_timeout="10"),
                autocommit=True,
            )
    except (psycopg.Error, OSError) as error:
        return _said(error)
    connection.close()
    return None


@dataclass(frozen=True, slots=True)
class _Asker:
    """Questions that a role may not be allowed to ask have no answer then."""

    connection: psycopg.Connection[tuple[Any, ...]]

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        try:
            return self.connection.execute(query.encode()).fetchall()
        except psycopg.errors.Error:
            return []

    def value(self, query: str) -> Any:  # noqa: ANN401 - whatever the server answers
        rows = self.rows(query)
        return rows[0][0] if rows else None


def _ask(connection: psycopg.Connection[tuple[Any, ...]]) -> ServerFacts:
    ask = _Asker(connection)
    role, superuser, replication, in_recovery, number, version = connection.execute(
        _ROLE
    ).fetchall()[0]
    checkpoint = ask.rows(_CHECKPOINT)
    moment, since, checkpointed = checkpoint[0] if checkpoint else (None, None, None)
    # A promotion's timeline is in its first checkpoint only once that is over.
    timeline, lsn = (ask.rows(_POSITION) or [(checkpointed, None)])[0]
    archiver = ask.rows(_ARCHIVER)
    return ServerFacts(
        version_number=number,
        version=version,
        in_recovery=in_recovery,
        role=role,
        is_superuser=superuser,
        may_replicate=replication,
        settings=_settings(ask),
        wal_compressions=tuple(
            ask.value("select enumvals from pg_settings where name = 'wal_compression'") or ()
        ),
        senders=ask.value("select count(*) from pg_stat_activity where backend_type = 'walsender'")
        or 0,
        replication_slots=tuple(SlotFacts(*row) for row in ask.rows(_SLOTS)),
        archiver=ArchiverFacts(*archiver[0]) if archiver else None,
        system_identifier=str(
            ask.value("select system_identifier::text from pg_control_system()") or ""
        ),
        timeline=timeline or 1,
        lsn=Lsn.parse(lsn) if lsn else None,
        started_at=ask.value(_STARTED),
        last_checkpoint_at=moment,
        wal_since_checkpoint=since,
        database_bytes=ask.value(_SIZE),
        tablespaces=tuple(SourceTablespace(*row) for row in ask.rows(_TABLESPACES)),
        wal_bytes=ask.value("select sum(size)::bigint from pg_ls_waldir()"),
        replication_problem=None,
    )


def _settings(ask: _Asker) -> dict[str, str]:
    names = ", ".join(f"'{name}'" for name in _SETTINGS)
    query = f"select name, setting, unit from pg_settings where name in ({names})"
    return {name: _in_base_units(setting or "", unit) for name, setting, unit in ask.rows(query)}


def _in_base_units(setting: str, unit: str | None) -> str:
    """Sizes in bytes, times in seconds."""
    if unit in _UNITS:
        return str(int(setting) * _UNITS[unit])
    if unit in _SECONDS:
        return str(float(setting) * _SECONDS[unit])
    return setting
