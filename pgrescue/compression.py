"""Streams over compressed files, by the endings that PostgreSQL's tools and scripts give them."""

from __future__ import annotations

import io
import lzma
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

import lz4.frame
import zstandard
from isal import igzip, igzip_lib

if TYPE_CHECKING:
    from typing_extensions import Buffer

ENDINGS = {".gz": "gzip", ".lz4": "lz4", ".zst": "zstd", ".xz": "xz"}
"""File ending to the name of its compression."""

LZ4_HEAD, ZSTD_HEAD = b"\x04\x22\x4d\x18", b"\x28\xb5\x2f\xfd"
HEADS = {b"\x1f\x8b": "gzip", LZ4_HEAD: "lz4", ZSTD_HEAD: "zstd", b"\xfd7zXZ": "xz"}
"""The bytes that a compressed file begins with to the name of its compression."""

SHELL_DECOMPRESSORS = {
    ".gz": "gzip -dc",
    ".lz4": "lz4 -dc",
    ".zst": "zstd -dc",
    ".xz": "xz -dc",
}
"""File ending to the command that writes the plain bytes to its standard output."""

DECOMPRESSION_ERRORS: tuple[type[Exception], ...] = (
    OSError,
    EOFError,
    ValueError,
    RuntimeError,
    lzma.LZMAError,
    cast("type[Exception]", igzip_lib.IsalError),  # its stub types it as an instance
    zstandard.ZstdError,
)
"""What a damaged or truncated stream makes its library raise."""


def split_ending(name: str) -> tuple[str, str]:
    """A file name without its compression ending, and that ending (or nothing)."""
    for ending in ENDINGS:
        if name.endswith(ending):
            return name[: -len(ending)], ending
    return name, ""


def open_decompressed(path: Path) -> BinaryIO:
    """Open a file for reading its plain bytes, decompressing by its ending."""
    return decompressed(path.open("rb", buffering=0), split_ending(path.name)[1])


def decompressed(raw: io.RawIOBase | BinaryIO, ending: str) -> BinaryIO:
    """Plain bytes of a compressed stream; it closes `raw` with itself."""
    match ending:
        case ".gz":
            return cast(BinaryIO, _Owning(igzip.open(raw, "rb"), raw))
        case ".lz4":
            return cast(BinaryIO, _Owning(lz4.frame.LZ4FrameFile(raw, "rb"), raw))
        case ".zst":
            reader = zstandard.ZstdDecompressor().stream_reader(
                cast(BinaryIO, raw), read_across_frames=True
            )
            return cast(BinaryIO, _Owning(reader, raw))
        case ".xz":
            return cast(BinaryIO, _Owning(lzma.LZMAFile(cast(BinaryIO, raw)), raw))
        case _:
            return cast(BinaryIO, raw)


class _Owning(io.RawIOBase):
    """A decompressing reader that closes the file beneath it too."""

    def __init__(self, reader: object, raw: object) -> None:
        super().__init__()
        self._reader = cast(BinaryIO, reader)
        self._raw = cast(BinaryIO, raw)

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        return self._reader.read(-1 if size is None else size)

    def readinto(self, buffer: Buffer, /) -> int:
        """Fill a buffer as far as there is something; raw streams have no default for this."""
        view = memoryview(buffer).cast("B")
        part = self._reader.read(len(view))
        view[: len(part)] = part
        return len(part)

    def close(self) -> None:
        if not self.closed:
            self._reader.close()
            self._raw.close()
        super().close()
