"""What a look into a backup's files found, before any of it is interpreted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.catalog.model import Problem, WalInside
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE
from pgrescue.wal.page import SegmentHeader

LABEL = "backup_label"
TABLESPACE_MAP = "tablespace_map"
VERSION = "PG_VERSION"
CONFIGURATION = (
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    "standby.signal",
    "recovery.signal",
)
IDENTITY = (LABEL, TABLESPACE_MAP, VERSION, CONTROL_FILE)
UNSAFE = "unsafe"
"""Code of the problem that something is in a backup that no base backup holds."""
DIFFERENT = "manifest_differs"
"""Code of the problem that a file is not what the manifest says."""
SMALL = 1 << 20
"""Bytes; larger files are none of those that are kept."""


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A file of the backup that is kept, and when it was last written."""

    data: bytes
    modified_at: datetime | None


@dataclass(frozen=True, slots=True)
class TablespaceLook:
    """A tablespace as the files show it: where its copy is, how many bytes, where it was."""

    source: str
    """Name of the archive, or (plain) the path of the directory."""
    size_bytes: int | None
    path: str | None
    """Original location, where the files themselves tell it (plain: the link's target)."""


@dataclass(frozen=True, slots=True)
class Look:
    """The small files, the WAL and the sizes of one backup."""

    files: dict[str, SmallFile]
    size_bytes: int
    data_bytes: int | None
    """Sum of the files without WAL; None if they were not all seen."""
    wal_inside: WalInside
    wal_header: SegmentHeader | None
    wal_segments: tuple[str, ...]
    """Names of all WAL segments inside; empty if they were not all seen."""
    tablespaces: dict[int, TablespaceLook] = field(default_factory=dict)
    base_archive: str | None = None
    wal_archive: str | None = None
    read_whole: bool = False
    problems: tuple[Problem, ...] = ()
    differing: str | None = None
    """A file that is not what the manifest says, and why."""


def is_configuration(name: str) -> bool:
    """Whether a relative path is one of the configuration files that are kept."""
    return name in CONFIGURATION or (
        name.startswith("conf.d/") and name.count("/") == 1 and name.endswith(".conf")
    )


def is_kept(name: str) -> bool:
    """Whether the content of this member of a data directory is kept."""
    return name in IDENTITY or is_configuration(name)


def unreadable(path: Path, error: OSError) -> Problem:
    """The problem that a file or directory cannot be read."""
    return Problem("unreadable", f"{printable(path)} cannot be read: {error.strerror or error}.")


def printable(path: str | Path) -> str:
    """A path for messages and JSON, whatever bytes its name has."""
    return str(path).encode(errors="backslashreplace").decode()


def file_time(path: Path) -> datetime | None:
    """When a file was last written, or None if it cannot be told."""
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError:
        return None
