"""A cluster's settings, from a running server or from its configuration files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgrescue.config.session import server_session
from pgrescue.postgres.account import Account
from pgrescue.postgres.conf_file import parse_assignments, parse_includes
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
_INCLUDE_DEPTH = 10


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
    values = dict(_assignments(config_directory / "postgresql.conf", _INCLUDE_DEPTH))
    values.update(_assignments(data_directory / "postgresql.auto.conf", _INCLUDE_DEPTH))
    return values


def _assignments(file: Path, depth: int) -> Iterator[tuple[str, str]]:
    """Assignments in the order in which the server reads them, includes in their place."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    for line in lines:
        yield from parse_assignments(line).items()
        if depth:
            for directive, name in parse_includes(line):
                for included in _included(directive, file.parent / name):
                    yield from _assignments(included, depth - 1)


def _included(directive: str, path: Path) -> list[Path]:
    if directive != "include_dir":
        return [path]
    # As the server: only *.conf, no hidden files, in order of their names.
    return sorted(file for file in path.glob("*.conf") if not file.name.startswith("."))
