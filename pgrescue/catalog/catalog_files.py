"""The files of a backup that names are read from, taken out of it without unpacking the rest.

Where relations lie: `GetRelationPath` in `src/common/relpath.c`. Names are those that the files
have below a data directory, for tar backups too: a tablespace's begin with `pg_tblspc/OID/`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from pgrescue.catalog.entries import open_regular
from pgrescue.catalog.layout import Layout
from pgrescue.catalog.look import printable
from pgrescue.catalog.plain_look import TABLESPACE_LINKS
from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.errors import InvalidFormat, PgRescueError
from pgrescue.postgres import relation_map
from pgrescue.postgres.commit_log import DIRECTORY as COMMIT_LOG
from pgrescue.postgres.heap_page import PAGE_SIZE, HeapTuple, heap_tuples
from pgrescue.postgres.system_catalogs import (
    DEFAULT_TABLESPACE,
    PG_CLASS,
    PG_DATABASE,
    PG_NAMESPACE,
    PG_TABLESPACE,
)

T = TypeVar("T")

_CHUNK = 1 << 20
_SMALLEST_SEGMENT = 1 << 30
"""Bytes of a relation's segment, at the least: a shorter file is the relation's last."""
_LARGEST_SMALL = 2 << 20
"""Bytes: eight times what a file of `pg_xact` has."""

_DATABASE = rf"(?:base|{TABLESPACE_LINKS}/\d+/PG_\d+_\d+)/\d+"
_DATABASE_MAP = re.compile(
    rf"((?:base|{TABLESPACE_LINKS}/(\d+)/PG_(\d+)_\d+)/(\d+))/{re.escape(relation_map.NAME)}"
)
_SMALL = re.compile(
    rf"PG_VERSION|{COMMIT_LOG}/[0-9A-F]+|(?:global|{_DATABASE})/{re.escape(relation_map.NAME)}"
)
_USUAL_HEAP = re.compile(
    rf"global/(?:{PG_DATABASE}|{PG_TABLESPACE})|{_DATABASE}/(?:{PG_CLASS}|{PG_NAMESPACE})"
)
"""Where catalogs are as long as nothing has rewritten them."""
_SEGMENT = re.compile(r"((?:.*/)?\d+)(?:\.(\d+))?")


@dataclass(frozen=True, slots=True)
class BackupFile:
    """One file of a backup, while a pass is at it."""

    name: str
    chunks: Callable[[], Iterator[bytes]]
    """Its content, in pieces of any size."""


class BackupFiles(Protocol):
    """Passes over the files of a backup; raise `PgRescueError` if it cannot be read."""

    def files(self, tablespace: int) -> Iterator[BackupFile]:
        """The files of one tablespace; of the default one: those of the data directory."""


class PlainFiles:
    """The files of a plain backup."""

    def __init__(self, layout: Layout) -> None:
        self._root = layout.path

    def files(self, tablespace: int) -> Iterator[BackupFile]:
        """As the protocol says; only directories that may hold catalogs are listed."""
        if tablespace == DEFAULT_TABLESPACE:
            yield self._file("PG_VERSION")
            for directory in (COMMIT_LOG, "global", *self._below("base")):
                yield from self._listed(directory)
            return
        for version in self._below(f"{TABLESPACE_LINKS}/{tablespace}"):
            for directory in self._below(version):
                yield from self._listed(directory)

    def _listed(self, directory: str) -> Iterator[BackupFile]:
        path = self._root / directory
        if path.is_dir():
            yield from (self._file(name) for name in self._below(directory))

    def _below(self, directory: str) -> list[str]:
        try:
            return [f"{directory}/{name}" for name in os.listdir(self._root / directory)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unreadable(self._root / directory, error) from error

    def _file(self, name: str) -> BackupFile:
        return BackupFile(name, lambda: self._chunks(self._root / name))

    def _chunks(self, path: Path) -> Iterator[bytes]:
        try:
            with open_regular(path) as file:
                while part := file.read(_CHUNK):
                    yield part
        except OSError as error:
            raise _unreadable(path, error) from error


class TarFiles:
    """The files of a tar backup: each pass over a compressed archive decompresses it anew."""

    def __init__(self, layout: Layout) -> None:
        self._archives = {oid: layout.path / name for oid, name in layout.tablespaces.items()}
        if layout.bases:
            self._archives[DEFAULT_TABLESPACE] = layout.path / layout.bases[0]

    def files(self, tablespace: int) -> Iterator[BackupFile]:
        """As the protocol says; a file's content must be taken before the next one is asked for."""
        path = self._archives.get(tablespace)
        if path is not None:
            yield from _guarded(path, self._members(path, tablespace))

    def _members(self, path: Path, tablespace: int) -> Iterator[BackupFile]:
        prefix = "" if tablespace == DEFAULT_TABLESPACE else f"{TABLESPACE_LINKS}/{tablespace}/"
        with TarStream(path) as stream:
            for member in stream.members():
                if member.is_file:
                    chunks = partial(_guarded, path, stream.chunks(member, _CHUNK))
                    yield BackupFile(prefix + member.name, chunks)


