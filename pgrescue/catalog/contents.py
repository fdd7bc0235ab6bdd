"""What a base backup may hold, and where: anything else was put there by somebody else.

The server sends files and directories and nothing else, and of a tablespace only the version
directory (`sendDir` and `sendTablespace` in `src/backend/backup/basebackup.c`).
"""

from __future__ import annotations

import re
import stat
from pathlib import PurePosixPath
from typing import Literal

from pgrescue.postgres.manifest import CHANGEABLE, Manifest
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.wal.segment import BACKUP_HISTORY_NAME, HISTORY_NAME, NAME

Part = Literal["data", "tablespace", "wal"]
"""The data directory, a tablespace's directory, or `pg_wal`."""

VERSION_DIRECTORY = re.compile(r"PG_\d+_\d{9}")
"""What a tablespace has of one cluster (`TABLESPACE_VERSION_DIRECTORY`)."""
MAX_FILE_BYTES = 1 << 50
"""Far above any file of a server: what claims to be larger lies."""
NOT_WORTH_READING = 1 << 30
"""Bytes of a file behind which nothing is looked at if the manifest does not know it: no relation's
file is larger (`RELSEG_SIZE`), and to unpack what claims to be may take for ever."""
MAX_CHANGEABLE_BYTES = 16 << 20
"""Of the files whose size the manifest does not settle, such as `postgresql.auto.conf`."""
_WAL_STATUS = re.compile(r"archive_status/(.+)\.(?:done|ready)")


def forbidden(part: Part, name: str, oddity: str | None = None) -> str | None:
    """Why no base backup has an entry of this name in this part; None if it may have one.

    `oddity` is what the entry is, if neither a file nor a directory.
    """
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name:
        return "its name leads out of the backup"
    if oddity is not None:
        return f"it is {oddity}, and a base backup holds files and directories only"
    if name not in (".", "/".join(parts)):
        return "its name is spelled as no server spells it"
    inside = [one for one in parts if one != "."]
    if part == "tablespace" and inside and not VERSION_DIRECTORY.fullmatch(inside[0]):
        return "it lies outside the tablespace's own directory PG_*"
    return None


def differs(manifest: Manifest, listed: str, size: int) -> str | None:
    """Why a file of this name and size is not the manifest's; None if it may be.

    `listed` is the name as the manifest has it. Neither the WAL nor itself is in the manifest.
    """
    if listed.startswith("pg_wal/") or listed == MANIFEST:
        return None
    if listed in CHANGEABLE:
        too_large = size > MAX_CHANGEABLE_BYTES
        return f"it has {size} bytes, more than such a file ever has" if too_large else None
    expected = manifest.files.get(listed)
    if expected is None:
        return "it is in the backup but not in its manifest"
    if size != expected.size:
        return f"it has {size} bytes, the manifest says {expected.size}"
    return None


def is_wal(name: str) -> bool:
    """Whether a file has a place in `pg_wal`, by its name there; so have marks of archiving."""
    mark = _WAL_STATUS.fullmatch(name)
    plain = mark[1] if mark is not None else name
    return any(shape.fullmatch(plain) for shape in (NAME, HISTORY_NAME, BACKUP_HISTORY_NAME))


def oddity_of(mode: int, target: str | None = None) -> str | None:
    """What a directory's entry is by its mode, if neither a file nor a directory."""
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    if stat.S_ISLNK(mode):
        return "a symbolic link" if target is None else f"a symbolic link to {target!r}"
    if stat.S_ISFIFO(mode):
        return "a FIFO"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"
