"""Walking a tar archive so that no damage goes unnoticed.

Python's `tarfile` takes a damaged stream for the end of the archive and says nothing; here every
error of the stream is raised, and an end that is not the two zero blocks of POSIX ustar is one.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from pgrescue.compression import open_decompressed

BLOCK = 512
_CHUNK = 1 << 20
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
    """What should be a member's header is none."""


@dataclass(frozen=True, slots=True)
class Member:
    """One entry: its name without a leading `./`, and the size of its data in bytes."""

    name: str
    size: int
    is_file: bool
    is_directory: bool
    modified_at: datetime | None


class TarStream:
    """One pass over the members of a tar file, compressed or not (by its ending).

    Data that is not asked for is skipped: by seeking where the file is not compressed.
    """

    def __init__(self, path: Path) -> None:
        self._stream = open_decompressed(path)
        self._seekable = self._stream.seekable()
        self._pending = 0

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
            if size < 0:
                raise DamagedArchive(f"a member of {size} bytes")
            self._pending = -(-size // BLOCK) * BLOCK
            name = header.name.removeprefix("./").rstrip("/")
            yield Member(name, size, header.isreg(), header.isdir(), _time(header))

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
            yield part

    def _finish(self) -> None:
        if self._read(BLOCK).count(0) != BLOCK:
            raise DamagedArchive("only one zero block where two should end the archive")
        if not self._seekable:
            while self._stream.read(_CHUNK):
                pass  # only the end of the stream shows whether its checksum is right

    def _read(self, size: int) -> bytes:
        parts: list[bytes] = []
        missing = size
        while missing:
            part = self._stream.read(min(missing, _CHUNK))
            if not part:
                raise TruncatedArchive
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    def _skip(self, size: int) -> None:
        if self._seekable:
            # Beyond the end of the file this succeeds; the next header is then missing.
            self._stream.seek(size, 1)
            return
        while size:
            part = self._stream.read(min(size, _CHUNK))
            if not part:
                raise TruncatedArchive
            size -= len(part)


def _time(header: tarfile.TarInfo) -> datetime | None:
    try:
        return datetime.fromtimestamp(header.mtime, UTC)
    except (OverflowError, ValueError, OSError):
        return None