class CatalogFiles:
    """What has been read of a backup so far."""

    def __init__(self, source: BackupFiles) -> None:
        self._source = source
        self._heaps: dict[str, list[HeapTuple]] = {}
        self.small: dict[str, bytes] = {}
        """`PG_VERSION`, relation maps and `pg_xact` by name."""

    def look_through(self, tablespace: int) -> None:
        """Read the small files, and the catalogs that are where they usually are."""
        for file in self._source.files(tablespace):
            if _SMALL.fullmatch(file.name):
                self.small[file.name] = _content(file)
            elif (segment := _segment(file.name)) and _USUAL_HEAP.fullmatch(segment[0]):
                self._read_heap(segment[0], file)

    def fetch(self, names: Collection[str]) -> None:
        """Read heaps, by the names of their first segments, in one pass for each tablespace.

        What has been read is not read again, and a pass ends with the last one that it looks for.
        """
        missing = [name for name in dict.fromkeys(names) if name not in self._heaps]
        by_tablespace: dict[int, set[str]] = {}
        for name in missing:
            by_tablespace.setdefault(_tablespace_of(name), set()).add(name)
        for tablespace, wanted in by_tablespace.items():
            self._fetch_from(tablespace, {name: set() for name in wanted})
        for name in missing:
            self._heaps.setdefault(name, [])

    def _fetch_from(self, tablespace: int, read: dict[str, set[int]]) -> None:
        """Read heaps in one pass; `read` has their segments so far, which come in any order."""
        last: dict[str, int] = {}
        for file in self._source.files(tablespace):
            relation, number = _segment(file.name) or ("", 0)
            if relation not in read:
                continue
            if self._read_heap(relation, file) < _SMALLEST_SEGMENT:
                last[relation] = min(number, last.get(relation, number))
            read[relation].add(number)
            # A relation that was cut short leaves empty segments behind its last.
            if relation in last and read[relation].issuperset(range(last[relation] + 1)):
                del read[relation]
            if not read:
                return

    def heap(self, name: str) -> list[HeapTuple]:
        """The tuples of a heap that was read; none if it is not in the backup."""
        return self._heaps.get(name, [])

    def database_directories(self, major: int) -> dict[tuple[int, int], str]:
        """Directories with a relation map, by OIDs of tablespace and database."""
        found = {}
        for name in self.small:
            match = _DATABASE_MAP.fullmatch(name)
            if match is not None and match[3] in (None, str(major)):
                found[int(match[2] or DEFAULT_TABLESPACE), int(match[4])] = match[1]
        return found

    def _read_heap(self, relation: str, file: BackupFile) -> int:
        """Take in one segment; returns its size."""
        tuples = self._heaps.setdefault(relation, [])
        size = 0
        for pages in _whole_pages(file.chunks()):
            size += len(pages)
            tuples.extend(heap_tuples(pages))
        return size


def _content(file: BackupFile) -> bytes:
    """All of a small file; raises `InvalidFormat` for one that is none."""
    content = bytearray()
    for chunk in file.chunks():
        content += chunk
        if len(content) > _LARGEST_SMALL:
            raise InvalidFormat("The backup's catalogs cannot be read.", f"{file.name} is too big.")
    return bytes(content)


def _segment(name: str) -> tuple[str, int] | None:
    """The name of a main fork's first segment, and which this is; None for anything else."""
    match = _SEGMENT.fullmatch(name)
    return (match[1], int(match[2] or 0)) if match else None


def _tablespace_of(name: str) -> int:
    first, _, rest = name.partition("/")
    return int(rest.partition("/")[0]) if first == TABLESPACE_LINKS else DEFAULT_TABLESPACE


def _whole_pages(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes, in pieces that are cut between pages only."""
    rest = b""
    for chunk in chunks:
        pages = rest + chunk
        end = len(pages) - len(pages) % PAGE_SIZE
        rest = pages[end:]
        if end:
            yield pages[:end]


def _guarded(path: Path, stream: Iterator[T]) -> Iterator[T]:
    """The same stream of an archive, its errors turned into words."""
    try:
        yield from stream
    except (TruncatedArchive, EOFError) as error:
        raise InvalidFormat(
            f"{path.name} is cut off.", f"{printable(path)} ends before its end marker."
        ) from error
    except DamagedArchive as error:
        raise InvalidFormat(f"{path.name} is damaged.", f"{printable(path)}: {error}.") from error
    except DECOMPRESSION_ERRORS as error:
        # A compression library's own OSErrors have no number; the system's have one.
        if isinstance(error, OSError) and error.errno is not None:
            raise _unreadable(path, error) from error
        raise InvalidFormat(
            f"{path.name} cannot be decompressed.", f"{printable(path)}: {error}."
        ) from error


def _unreadable(path: Path, error: OSError) -> PgRescueError:
    return PgRescueError(
        "The backup cannot be read.", f"{printable(path)}: {error.strerror or error}."
    )
