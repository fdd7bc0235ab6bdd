"""Comparing the files of a backup with its manifest, as `pg_verifybackup` does."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.catalog.contents import NOT_WORTH_READING, Part, differs, forbidden
from pgrescue.catalog.entries import (
    CHUNK_BYTES,
    SourceFile,
    plain_entries,
    tablespace_entries,
)
from pgrescue.catalog.model import Backup, BackupDetails
from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.postgres.manifest import CHANGEABLE, Manifest
from pgrescue.printable import printable
from pgrescue.verify.model import FileProblem, ProblemCode

Report = Callable[[int, str], None]
"""Called with how many bytes have been read, and of which file; what it raises ends the reading."""

_DAMAGED: tuple[type[Exception], ...] = (TruncatedArchive, DamagedArchive, *DECOMPRESSION_ERRORS)
_ALSO_A_DIRECTORY = "is there twice, once as a directory"


@dataclass(slots=True)
class FileCheck:
    """One pass over a backup's files."""

    manifest: Manifest | None
    report: Report
    files: int = 0
    size: int = 0
    """Bytes of them."""
    problems: list[FileProblem] = field(default_factory=list)
    _seen: set[str] = field(default_factory=set)
    _folders: set[str] = field(default_factory=set)
    _whole: bool = True
    """Whether every archive could be read to its end."""

    def read(self, backup: Backup) -> None:
        """Read every file; what is wrong is added to `problems`."""
        details = backup.details
        assert details is not None
        if details.base_archive is not None:
            self._archive(Path(backup.path, details.base_archive), "")
            for oid, name in sorted(details.tablespace_archives.items()):
                self._archive(Path(backup.path, name), f"pg_tblspc/{oid}/")
            if details.wal_archive is not None:
                self._archive(Path(backup.path, details.wal_archive), "pg_wal/")
        else:
            self._directories(backup, details)
        self._missing()

    def _archive(self, path: Path, prefix: str) -> None:
        """Read a tar file to its very end, so that truncation is seen wherever it is."""
        part: Part = "data" if not prefix else "wal" if prefix == "pg_wal/" else "tablespace"
        expected = self.manifest.total_bytes if self.manifest else 0
        try:
            with TarStream(path, expected) as stream:
                for member in stream.members():
                    name = prefix + member.name
                    if reason := forbidden(part, member.name, member.oddity):
                        self._forbidden(name, reason)
                    elif member.is_directory:
                        self._directory(name)
                    elif self._is_no_directory(name) and self._is_as_listed(name, member.size):
                        self._file(name, stream.chunks(member, CHUNK_BYTES))
                    elif member.size > NOT_WORTH_READING:
                        raise DamagedArchive(f"what comes behind {name!r} was not read")
        except _DAMAGED as error:
            self._whole = False
            if isinstance(error, TruncatedArchive | EOFError):
                message = "ends too early"
            else:
                message = f"is damaged: {error or type(error).__name__}"
            self.problems.append(FileProblem(path.name, "damaged", f"{path.name} {message}."))

    def _directories(self, backup: Backup, details: BackupDetails) -> None:
        """Read the files of a plain backup, its tablespaces where its own links lead."""
        self._entries("", backup.path, plain_entries(Path(backup.path)))
        for oid, place in details.tablespace_archives.items():
            self._entries(f"pg_tblspc/{oid}/", place, tablespace_entries(Path(place)))

    def _entries(self, prefix: str, root: str, entries: Iterable[SourceFile]) -> None:
        try:
            for entry in entries:
                name = prefix + entry.name
                if entry.oddity is not None:
                    self._forbidden(name, forbidden("data", name, entry.oddity) or "")
                elif not entry.is_directory and self._is_as_listed(name, entry.size):
                    self._read_file(name, entry)
        except OSError as error:
            where = os.path.relpath(error.filename or root, root)
            message = f"{error.filename or root} cannot be read: {error.strerror}."
            self.problems.append(FileProblem(prefix + where, "unreadable", message))

    def _read_file(self, name: str, entry: SourceFile) -> None:
        try:
            self._file(name, entry.chunks)
        except OSError as error:
            message = f"{name} cannot be read: {error.strerror}."
            self.problems.append(FileProblem(name, "unreadable", message))

    def _forbidden(self, name: str, reason: str) -> None:
        self._seen.add(name)
        self._add(name, "unsafe", f"must not be in a backup: {reason}")

    def _directory(self, name: str) -> None:
        self._folders.add(name)
        if name in self._seen:
            self._add(name, "duplicate", _ALSO_A_DIRECTORY)

    def _is_no_directory(self, name: str) -> bool:
        self._folders.add(name.rpartition("/")[0])
        if name in self._folders:
            self._add(name, "duplicate", _ALSO_A_DIRECTORY)
        return name not in self._folders

    def _is_as_listed(self, name: str, size: int) -> bool:
        """Whether a file may be what the manifest says; if not, it is not even read."""
        if self.manifest is None or (reason := differs(self.manifest, name, size)) is None:
            return True
        if name in self._seen:
            self._add(name, "duplicate", "is there twice")
        self._seen.add(name)
        self.files += 1
        is_listed = name in self.manifest.files or name in CHANGEABLE
        self._add(name, "size" if is_listed else "extra", reason.removeprefix("it "))
        return False

    def _file(self, name: str, chunks: Iterable[bytes]) -> None:
        expected = self.manifest.files.get(name) if self.manifest else None
        digest = expected.digest() if expected is not None else None
        size = 0
        for chunk in chunks:
            size += len(chunk)
            if digest is not None:
                digest.update(chunk)
            self.size += len(chunk)
            self.report(self.size, name)
        self.files += 1
        if name in self._seen:
            self._add(name, "duplicate", "is there twice")
        self._seen.add(name)
        if expected is None or name in CHANGEABLE:
            return
        if size != expected.size:
            self._add(name, "size", f"has {size} bytes, the manifest says {expected.size}")
        elif digest is not None and digest.hexdigest() != (expected.checksum or "").lower():
            self._add(name, "checksum", "is damaged: its checksum is not the manifest's")

    def _add(self, name: str, code: ProblemCode, message: str) -> None:
        self.problems.append(FileProblem(name, code, f"{printable(name)} {message}."))

    def _missing(self) -> None:
        """Files that the manifest lists; behind damage in an archive nothing can be missed."""
        if self.manifest is None or not self._whole:
            return
        for name in sorted(set(self.manifest.files) - self._seen - CHANGEABLE):
            self._add(name, "missing", "is in the manifest, but not in the backup")
