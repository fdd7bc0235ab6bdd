"""Where pgrescue keeps what is its own: plans, runs and caches."""

from __future__ import annotations

import os
from pathlib import Path

SYSTEM_STATE = Path("/var/lib/pgrescue")


def state_directory() -> Path:
    """`PGRESCUE_STATE`, else the system's where we may write it, else the user's own.

    It need not exist yet.
    """
    if named := os.environ.get("PGRESCUE_STATE"):
        return Path(named).absolute()
    if os.geteuid() == 0 or os.access(SYSTEM_STATE, os.W_OK):
        return SYSTEM_STATE
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(home) / "pgrescue"


def wal_index_file() -> Path:
    """Where summaries of archived WAL segments are kept, so that an archive is read once."""
    return state_directory() / "wal-index.sqlite"


def names_cache_directory() -> Path:
    """Where the names of relations, read out of backups, are kept."""
    return state_directory() / "names"


def catalog_cache_file() -> Path:
    """Where the catalog keeps what it read of backups, and when they were verified."""
    return state_directory() / "catalog.json"
