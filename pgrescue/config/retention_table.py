"""Reading the `[clusters.NAME.retention]` table: which backups are to be kept."""

from __future__ import annotations

from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.config.table import Table

RETENTION_KEYS = ("count", "days", "weekly", "monthly")


def read_retention_table(cluster: Table) -> RetentionPolicy:
    """The table's rules, none if there is no table; problems go to the table's list."""
    table = cluster.table("retention")
    if table is None:
        return RetentionPolicy()
    table.only(RETENTION_KEYS)
    return RetentionPolicy(**{key: table.number(key) for key in RETENTION_KEYS})
