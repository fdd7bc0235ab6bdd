"""What was read out of a backup's catalogs, kept: one file for each backup."""

from __future__ import annotations

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from pgrescue import codec
from pgrescue.catalog.atomic import replace_file
from pgrescue.catalog.stamp import Stamp

T = TypeVar("T")

FORMAT = 1
"""Rises whenever what is kept changes its meaning: older files are then ignored."""


@dataclass(frozen=True, slots=True)
class _File:
    schema: int
    format: int
    path: str
    stamp: Stamp
    names: Any


@dataclass(frozen=True, slots=True)
class NamesCache:
    """A directory of such files; one that is damaged or out of date counts as missing."""

    directory: Path

    def get(self, path: str, stamp: Stamp, wanted: type[T]) -> T | None:
        """What was kept of the backup at `path`, unless it has changed since."""
        try:
            file = codec.from_plain(codec.loads(self._file(path).read_bytes()), _File)
            same = (file.schema, file.format) == (codec.SCHEMA, FORMAT)
            if not same or (file.path, file.stamp) != (path, stamp):
                return None
            return codec.from_plain(file.names, wanted)
        except (OSError, RecursionError, msgspec.MsgspecError):
            return None

    def put(self, path: str, stamp: Stamp, names: object) -> None:
        """Keep it. A cache that cannot be written costs time, no facts."""
        with contextlib.suppress(OSError):
            # One by one: parents that mkdir makes on the way would get the umask's mode.
            for directory in (self.directory.parent, self.directory):
                directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            file = _File(codec.SCHEMA, FORMAT, path, stamp, codec.to_plain(names))
            replace_file(self._file(path), codec.dumps(file).encode())

    def _file(self, path: str) -> Path:
        digest = hashlib.sha256(path.encode(errors="surrogateescape")).hexdigest()
        return self.directory / f"names-{digest[:16]}.json"
