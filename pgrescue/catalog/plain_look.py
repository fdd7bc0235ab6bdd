"""Looking into a plain backup: a data directory with `backup_label`, tablespaces linked to it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from pgrescue.catalog.contents import VERSION_DIRECTORY, oddity_of
from pgrescue.catalog.entries import open_regular
from pgrescue.catalog.layout import Layout
from pgrescue.catalog.look import (
    SMALL,
    UNSAFE,
    VERSION,
    Look,
    SmallFile,
    TablespaceLook,
    file_time,
    is_kept,
    printable,
    unreadable,
)
from pgrescue.catalog.model import Problem
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE
from pgrescue.wal.archive import read_segment_header
from pgrescue.wal.segment import NAME

TABLESPACE_LINKS = "pg_tblspc"
_WAL = "pg_wal"


def look_into_plain(layout: Layout) -> Look:
    """Read the small files of a plain backup and add up all others; always the whole look."""
    root = layout.path
    problems: list[Problem] = []
    errors: list[OSError] = []
    files = _small_files(layout, problems)
    tablespaces = {
        oid: _tablespace(link, problems, is_from_server=layout.has_manifest)
        for oid, link in tablespace_links(root).items()
    }
    segments = _segments(root / _WAL, problems)
    copies = sum(look.size_bytes or 0 for look in tablespaces.values())
    seen = _Sum(errors.append)
    data_bytes = seen.of(root, without=_WAL) + copies
    wal_bytes = _bytes_of_wal(root / _WAL, segments, errors)
    problems += [unreadable(Path(error.filename or root), error) for error in errors[:1]]
    problems += _oddities(root, seen.odd, is_from_server=layout.has_manifest)
    for name in (VERSION, CONTROL_FILE):
        if name not in files and not problems:
            problems.append(
                Problem("incomplete", f"{name} is missing: the copy was not brought to its end.")
            )
    return Look(
        files=files,
        size_bytes=data_bytes + wal_bytes,
        data_bytes=data_bytes,
        wal_inside="plain" if segments else "none",
        wal_header=read_segment_header(root / _WAL / segments[0]) if segments else None,
        wal_segments=segments,
        tablespaces=tablespaces,
        read_whole=True,
        problems=tuple(problems),
    )


def tablespace_links(root: Path) -> dict[int, Path]:
    """The links in `pg_tblspc`, by OID."""
    try:
        names = os.listdir(root / TABLESPACE_LINKS)
    except OSError:
        return {}
    links = {int(name): root / TABLESPACE_LINKS / name for name in names if name.isdigit()}
    return {oid: link for oid, link in sorted(links.items()) if link.is_symlink()}


def _small_files(layout: Layout, problems: list[Problem]) -> dict[str, SmallFile]:
    root = layout.path
    names = [*layout.files, CONTROL_FILE]
    names += sorted(f"conf.d/{path.name}" for path in (root / "conf.d").glob("*.conf"))
    files: dict[str, SmallFile] = {}
    for name in filter(is_kept, names):
        path = root / name
        try:
            if stat.S_ISREG(path.lstat().st_mode) and path.stat().st_size <= SMALL:
                with open_regular(path) as file:
                    files[name] = SmallFile(file.read(SMALL), file_time(path))
        except FileNotFoundError:
            continue
        except OSError as error:
            problems.append(unreadable(path, error))
    return files


class _Sum:
    """Adding up files, and noting what is none."""

    def __init__(self, on_error: Callable[[OSError], object]) -> None:
        self._on_error = on_error
        self.odd: dict[str, str] = {}
        """What is neither a file nor a directory, by its path."""

    def of(self, directory: Path, without: str = "") -> int:
        """Bytes of all regular files below a directory, no link followed."""
        total = 0
        for where, names, files in os.walk(directory, onerror=self._on_error):
            if where == str(directory) and without in names:
                names.remove(without)
            for name in (*names, *files):
                total += self._look(os.path.join(where, name))
        return total

    def _look(self, path: str) -> int:
        try:
            status = os.lstat(path)
            if oddity := oddity_of(status.st_mode):
                is_link = stat.S_ISLNK(status.st_mode)
                self.odd[path] = f"{oddity} to {os.readlink(path)!r}" if is_link else oddity
        except OSError as error:
            self._on_error(error)
            return 0
        return status.st_size if stat.S_ISREG(status.st_mode) else 0


def _oddities(root: Path, odd: dict[str, str], *, is_from_server: bool) -> list[Problem]:
    """A server sends no such thing; in a copy that was made by other means it is left out."""
    links = {str(link) for link in tablespace_links(root).values()} | {str(root / _WAL)}
    found = sorted((path, what) for path, what in odd.items() if path not in links)
    if not found:
        return []
    path, what = found[0]
    more = f" (and {len(found) - 1} more like it)" if len(found) > 1 else ""
    end = "no base backup holds that" if is_from_server else "a restore leaves it out"
    message = f"{printable(path)} is {printable(what)}{more}: {end}."
    return [Problem(UNSAFE, message, fatal=is_from_server)]


def _bytes_of_wal(directory: Path, segments: Sequence[str], errors: list[OSError]) -> int:
    """Of its segments only: `pg_wal` may be a link to anywhere."""
    total = 0
    for name in segments:
        try:
            total += os.lstat(directory / name).st_size
        except OSError as error:
            errors.append(error)
    return total


def _tablespace(link: Path, problems: list[Problem], *, is_from_server: bool) -> TablespaceLook:
    target = Path(os.path.normpath(link.parent / os.readlink(link)))
    errors: list[OSError] = []
    odd: dict[str, str] = {}
    size = 0
    try:
        versions = [name for name in os.listdir(target) if VERSION_DIRECTORY.fullmatch(name)]
    except OSError as error:
        versions = []
        errors.append(error)
    for name in versions:
        seen = _Sum(errors.append)
        size += seen.of(target / name)
        odd |= seen.odd
    problems += _oddities(link.parent.parent, odd, is_from_server=is_from_server)
    if errors:
        problems.append(
            Problem(
                "tablespace_missing",
                f"Tablespace {link.name} should be in {printable(target)}: {errors[0].strerror}.",
            )
        )
    return TablespaceLook(printable(target), None if errors else size, printable(os.readlink(link)))


def _segments(directory: Path, problems: list[Problem]) -> tuple[str, ...]:
    try:
        names = [name for name in os.listdir(directory) if NAME.fullmatch(name)]
        return tuple(sorted(name for name in names if _is_file(directory / name)))
    except FileNotFoundError:
        return ()
    except OSError as error:
        problems.append(unreadable(directory, error))
        return ()


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(os.lstat(path).st_mode)
