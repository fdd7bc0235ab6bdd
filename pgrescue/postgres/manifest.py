"""`backup_manifest` (13 and later): every file of a backup with its size and checksum.

Format: manual chapter "Backup Manifest Format" and `src/common/parse_manifest.c`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

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
    modified_at: datetime | None

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


class _RawFile(msgspec.Struct):
    size: int = msgspec.field(name="Size")
    path: str | None = msgspec.field(name="Path", default=None)
    encoded_path: str | None = msgspec.field(name="Encoded-Path", default=None)
    modified: str | None = msgspec.field(name="Last-Modified", default=None)
    algorithm: str | None = msgspec.field(name="Checksum-Algorithm", default=None)
    checksum: str | None = msgspec.field(name="Checksum", default=None)


class _RawRange(msgspec.Struct):
    timeline: int = msgspec.field(name="Timeline")
    start: str = msgspec.field(name="Start-LSN")
    end: str = msgspec.field(name="End-LSN")


class _RawManifest(msgspec.Struct):
    version: int = msgspec.field(name="PostgreSQL-Backup-Manifest-Version")
    files: list[_RawFile] = msgspec.field(name="Files")
    ranges: list[_RawRange] = msgspec.field(name="WAL-Ranges")
    checksum: str = msgspec.field(name="Manifest-Checksum")
    system_identifier: int | None = msgspec.field(name="System-Identifier", default=None)


def parse_manifest(data: bytes) -> Manifest:
    """Read a manifest and check its own checksum; raises `InvalidFormat`."""
    try:
        raw = msgspec.json.decode(data, type=_RawManifest)
    except msgspec.MsgspecError as error:
        raise InvalidFormat("backup_manifest cannot be read.", str(error)) from error
    end = data.rstrip(b"\n").rfind(b"\n") + 1
    if hashlib.sha256(data[:end]).hexdigest() != raw.checksum.lower():
        raise InvalidFormat(
            "backup_manifest is damaged.", "Its own checksum (the last line) does not match."
        )
    return Manifest(
        version=raw.version,
        system_identifier=None if raw.system_identifier is None else str(raw.system_identifier),
        files={file.path: file for file in map(_file, raw.files)},
        wal_ranges=tuple(
            WalRange(entry.timeline, Lsn.parse(entry.start), Lsn.parse(entry.end))
            for entry in raw.ranges
        ),
    )


def _file(raw: _RawFile) -> ManifestFile:
    if raw.path is not None:
        path = raw.path
    elif raw.encoded_path is not None:
        path = bytes.fromhex(raw.encoded_path).decode("utf-8", "surrogateescape")
    else:
        raise InvalidFormat("backup_manifest is damaged.", "A file has no path.")
    return ManifestFile(path, raw.size, raw.algorithm, raw.checksum, _time(raw.modified))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d %H:%M:%S GMT").replace(tzinfo=UTC)
    except ValueError:
        return None
