"""The entries of a backup, with their data: out of a tar archive, or from a directory."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One entry of a backup: a directory, or a file with its data."""

    name: str
    is_directory: bool
    chunks: Iterable[bytes]


def directory_entries(root: Path, *, follow: frozenset[str] = frozenset()) -> Iterator[SourceFile]:
    """The entries of a plain backup; links are skipped but for those named in `follow`."""
    for directory, names, files in os.walk(root):
        names.sort()
        where = os.path.relpath(directory, root)
        prefix = "" if where == "." else f"{where}/"
        for name in names:
            yield SourceFile(prefix + name, True, ())
        for name in sorted(files):
            path = Path(directory, name)
            if path.is_symlink():
                continue
            yield SourceFile(prefix + name, False, _file_chunks(path))
        for name in [name for name in names if prefix + name in follow]:
            for entry in directory_entries(Path(directory, name).resolve()):
                yield SourceFile(f"{prefix}{name}/{entry.name}", entry.is_directory, entry.chunks)


def _file_chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb", buffering=0) as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
