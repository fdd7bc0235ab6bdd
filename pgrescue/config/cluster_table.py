"""Reading the `[clusters.NAME]` tables, each with its `service`."""

from __future__ import annotations

import re
from pathlib import Path

from pgrescue.config.backup_table import read_backup_table
from pgrescue.config.conninfo_value import conninfo_of
from pgrescue.config.errors import nearest
from pgrescue.config.model import ClusterConfig
from pgrescue.config.retention_table import read_retention_table
from pgrescue.config.table import Table
from pgrescue.postgres.service import SERVICE_KINDS, ServiceKind, ServiceSpec

CLUSTER_KEYS = (
    "data_directory",
    "service",
    "backups",
    "wal_archive",
    "restore_command",
    "bin_directory",
    "config_directory",
    "owner",
    "conninfo",
    "backup",
    "retention",
    "log",
    "notify",
    "sudo",
)
SERVICE_FIELDS: dict[ServiceKind, tuple[str, ...]] = {
    "systemd": ("unit",),
    "pg_ctlcluster": ("version", "cluster"),
    "pg_ctl": (),
    "command": ("start", "stop", "status"),
}
"""The fields that a kind of service needs; it takes no others."""

_CLUSTER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def read_clusters(top: Table) -> dict[str, ClusterConfig]:
    """Every cluster of the file; its problems go to the table's list."""
    table = top.table("clusters")
    if table is None or not table.names():
        if table is not None or not top.has("clusters"):
            top.complain("clusters", "there is no cluster; add a table [clusters.NAME]")
        return {}
    clusters = {}
    for name in table.names():
        if not _CLUSTER_NAME.fullmatch(name):
            table.complain(name, "a cluster's name has only letters, digits, '_', '-' and '.'")
        cluster = table.table(name)
        if cluster is not None:
            clusters[name] = _cluster(name, cluster)
    return clusters


def _cluster(name: str, table: Table) -> ClusterConfig:
    table.only(CLUSTER_KEYS)
    data_directory = table.path("data_directory")
    if not table.has("data_directory"):
        table.complain("data_directory", "is missing; it is the cluster's PGDATA")
    restore_command = table.text("restore_command")
    if restore_command is not None and not ("%f" in restore_command and "%p" in restore_command):
        table.complain("restore_command", "must name the wanted file as %f and its place as %p")
    return ClusterConfig(
        name=name,
        # The root stands in for a path that was complained about; such a Config is never returned.
        data_directory=data_directory or Path("/"),
        service=_service(table),
        backups=table.paths("backups"),
        wal_archive=table.path("wal_archive"),
        restore_command=restore_command,
        bin_directory=table.path("bin_directory"),
        config_directory=table.path("config_directory"),
        owner=table.text("owner"),
        conninfo=conninfo_of(table, "conninfo") or "",
        log=table.path("log"),
        notify=table.text("notify"),
        backup=read_backup_table(table),
        retention=read_retention_table(table),
        sudo=table.flag("sudo", False),
    )


def _service(cluster: Table) -> ServiceSpec:
    table = cluster.table("service")
    if table is None:
        return ServiceSpec()
    every_field = tuple(field for fields in SERVICE_FIELDS.values() for field in fields)
    table.only(("kind", *every_field))
    values = {field: table.text(field) for field in every_field}
    named = table.text("kind")
    kind = next((known for known in SERVICE_KINDS if known == named), None)
    if kind is None:
        _complain_about_kind(table, named)
        return ServiceSpec()
    for field in SERVICE_FIELDS[kind]:
        if not table.has(field):
            table.complain(field, f"is missing; kind '{kind}' needs it")
    for field in every_field:
        if table.has(field) and field not in SERVICE_FIELDS[kind]:
            table.complain(field, f"does not belong to kind '{kind}'")
    return ServiceSpec(kind, **values)


def _complain_about_kind(table: Table, named: str | None) -> None:
    if not table.has("kind"):
        table.complain("kind", f"is missing; it is one of: {', '.join(SERVICE_KINDS)}")
    elif named is not None:
        close = nearest(named, SERVICE_KINDS)
        hint = f"; did you mean '{close}'?" if close else ""
        table.complain("kind", f"'{named}' is none of: {', '.join(SERVICE_KINDS)}{hint}")
