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
from pgrescue.catalog.model import Backup, Problem
from pgrescue.catalog.stamp import Stamp, stamp_of

FORMAT = 2
"""Rises whenever what is kept changes its meaning: older files are then forgotten."""

_VERDICT = "pgrescue verify found it damaged"


@dataclass(frozen=True, slots=True)
class _Entry:
    stamp: Stamp
    backup: dict[str, Any] | None
    verified_at: datetime | None
    damaged_at: datetime | None = None
    """When it was last read and not found right; then it is not verified."""
    damage: str | None = None
    """What was found then, in words."""

    @property
    def judged_at(self) -> datetime | None:
        """When it was last read to its end."""
        return self.verified_at or self.damaged_at


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
        return backup

    def put(self, path: str, stamp: Stamp, backup: Backup) -> None:
        """Keep a backup as it was read, before parent and window are known."""
        known = self._entry(path, stamp)
        plain = codec.to_plain(backup)
        self._changed[path] = (
            _Entry(stamp, plain, None) if known is None else replace(known, backup=plain)
        )

    def judged(self, backup: Backup, path: str, stamp: Stamp) -> Backup:
        """The backup with what its last verification said, if it is still in that very state."""
        entry = self._entry(path, stamp)
        if entry is None:
            return backup
        if entry.damage is not None and entry.damaged_at is not None:
            when = f"{entry.damaged_at:%Y-%m-%d %H:%M:%S}Z"
            message = f"{_VERDICT} at {when}: {entry.damage}"
            backup = backup.with_problem(Problem("damaged", message))
        return replace(backup, verified_at=entry.verified_at)

    def set_verified(self, path: Path, when: datetime) -> None:
        """Note that the backup was checked against its manifest; raises OSError."""
        self._judge(path, verified_at=when)

    def set_damaged(self, path: Path, when: datetime, damage: str) -> None:
        """Note what was wrong when the backup was read to its end; raises OSError.

        It stays until the backup changes, or a later verification finds it right.
        """
        self._judge(path, damaged_at=when, damage=damage)

    def _judge(
        self,
        path: Path,
        verified_at: datetime | None = None,
        damaged_at: datetime | None = None,
        damage: str | None = None,
    ) -> None:
        path = Path(os.path.abspath(path))
        stamp = stamp_of(read_layout(path))
        known = self._entry(str(path), stamp)
        looked = known.backup if known else None
        self._changed[str(path)] = _Entry(stamp, looked, verified_at, damaged_at, damage)
        self.save()

    def save(self) -> None:
        """Write what has changed, beside what others wrote meanwhile; raises OSError."""
        if not self._changed:
            return
        entries = {path: entry for path, entry in self._load().items() if os.path.isdir(path)}
        for path, entry in self._changed.items():
            entries[path] = _with_latest_verdict(entry, entries.get(path))
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


def without_verdict(backup: Backup) -> Backup:
    """The backup as its files show it by themselves: to be verified anew."""
    problems = tuple(p for p in backup.problems if not p.message.startswith(_VERDICT))
    usable = not any(problem.fatal for problem in problems)
    return replace(backup, problems=problems, usable=usable)


def _with_latest_verdict(entry: _Entry, stored: _Entry | None) -> _Entry:
    if stored is None or stored.stamp != entry.stamp or stored.judged_at is None:
        return entry
    if entry.judged_at is not None and entry.judged_at >= stored.judged_at:
        return entry
    return replace(stored, backup=entry.backup)
