"""Where pgrescue keeps what is its own: plans, runs and caches."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from pgrescue.errors import PgRescueError, Refused

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


def private_directory(*names: str) -> Path:
    """A directory below the state directory, for our eyes only.

    Raises `PgRescueError` if it cannot be made, `Refused` if the state directory is open to others.
    """
    path = state_directory()
    try:
        # One by one: parents that mkdir makes on the way would get the umask's mode.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        check_private(path)
        for name in names:
            path = path / name
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise PgRescueError(
            f"{path} cannot be made: {error.strerror}.",
            "pgrescue keeps plans, runs and caches there.",
            next_steps=("name another directory in PGRESCUE_STATE",),
        ) from error
    return path


def check_private(path: Path) -> None:
    """Raise `Refused` for a state directory that others may change or read.

    Plans are executed from there, often as root, so nobody else may put any there.

    It is not closed here: whoever names a wrong directory would lock everybody out of that.
    """
    status = path.stat()
    mode = stat.S_IMODE(status.st_mode)
    trusted = {0, os.geteuid()}
    if os.geteuid() == 0 and os.environ.get("SUDO_UID", "").isdigit():
        trusted.add(int(os.environ["SUDO_UID"]))  # who may become root anyway
    if status.st_uid not in trusted:
        raise Refused(
            f"The state directory {path} belongs to somebody else.",
            f"User {status.st_uid} could change the plans and runs in it.",
            next_steps=(f"chown {os.geteuid()} {path}", "or name another in PGRESCUE_STATE"),
        )
    if mode & 0o077:
        raise Refused(
            f"The state directory {path} is open to others.",
            f"Its mode is {mode:04o}: plans and runs in it could be read or changed.",
            next_steps=(f"chmod 0700 {path}", "or name another in PGRESCUE_STATE"),
        )
