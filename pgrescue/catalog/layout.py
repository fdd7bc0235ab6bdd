"""What a directory is by the names in it: a tar backup, a plain one, or something else.

Table of kinds: `pg_basebackup`'s output in `src/bin/pg_basebackup/pg_basebackup.c` and
`src/backend/backup/basebackup.c`.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgrescue.catalog.model import Compression
from pgrescue.compression import split_ending
from pgrescue.postgres import manifest
from pgrescue.wal.segment import BACKUP_HISTORY_NAME, HISTORY_NAME, NAME

LayoutKind = Literal["tar", "plain", "no_label", "wal", "other"]
"""`no_label` is a data directory that is no backup; `wal` is a directory of archived WAL."""

COMPRESSIONS: dict[str, Compression] = {"": "none", ".gz": "gzip", ".lz4": "lz4", ".zst": "zstd"}
"""Endings that pg_basebackup gives its archives."""

_ARCHIVE = re.compile(r"(base|pg_wal|\d+)\.tar(\.[a-z0-9]+)?")


@dataclass(frozen=True, slots=True)
class Layout:
    """The names of one directory, sorted by what they mean."""

    path: Path
    kind: LayoutKind
    bases: tuple[str, ...]
    """Names of `base.tar*`; more than one leaves open which belongs to the backup."""
    wals: tuple[str, ...]
    tablespaces: dict[int, str]
    """Tablespace OID to the name of its archive."""
    doubled: tuple[str, ...]
    """Archives that are there more than once, under several endings."""
    has_manifest: bool
    unfinished: bool
    files: tuple[str, ...]
    directories: tuple[str, ...]
    """Real subdirectories: symbolic links are left out."""

    @property
    def archives(self) -> tuple[str, ...]:
        """The names of all tar files."""
        return (*self.bases, *self.wals, *self.tablespaces.values())


def read_layout(path: Path) -> Layout:
    """List one directory and tell what it is; raises OSError if it cannot be listed."""
    files: list[str] = []
    directories: list[str] = []
    with os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                directories.append(entry.name)
            elif os.path.isfile(entry.path):
                files.append(entry.name)
    files.sort()
    directories.sort()
    archives: dict[str, list[str]] = {}
    for name in files:
        if match := _ARCHIVE.fullmatch(name):
            archives.setdefault(match[1], []).append(name)
    return Layout(
        path=path,
        kind=_kind(files, directories, archives),
        bases=tuple(archives.get("base", ())),
        wals=tuple(archives.get("pg_wal", ())),
        tablespaces={int(oid): names[0] for oid, names in archives.items() if oid.isdigit()},
        doubled=tuple(name for names in archives.values() if len(names) > 1 for name in names),
        has_manifest=manifest.NAME in files,
        unfinished=manifest.UNFINISHED_NAME in files,
        files=tuple(files),
        directories=tuple(directories),
    )


def compression_of(archive: str) -> Compression | None:
    """The compression of a `*.tar*` file name; None for one that PostgreSQL does not make."""
    return COMPRESSIONS.get(archive.partition(".tar")[2])


def _kind(files: list[str], directories: list[str], archives: dict[str, list[str]]) -> LayoutKind:
    if "backup_label" in files and "base" not in archives:
        return "plain"
    if "PG_VERSION" in files and "global" in directories:
        return "no_label"
    if archives or manifest.NAME in files or manifest.UNFINISHED_NAME in files:
        return "tar"
    if any(_is_wal(name) for name in files):
        return "wal"
    return "other"


def _is_wal(name: str) -> bool:
    plain, _ = split_ending(name.removesuffix(".partial"))
    return any(shape.fullmatch(plain) for shape in (NAME, HISTORY_NAME, BACKUP_HISTORY_NAME))
