"""The server: can it be reached, and does it let the backup be taken?"""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.backup.checks.asked import Asked, ago, size_text
from pgrescue.backup.facts import SourceFacts
from pgrescue.findings import Finding

_OLDEST, _NEWEST = 12, 18
_MANY_GIGABYTES = 16 << 30


def unreachable(source: SourceFacts) -> Finding:
    """The finding where the server could not be asked at all."""
    problem = source.problem or "no reason is known"
    return Finding(
        "source.connection",
        "blocker",
        f"{source.words} cannot be asked: {problem}",
        _connection_fix(problem),
    )


def _connection_fix(problem: str) -> str:
    if "password" in problem or "fe_sendauth" in problem:
        return "put the password into the account's ~/.pgpass (host:port:database:user:password)"
    if "does not exist" in problem and "role" in problem:
        return "name a role that exists: --source 'user=ROLE', or conninfo in the configuration"
    if "pg_hba.conf" in problem:
        return "add a line to pg_hba.conf, then: select pg_reload_conf()"
    return "start the server, or name another: --source 'host=HOST port=PORT user=ROLE'"


def connection(asked: Asked) -> Iterator[Finding]:
    """The server answers, is of a version that is known, and is the cluster that is meant."""
    server, facts = asked.server, asked.facts
    place = "standby" if server.in_recovery else "primary"
    message = f"{facts.source.words} answers: PostgreSQL {server.version}, a {place}."
    if not _OLDEST <= server.major <= _NEWEST:
        yield Finding("source.version", "blocker", message, "PostgreSQL 12 to 18 are supported")
    else:
        yield Finding("source.version", "ok", message)
    known = facts.cluster_identifier
    if known is not None and known != server.system_identifier:
        yield Finding(
            "source.cluster",
            "blocker",
            f"It is another cluster than the configured one: its system identifier is "
            f"{server.system_identifier}, not {known}.",
            "name the right server with --source, or the right cluster with --cluster",
        )


def client(asked: Asked) -> Iterator[Finding]:
    """pg_basebackup is there and not older than the server."""
    programs, major = asked.facts.programs, asked.facts.client_major
    wanted = asked.server.major
    if programs.bin_directory is None or major is None:
        message = programs.problem or "pg_basebackup is not installed."
        yield Finding("client.missing", "blocker", message, f"install PostgreSQL {wanted}'s client")
    elif major < wanted:
        message = f"pg_basebackup is of version {major}, older than the server's {wanted}."
        yield Finding("client.version", "blocker", message, f"install PostgreSQL {wanted}'s client")
    else:
        yield Finding("client.version", "ok", f"{programs.bin_directory}/pg_basebackup, {major}.")


def privileges(asked: Asked) -> Iterator[Finding]:
    """The role may replicate, and pg_hba.conf lets it."""
    server = asked.server
    if not (server.is_superuser or server.may_replicate):
        yield Finding(
            "role.replication",
            "blocker",
            f"The role {server.role} may not replicate.",
            f'alter role "{server.role}" replication',
        )
    elif server.replication_problem is not None:
        problem = server.replication_problem
        refused = "pg_hba.conf" in problem
        yield Finding(
            "hba.replication" if refused else "source.replication",
            "blocker",
            f"A replication connection was refused: {problem}",
            f"pg_hba.conf: {'local' if asked.facts.source.is_local else 'host'} replication "
            f"{server.role} {'peer' if asked.facts.source.is_local else 'ADDRESS scram-sha-256'}"
            if refused
            else "mend what the server says, or use another role: --source 'user=ROLE'",
        )
    else:
        message = f"The role {server.role} may open replication connections."
        yield Finding("role.replication", "ok", message)


def wal_level(asked: Asked) -> Iterator[Finding]:
    """The server writes enough WAL for a backup while it runs."""
    level = asked.server.settings.get("wal_level", "")
    if level == "minimal":
        yield Finding(
            "server.wal_level",
            "blocker",
            "wal_level is minimal: no backup can be taken while the server runs.",
            "alter system set wal_level = replica; then restart the server",
        )
    if asked.server.in_recovery and asked.server.settings.get("full_page_writes") == "off":
        yield Finding(
            "server.full_page_writes",
            "blocker",
            "full_page_writes is off: a backup from this standby would be invalid.",
            "alter system set full_page_writes = on on the primary, then wait for a checkpoint",
        )


def senders(asked: Asked) -> Iterator[Finding]:
    """As many WAL senders and slots are free as it takes."""
    server = asked.server
    wanted = 2 if asked.request.wal_method == "stream" else 1
    most = int(server.number("max_wal_senders"))
    free = most - server.senders
    if free < wanted:
        yield Finding(
            "server.max_wal_senders",
            "blocker",
            f"{wanted} WAL senders are needed, {max(free, 0)} of {most} are free.",
            f"alter system set max_wal_senders = {most + wanted}; then restart the server",
        )
    else:
        message = f"{free} of {most} WAL senders are free; {wanted} are needed."
        yield Finding("server.max_wal_senders", "ok", message)
    slots = int(server.number("max_replication_slots"))
    if wanted == 2 and server.slots >= slots:
        yield Finding(
            "server.max_replication_slots",
            "warning",
            f"All of {slots} replication slots are taken: pg_basebackup needs a temporary one to "
            "keep the WAL that it has not received yet.",
            f"alter system set max_replication_slots = {slots + 1}; then restart the server",
        )


def wal_kept(asked: Asked) -> Iterator[Finding]:
    """While it is streamed, WAL stays on the server until it has been sent."""
    server = asked.server
    if asked.request.wal_method == "fetch":
        kept = server.number("wal_keep_size") or server.number("wal_keep_segments") * server.number(
            "wal_segment_size"
        )
        yield Finding(
            "server.wal_kept",
            "warning",
            f"WAL is collected at the end; the server promises to keep {size_text(int(kept))} "
            "until then, and recycles more if it writes more.",
            "--wal-method stream",
        )
    if server.wal_bytes is not None and server.wal_bytes > _MANY_GIGABYTES:
        message = f"pg_wal on the server holds {size_text(server.wal_bytes)} already."
        fix = "select * from pg_replication_slots: a forgotten one keeps WAL for ever"
        yield Finding("server.wal_size", "warning", message, fix)


def last_checkpoint(asked: Asked) -> Iterator[Finding]:
    """When the last one was, since the backup begins with another."""
    moment = asked.server.last_checkpoint_at
    if moment is not None:
        message = f"The last checkpoint was {ago(moment, asked.facts.host.now)}."
        yield Finding("server.checkpoint", "ok", message)
