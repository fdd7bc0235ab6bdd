"""The entries of a backup, with their data: out of a tar archive, or from a directory.

Directories may be anybody's: nothing is read but regular files, and no link is followed except
those that a plain backup has for its tablespaces and its `pg_wal`.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from io import FileIO
from pathlib import Path

from pgrescue.catalog.contents import VERSION_DIRECTORY, is_wal, oddity_of

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One entry of a backup: a directory, or a file with its data."""

    name: str
    is_directory: bool
    chunks: Iterable[bytes]
    size: int = 0
    """Bytes of a file, as its header or its directory says."""
    oddity: str | None = None
    """What it is, if neither a file nor a directory; then it has no data."""


def plain_entries(root: Path) -> Iterator[SourceFile]:
    """The entries of a plain backup's data directory, its own WAL included.

    `pg_wal` may be a link out of it (`pg_basebackup --waldir`): only WAL is taken from there.
    Tablespaces are left out. Raises OSError if a directory cannot be read.
    """
    wal_elsewhere = (root / "pg_wal").is_symlink()
    for entry in directory_entries(root):
        head, _, rest = entry.name.partition("/")
        if head == "pg_tblspc" and rest:
            continue
        if head != "pg_wal" or not rest:
            if not (head == "pg_wal" and wal_elsewhere):
                yield entry
        elif entry.is_directory or is_wal(rest):
            yield entry
    if wal_elsewhere:
        yield SourceFile("pg_wal", True, ())
        for entry in directory_entries(root / "pg_wal", chosen=is_wal):
            if not entry.is_directory:
                yield replace(entry, name=f"pg_wal/{entry.name}")


def tablespace_entries(root: Path) -> Iterator[SourceFile]:
    """The entries of a plain backup's tablespace: its version directory, and nothing beside it.

    Raises OSError if a directory cannot be read.
    """

    def chosen(name: str) -> bool:
        return VERSION_DIRECTORY.fullmatch(name) is not None

    yield from directory_entries(root, chosen=chosen)


def directory_entries(
    root: Path, chosen: Callable[[str], bool] = lambda _: True
) -> Iterator[SourceFile]:
    """Everything below a directory, links as such; raises OSError for what cannot be read.

    `chosen` picks what is looked at among the names in the directory itself.
    """
    top = os.path.realpath(root)
    for directory, names, files, fd in os.fwalk(top, onerror=_raise):
        if directory == top:
            names[:] = filter(chosen, names)
            files = list(filter(chosen, files))
        names.sort()
        where = os.path.relpath(directory, top)
        prefix = "" if where == "." else f"{where}/"
        for name in (*names, *sorted(files)):
            yield _entry(prefix, name, fd, f"{directory}/{name}")


def open_regular(path: str | Path, directory: int | None = None) -> FileIO:
    """Open a regular file for reading; raises OSError for anything else, and waits for nothing."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    file = FileIO(os.open(path, flags, dir_fd=directory), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return file


def _entry(prefix: str, name: str, directory: int, path: str) -> SourceFile:
    status = os.stat(name, dir_fd=directory, follow_symlinks=False)
    is_link = stat.S_ISLNK(status.st_mode)
    oddity = oddity_of(status.st_mode, os.readlink(name, dir_fd=directory) if is_link else None)
    if oddity is not None:
        return SourceFile(prefix + name, False, (), 0, oddity)
    if stat.S_ISDIR(status.st_mode):
        return SourceFile(prefix + name, True, ())
    return SourceFile(prefix + name, False, _file_chunks(name, directory, path), status.st_size)


def _file_chunks(name: str, directory: int, path: str) -> Iterator[bytes]:
    try:
        with open_regular(name, directory) as file:
            while chunk := file.read(CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise OSError(error.errno, error.strerror, path) from error


def _raise(error: OSError) -> None:
    raise error
