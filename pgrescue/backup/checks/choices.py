"""The choices: do they fit each other and the versions?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from humanize import naturaldelta

from pgrescue.backup.checks.asked import Asked
from pgrescue.backup.choices import INCREMENTAL_SINCE, compression_problem
from pgrescue.findings import Finding


def compression(asked: Asked) -> Iterator[Finding]:
    """Client, server and format can compress like that."""
    request, server = asked.request, asked.server
    wanted = request.compression
    problem = compression_problem(wanted, server.major, server.wal_compressions)
    if problem is not None:
        yield Finding("choice.compression", "blocker", problem, "--compress gzip, or none")
    elif asked.facts.client_problem is not None:
        message = f"pg_basebackup cannot do that: {asked.facts.client_problem}."
        yield Finding("choice.compression", "blocker", message, "--compress gzip, or none")
    elif request.format == "plain" and wanted.method != "none" and wanted.side == "client":
        yield Finding(
            "choice.compression",
            "blocker",
            "A plain backup is not compressed.",
            "--format tar, or --compress server-lz4 to compress only what is sent",
        )


def incremental(asked: Asked) -> Iterator[Finding]:
    """The parent is whole, of this cluster, and the server has recorded what changed since."""
    request, server, parent = asked.request, asked.server, asked.parent
    if request.parent is None:
        return
    code = "choice.incremental"
    if server.major < INCREMENTAL_SINCE:
        message = f"PostgreSQL {server.major} takes no incremental backups; 17 is the first."
        yield Finding(code, "blocker", message, "leave --incremental out")
        return
    if server.settings.get("summarize_wal") != "on":
        yield Finding(
            code,
            "blocker",
            "summarize_wal is off: the server does not record which blocks change.",
            "alter system set summarize_wal = on; select pg_reload_conf(); then a full backup",
        )
    if parent is None:
        message = "There is no usable backup of this cluster with a manifest to build upon."
        yield Finding(code, "blocker", message, "take a full backup first")
        return
    if not parent.usable:
        yield Finding(code, "blocker", f"{parent.id} cannot be used.", f"pgrescue show {parent.id}")
    if not parent.has_manifest:
        message = f"{parent.id} has no manifest; an incremental backup is built upon that."
        yield Finding(code, "blocker", message, "choose another parent, or take a full backup")
    if parent.system_identifier not in (None, server.system_identifier):
        message = f"{parent.id} is of another cluster, {parent.system_identifier}."
        yield Finding(code, "blocker", message, "choose another parent, or take a full backup")
    kept = timedelta(seconds=server.number("wal_summary_keep_time"))
    age = asked.facts.host.now - (parent.started_at or asked.facts.host.now)
    if kept and age > kept:
        yield Finding(
            code,
            "warning",
            f"{parent.id} is {naturaldelta(age)} old, and the server keeps summaries of WAL for "
            f"{naturaldelta(kept)}: those since then may be gone.",
            "take a full backup, or raise wal_summary_keep_time",
        )


def tablespaces(asked: Asked) -> Iterator[Finding]:
    """Every mapping is of a tablespace that there is; they have places in plain backups."""
    known = {item.location for item in asked.server.tablespaces}
    for location in asked.request.tablespaces:
        if location not in known:
            message = f"No tablespace of the server is at {location}."
            listed = ", ".join(sorted(known)) or "it has none"
            yield Finding("choice.tablespace", "blocker", message, f"there are: {listed}")
    if asked.request.format == "tar" and asked.request.tablespaces:
        message = "A tar backup keeps each tablespace in an archive beside the others."
        yield Finding("choice.tablespace", "blocker", message, "leave --tablespace out")
