"""Owner and permissions of what a run makes, set on that very file and on nothing behind a link."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from pgrescue.catalog.entries import open_regular
from pgrescue.postgres.account import Account


def give(path: Path, owner: Account, mode: int) -> None:
    """Set owner (by root) and permissions; raises OSError for a link.

    The directories that a restore fills belong to the server's account, which root does not trust:
    a name in them may have become a link since it was made.
    """
    fd = os.open(path, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        if stat.S_ISLNK(os.fstat(fd).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
        itself = f"/proc/self/fd/{fd}"
        if os.geteuid() == 0:
            os.chown(itself, owner.uid, owner.gid)
        os.chmod(itself, mode)
    finally:
        os.close(fd)


def create_anew(path: Path, mode: int) -> int:
    """A descriptor for writing a new file, in place of what an interrupted try has left there."""
    path.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, mode)


def read_owned(path: Path) -> str:
    """A small file of the server's account, "" if there is none; raises OSError for a link."""
    try:
        with open_regular(path) as file:
            return file.read().decode(errors="surrogateescape")
    except FileNotFoundError:
        return ""
