"""`backup_manifest` (13 and later): every file of a backup with its size and checksum.

Format: manual chapter "Backup Manifest Format" and `src/common/parse_manifest.c`. It comes with
the backup, so nothing in it is believed before it is checked, and reading it has its limits.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal, Protocol

import crc32c
import msgspec

from pgrescue.errors import InvalidFormat
from pgrescue.postgres.lsn import Lsn

NAME = "backup_manifest"
UNFINISHED_NAME = "backup_manifest.tmp"
"""pg_basebackup renames this at the very end: where it stands, the backup is not whole."""

CHANGEABLE = frozenset(
    {NAME, "postgresql.auto.conf", "recovery.signal", "standby.signal"},
)
"""Files that pg_verifybackup leaves out: tools and people may change them."""

MAX_BYTES = 512 << 20
MAX_FILES = 2_000_000
"""Reading one of so many files takes seconds and less than 2 GiB of memory."""
_MAX_FILE_BYTES = 1 << 50
_MAX_TOTAL_BYTES = 1 << 60
_DAMAGED = "backup_manifest is damaged."


class Digest(Protocol):
    """A running checksum."""

    def update(self, data: bytes | memoryview, /) -> object:
        """Take in the next bytes."""

    def hexdigest(self) -> str:
        """The checksum so far, as the manifest writes it."""


class Crc32c:
    """CRC-32C in the manifest's notation: the little-endian bytes in hexadecimal."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value = 0

    def update(self, data: bytes | memoryview, /) -> None:
        """Take in the next bytes."""
        self._value = crc32c.crc32c(data, self._value)

    def hexdigest(self) -> str:
        """The checksum so far."""
        return self._value.to_bytes(4, "little").hex()


_DIGESTS: dict[str, Callable[[], Digest]] = {
    "CRC32C": Crc32c,
    "SHA224": hashlib.sha224,
    "SHA256": hashlib.sha256,
    "SHA384": hashlib.sha384,
    "SHA512": hashlib.sha512,
}


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file; `path` is relative to the data directory, undecodable bytes surrogate-escaped."""

    path: str
    size: int
    algorithm: str | None
    checksum: str | None
    modified: str | None
    """When it was last written, in the manifest's notation."""

    @property
    def modified_at(self) -> datetime | None:
        """When it was last written, if that can be read."""
        if self.modified is None:
            return None
        try:
            return datetime.strptime(self.modified, "%Y-%m-%d %H:%M:%S GMT").replace(tzinfo=UTC)
        except ValueError:
            return None

    def digest(self) -> Digest | None:
        """A fresh checksum to compare with, or None if the manifest has none for this file."""
        return _DIGESTS[self.algorithm]() if self.algorithm in _DIGESTS else None


@dataclass(frozen=True, slots=True)
class WalRange:
    """WAL that must be replayed to make the backup consistent."""

    timeline: int
    start_lsn: Lsn
    end_lsn: Lsn


@dataclass(frozen=True, slots=True)
class Manifest:
    """A whole manifest, its own checksum already found right."""

    version: int
    system_identifier: str | None
    """From version 2 (PostgreSQL 17) on."""
    files: dict[str, ManifestFile]
    wal_ranges: tuple[WalRange, ...]

    @property
    def total_bytes(self) -> int:
        """Bytes of all files: what a restore writes, without WAL."""
        return sum(file.size for file in self.files.values())


_Algorithm = Literal["CRC32C", "SHA224", "SHA256", "SHA384", "SHA512"]


class _RawFile(msgspec.Struct, gc=False):
    size: Annotated[int, msgspec.Meta(ge=0, le=_MAX_FILE_BYTES)] = msgspec.field(name="Size")
    path: str | None = msgspec.field(name="Path", default=None)
    encoded_path: str | None = msgspec.field(name="Encoded-Path", default=None)
    modified: str | None = msgspec.field(name="Last-Modified", default=None)
    algorithm: _Algorithm | None = msgspec.field(name="Checksum-Algorithm", default=None)
    checksum: str | None = msgspec.field(name="Checksum", default=None)


