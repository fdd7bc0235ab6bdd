"""Reading the `[clusters.NAME.backup]` table: the choices that backups have without others."""

from __future__ import annotations

from typing import Any, get_args

from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.conninfo_value import conninfo_of
from pgrescue.config.errors import nearest
from pgrescue.config.table import Table
from pgrescue.errors import UsageError
from pgrescue.postgres.basebackup_options import (
    BackupFormat,
    Checkpoint,
    ManifestChecksums,
    WalMethod,
    compression_from,
    rate_from,
)

BACKUP_KEYS = (
    "source",
    "destination",
    "name",
    "format",
    "compress",
    "wal_method",
    "checkpoint",
    "max_rate",
    "label",
    "manifest_checksums",
    "tablespaces",
    "verify",
)
_CHOICES: dict[str, tuple[str, ...]] = {
    "format": get_args(BackupFormat),
    "wal_method": get_args(WalMethod),
    "checkpoint": get_args(Checkpoint),
    "manifest_checksums": get_args(ManifestChecksums),
}


def read_backup_table(cluster: Table) -> BackupRequest:
    """The table's choices, the usual ones where it has none; problems go to the table's list."""
    table = cluster.table("backup")
    if table is None:
        if cluster.has("backup"):
            cluster.complain("backup", "directories that hold backups are listed in 'backups'")
        return BackupRequest()
    table.only(BACKUP_KEYS)
    values: dict[str, Any] = {
        "source": conninfo_of(table, "source"),
        "name": table.text("name"),
        "label": table.text("label"),
    }
    destination = table.path("destination")
    values["destination"] = str(destination) if destination is not None else None
    for key, known in _CHOICES.items():
        values[key] = _one_of(table, key, known)
    for key, field, read in (
        ("compress", "compression", compression_from),
        ("max_rate", "max_rate", rate_from),
    ):
        text = table.text(key)
        try:
            values[field] = None if text is None else read(text)
        except UsageError as error:
            table.complain(key, f"{error.title} {error.cause}")
    given = {name: value for name, value in values.items() if value is not None}
    return BackupRequest(
        **given, tablespaces=_tablespaces(table), verify=table.flag("verify", True)
    )


def _one_of(table: Table, key: str, known: tuple[str, ...]) -> str | None:
    named = table.text(key)
    if named is None or named in known:
        return named
    close = nearest(named, known)
    hint = f"; did you mean '{close}'?" if close else ""
    table.complain(key, f"'{named}' is none of: {', '.join(known)}{hint}")
    return None


def _tablespaces(table: Table) -> dict[str, str]:
    mapping = table.table("tablespaces")
    if mapping is None:
        return {}
    found = {}
    for location in mapping.names():
        if not location.startswith("/"):
            mapping.complain(location, "must be a tablespace's location, an absolute path")
        place = mapping.path(location)
        if place is not None:
            found[location] = str(place)
    return found
