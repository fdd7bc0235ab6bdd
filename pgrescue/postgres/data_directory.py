"""Small facts straight out of a data directory, and its configuration files in reading order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pgrescue.errors import InvalidFormat
from pgrescue.postgres.conf_file import parse_assignments, parse_includes
from pgrescue.postgres.control_file import RELATIVE_PATH, ControlFile, parse_control_file

LOST_AND_FOUND = "lost+found"
"""What a file system keeps in its root, and initdb takes for nothing (`src/port/pgcheckdir.c`)."""
AUTO_CONF = "postgresql.auto.conf"
_INCLUDE_DEPTH = 10
_MOST_LOGS = 1000
"""Files of a log directory that are looked at, the newest of them."""


def read_pg_version(data_directory: Path) -> int | None:
    """The major version in `PG_VERSION`; None if it is not there or holds something else.

    Raises PermissionError if we may not read it.
    """
    try:
        text = (data_directory / "PG_VERSION").read_text(errors="replace").strip()
    except PermissionError:
        raise
    except OSError:
        return None
    return int(text) if text.isdigit() else None


def read_control_file(data_directory: Path) -> tuple[ControlFile | None, str | None]:
    """`pg_control` and, if it cannot be read, why."""
    try:
        return parse_control_file((data_directory / RELATIVE_PATH).read_bytes()), None
    except OSError as error:
        return None, error.strerror or str(error)
    except InvalidFormat as error:
        return None, f"{error.title} {error.cause}"


def collected_logs(data_directory: Path) -> dict[str, str]:
    """The files that the logging collector writes to (`current_logfiles`), by kind of log.

    Kinds are those of `log_destination`: "stderr", "csvlog", "jsonlog".
    """
    try:
        text = (data_directory / "current_logfiles").read_text(errors="surrogateescape")
    except OSError:
        return {}
    named = (line.partition(" ") for line in text.split("\n"))
    return {kind: str(data_directory / name) for kind, _, name in named if name}


def collected_log_sizes(data_directory: Path, config_directory: Path) -> dict[str, int]:
    """The sizes of the files in `log_directory`: a server that starts may go on with one of them.

    Empty if the configuration or the directory cannot be read.
    """
    where = "log"
    try:
        for file in (config_directory / "postgresql.conf", data_directory / AUTO_CONF):
            for name, value in read_assignments(file):
                where = value if name == "log_directory" else where
        found = [(entry.stat(), str(entry)) for entry in (data_directory / where).iterdir()]
    except OSError:
        return {}
    found.sort(reverse=True, key=lambda pair: pair[0].st_mtime)
    return {path: status.st_size for status, path in found[:_MOST_LOGS]}


def read_assignments(file: Path, depth: int = _INCLUDE_DEPTH) -> Iterator[tuple[str, str]]:
    """Assignments in the order in which the server reads them, includes in their place.

    Files that are missing count as empty; raises PermissionError for those we may not read.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return
    for line in lines:
        yield from parse_assignments(line).items()
        if depth:
            for directive, name in parse_includes(line):
                for included in _included(directive, file.parent / name):
                    yield from read_assignments(included, depth - 1)


def _included(directive: str, path: Path) -> list[Path]:
    if directive != "include_dir":
        return [path]
    # As the server: only *.conf, no hidden files, in order of their names.
    return sorted(file for file in path.glob("*.conf") if not file.name.startswith("."))
