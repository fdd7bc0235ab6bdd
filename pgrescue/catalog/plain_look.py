"""Looking into a plain backup: a data directory with `backup_label`, tablespaces linked to it."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.catalog.layout import Layout
from pgrescue.catalog.look import (
    SMALL,
    VERSION,
    Look,
    SmallFile,
    TablespaceLook,
    file_time,
    is_kept,
    printable,
    sum_files,
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
    tablespaces = {oid: _tablespace(link, problems) for oid, link in tablespace_links(root).items()}
    segments = _segments(root / _WAL, problems)
    copies = sum(look.size_bytes or 0 for look in tablespaces.values())
    data_bytes = sum_files(root, errors.append, skip=root / _WAL) + copies
    wal_bytes = sum_files(root / _WAL, errors.append) if (root / _WAL).is_dir() else 0
    problems += [unreadable(Path(error.filename or root), error) for error in errors[:1]]
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
            if path.is_file() and path.stat().st_size <= SMALL:
                files[name] = SmallFile(path.read_bytes(), file_time(path))
        except OSError as error:
            problems.append(unreadable(path, error))
    return files


def _tablespace(link: Path, problems: list[Problem]) -> TablespaceLook:
    target = Path(os.path.normpath(link.parent / os.readlink(link)))
    errors: list[OSError] = []
    size = sum_files(target, errors.append)
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
        return tuple(sorted(name for name in os.listdir(directory) if NAME.fullmatch(name)))
    except FileNotFoundError:
        return ()
    except OSError as error:
        problems.append(unreadable(directory, error))
        return ()
