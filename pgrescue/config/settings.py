"""A cluster's settings, from a running server or from its configuration files."""

from __future__ import annotations

from pathlib import Path

from pgrescue.config.session import server_session
from pgrescue.postgres.account import Account
from pgrescue.postgres.data_directory import read_assignments
from pgrescue.postgres.postmaster import Postmaster

ASKED = (
    "data_directory",
    "config_file",
    "hba_file",
    "server_version_num",
    "archive_mode",
    "archive_command",
    "archive_library",
    "restore_command",
    "wal_segment_size",
    "port",
    "cluster_name",
)


def ask_server(server: Postmaster, account: Account, conninfo: str = "") -> dict[str, str]:
    """The running server's settings, sizes in bytes; raises `CannotAskServer`."""
    with server_session(server, account, conninfo) as connection:
        rows = connection.execute(
            "select name, setting from pg_catalog.pg_settings where name = any(%s)", [list(ASKED)]
        ).fetchall()
    return {name: setting or "" for name, setting in rows}


def read_settings(config_directory: Path, data_directory: Path) -> dict[str, str]:
    """What a stopped cluster's files set: `postgresql.conf`, its includes, `postgresql.auto.conf`.

    Files that are missing count as empty; raises PermissionError for those we may not read.
    """
    values = dict(read_assignments(config_directory / "postgresql.conf"))
    values.update(read_assignments(data_directory / "postgresql.auto.conf"))
    return values