class _RawRange(msgspec.Struct):
    timeline: Annotated[int, msgspec.Meta(ge=1, le=0xFFFFFFFF)] = msgspec.field(name="Timeline")
    start: str = msgspec.field(name="Start-LSN")
    end: str = msgspec.field(name="End-LSN")


class _RawManifest(msgspec.Struct):
    version: int = msgspec.field(name="PostgreSQL-Backup-Manifest-Version")
    files: list[_RawFile] = msgspec.field(name="Files")
    ranges: list[_RawRange] = msgspec.field(name="WAL-Ranges")
    checksum: str = msgspec.field(name="Manifest-Checksum")
    system_identifier: int | None = msgspec.field(name="System-Identifier", default=None)


def read_manifest(directory: Path) -> Manifest:
    """The manifest of a backup; raises `InvalidFormat`, and OSError if it cannot be read."""
    with open(directory / NAME, "rb", opener=_without_waiting) as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise InvalidFormat("backup_manifest cannot be read.", "It is no regular file.")
        if status.st_size > MAX_BYTES:
            raise _too_large(f"It has {status.st_size} bytes; up to {MAX_BYTES} are read.")
        return parse_manifest(file.read(MAX_BYTES))


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest and check its own checksum; raises `InvalidFormat`."""
    # Every file's entry has a brace of its own, so that this is never less than there are files.
    if data.count(b"{") > MAX_FILES:
        raise _too_large(f"It lists more than {MAX_FILES} files.")
    try:
        raw = msgspec.json.decode(data, type=_RawManifest)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise InvalidFormat("backup_manifest cannot be read.", f"{error}.") from error
    end = data.rstrip(b"\n").rfind(b"\n") + 1
    if hashlib.sha256(data[:end]).hexdigest() != raw.checksum.lower():
        raise InvalidFormat(_DAMAGED, "Its own checksum (the last line) does not match.")
    manifest = Manifest(
        version=raw.version,
        system_identifier=None if raw.system_identifier is None else str(raw.system_identifier),
        files=_files(raw.files),
        wal_ranges=tuple(
            WalRange(entry.timeline, Lsn.parse(entry.start), Lsn.parse(entry.end))
            for entry in raw.ranges
        ),
    )
    if manifest.total_bytes > _MAX_TOTAL_BYTES:
        raise InvalidFormat(_DAMAGED, f"Its files have {manifest.total_bytes} bytes together.")
    return manifest


def _files(raw_files: list[_RawFile]) -> dict[str, ManifestFile]:
    files: dict[str, ManifestFile] = {}
    for raw in raw_files:
        path = _path(raw)
        if path in files:
            raise InvalidFormat(_DAMAGED, f"It lists {path!r} twice.")
        if path.startswith("/") or "\0" in path or ".." in PurePosixPath(path).parts:
            raise InvalidFormat(_DAMAGED, f"It lists {path!r}, which is not inside the backup.")
        files[path] = ManifestFile(path, raw.size, raw.algorithm, raw.checksum, raw.modified)
    return files


def _path(raw: _RawFile) -> str:
    if raw.path is not None:
        return raw.path
    if raw.encoded_path is None:
        raise InvalidFormat(_DAMAGED, "A file has no path.")
    try:
        return bytes.fromhex(raw.encoded_path).decode("utf-8", "surrogateescape")
    except ValueError as error:
        raise InvalidFormat(_DAMAGED, f"A path is not hexadecimal: {error}.") from error


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)


def _too_large(reason: str) -> InvalidFormat:
    return InvalidFormat(
        "backup_manifest is larger than that of any cluster pgrescue reads.",
        reason,
        next_steps=(
            "if the cluster really has so many files, move the manifest away: the backup can be "
            "restored without comparing it",
        ),
    )
