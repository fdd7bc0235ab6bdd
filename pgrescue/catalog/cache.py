"""What looks into backups found, kept in a file: big archives are not read twice."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from pgrescue import codec
from pgrescue.catalog.atomic import replace_file
from pgrescue.catalog.layout import read_layout
from pgrescue.catalog.model import Backup
from pgrescue.catalog.stamp import Stamp, stamp_of

FORMAT = 1
"""Rises whenever what is kept changes its meaning: older files are then forgotten."""


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: Stamp
    backup: dict[str, Any] | None
    verified_at: datetime | None


@dataclass(frozen=True, slots=True)
class _File:
    schema: int
    format: int
    entries: dict[str, _Entry]


class CatalogCache:
    """Facts by a backup's path, valid as long as its stamp; a damaged file is an empty one."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._kept = self._load()
        self._changed: dict[str, _Entry] = {}

    def get(self, path: str, stamp: Stamp) -> Backup | None:
        """What was kept of the backup at `path`, unless it has changed since."""
        entry = self._entry(path, stamp)
        if entry is None or entry.backup is None:
            return None
        try:
            backup = codec.from_plain(entry.backup, Backup)
        except msgspec.ValidationError:
            return None
        return replace(backup, verified_at=entry.verified_at)

    def put(self, path: str, stamp: Stamp, backup: Backup) -> None:
        """Keep a backup as it was read, before parent and window are known."""
        verified = self.verified_at(path, stamp)
        self._changed[path] = _Entry(stamp, codec.to_plain(backup), verified)

    def verified_at(self, path: str, stamp: Stamp) -> datetime | None:
        """When this very state of the backup was last found right."""
        entry = self._entry(path, stamp)
        return entry.verified_at if entry else None

    def set_verified(self, path: Path, when: datetime) -> None:
        """Note that the backup was checked against its manifest; raises OSError."""
        path = Path(os.path.abspath(path))
        stamp = stamp_of(read_layout(path))
        known = self._entry(str(path), stamp)
        self._changed[str(path)] = _Entry(stamp, known.backup if known else None, when)
        self.save()

    def save(self) -> None:
        """Write what has changed, beside what others wrote meanwhile; raises OSError."""
        if not self._changed:
            return
        entries = {path: entry for path, entry in self._load().items() if os.path.isdir(path)}
        for path, entry in self._changed.items():
            entries[path] = _with_latest_verification(entry, entries.get(path))
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self._path, codec.dumps(_File(codec.SCHEMA, FORMAT, entries)).encode())
        self._kept, self._changed = entries, {}

    def _entry(self, path: str, stamp: Stamp) -> _Entry | None:
        entry = self._changed.get(path) or self._kept.get(path)
        return entry if entry is not None and entry.stamp == stamp else None

    def _load(self) -> dict[str, _Entry]:
        try:
            file = codec.from_plain(codec.loads(self._path.read_bytes()), _File)
        except (OSError, msgspec.MsgspecError):
            return {}
        same = file.schema == codec.SCHEMA and file.format == FORMAT
        return file.entries if same else {}


def _with_latest_verification(entry: _Entry, stored: _Entry | None) -> _Entry:
    if stored is None or stored.stamp != entry.stamp:
        return entry
    times = [time for time in (entry.verified_at, stored.verified_at) if time is not None]
    return replace(entry, verified_at=max(times, default=None))
