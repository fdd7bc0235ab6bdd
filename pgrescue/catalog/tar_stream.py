"""Walking a tar archive so that no damage goes unnoticed.

Python's `tarfile` takes a damaged stream for the end of the archive and says nothing; here every
error of the stream is raised, and an end that is not the two zero blocks of POSIX ustar is one.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pgrescue.catalog.contents import MAX_FILE_BYTES
from pgrescue.compression import open_decompressed

BLOCK = 512
USUAL_BYTES = 16 << 30
"""Bytes that any compressed archive may unpack to."""
USUAL_RATIO = 500
"""Times its size that a larger one may unpack to; gzip can make it a thousand, zstd much more."""
_CHUNK = 1 << 20
_LEADING_DOTS = re.compile(r"\A(?:\./)+")
_NO_DATA = (
    tarfile.LNKTYPE,
    tarfile.SYMTYPE,
    tarfile.CHRTYPE,
    tarfile.BLKTYPE,
    tarfile.DIRTYPE,
    tarfile.FIFOTYPE,
)


class TruncatedArchive(Exception):
    """The archive ends before its end marker."""


class DamagedArchive(Exception):
    """What should be a member's header is none, or says what cannot be."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name without a leading `./`, and the size of its data in bytes."""

    name: str
    size: int
    is_file: bool
    is_directory: bool
    modified_at: datetime | None
    oddity: str | None = None
    """What it is, if neither a file nor a directory."""


class TarStream:
    """One pass over the members of a tar file, compressed or not (by its ending).

    Data that is not asked for is skipped: by seeking where the file is not compressed. `expected`
    is how many bytes its files are known to hold: one that unpacks to much more than that, and
    than archives do, ends as a DamagedArchive instead of going on for hours.
    """

    def __init__(self, path: Path, expected: int = 0) -> None:
        packed = path.stat().st_size
        self._stream = open_decompressed(path)
        self._seekable = self._stream.seekable()
        self._pending = 0
        self._taken = 0
        self._most = max(USUAL_BYTES, USUAL_RATIO * packed, 2 * expected)
        if self._seekable:
            self._most = packed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stream.close()

    def members(self) -> Iterator[Member]:
        """Every member in order; after the last one the stream is read to its very end.

        Raises TruncatedArchive, DamagedArchive, and what decompression raises.
        """
        while True:
            self._skip(self._pending)
            self._pending = 0
            block = self._read(BLOCK)
            try:
                header = tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
            except tarfile.ReadError as error:
                raise DamagedArchive(str(error)) from error
            except tarfile.HeaderError as error:
                if block.count(0) != BLOCK:
                    raise DamagedArchive(f"bad header of a member: {error}") from error
                self._finish()
                return
            size = 0 if header.type in _NO_DATA else header.size
            name = _LEADING_DOTS.sub("", header.name, count=1).rstrip("/")
            if not 0 <= size <= MAX_FILE_BYTES:
                raise DamagedArchive(f"{name!r} is said to have {size} bytes")
            self._pending = -(-size // BLOCK) * BLOCK
            is_file = header.type in (tarfile.REGTYPE, tarfile.AREGTYPE)
            yield Member(name, size, is_file, header.isdir(), _time(header), _oddity(header))

    def content(self, member: Member, limit: int | None = None) -> bytes:
        """The data of the member that `members` gave last, or its first `limit` bytes."""
        size = member.size if limit is None else min(limit, member.size)
        data = self._read(size)
        self._pending -= size
        return data

    def chunks(self, member: Member, size: int) -> Iterator[bytes]:
        """The data of the member that `members` gave last, at most `size` bytes at a time."""
        remaining = member.size
        while remaining:
            part = self._stream.read(min(size, remaining))
            if not part:
                raise TruncatedArchive
            remaining -= len(part)
            self._pending -= len(part)
            self._count(len(part))
            yield part

    def _finish(self) -> None:
        if self._read(BLOCK).count(0) != BLOCK:
            raise DamagedArchive("only one zero block where two should end the archive")
        if not self._seekable:
            while part := self._stream.read(_CHUNK):
                self._count(len(part))  # only the stream's end shows if its checksum is right

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing:
            part = self._stream.read(min(missing, _CHUNK))
            if not part:
                raise TruncatedArchive
            parts.append(part)
            missing -= len(part)
            self._count(len(part))
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        if self._seekable:
            # Beyond the end of the file this succeeds.
            self._stream.seek(size, 1)
            self._count(size)
            return
        while size:
            part = self._stream.read(min(size, _CHUNK))
            if not part:
                raise TruncatedArchive
            size -= len(part)
            self._count(len(part))

    def _count(self, size: int) -> None:
        self._taken += size
        if self._taken <= self._most:
            return
        if self._seekable:
            raise TruncatedArchive
        raise DamagedArchive(
            f"it unpacks to more than {self._most} bytes, which no archive of its size does"
        )


def _oddity(header: tarfile.TarInfo) -> str | None:
    """What a member is by its type flag (POSIX ustar), if neither a file nor a directory."""
    match header.type:
        case tarfile.REGTYPE | tarfile.AREGTYPE | tarfile.DIRTYPE:
            return None
        case tarfile.SYMTYPE:
            return f"a symbolic link to {header.linkname!r}"
        case tarfile.LNKTYPE:
            return f"a hard link to {header.linkname!r}"
        case tarfile.CHRTYPE | tarfile.BLKTYPE:
            return "a device"
        case tarfile.FIFOTYPE:
            return "a FIFO"
        case other:
            return f"an entry of type {other.decode(errors='backslashreplace')!r}"


def _time(header: tarfile.TarInfo) -> datetime | None:
    try:
        return datetime.fromtimestamp(header.mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return None
