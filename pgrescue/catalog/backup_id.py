"""The names by which people and scripts call backups."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path


def backup_id(path: Path, started_at: datetime | None, incremental: bool) -> str:
    """Start time in UTC, F(ull) or I(ncremental), and a hash of the path that makes it unique."""
    if started_at is None:
        return nameless_id(path)
    kind = "I" if incremental else "F"
    return f"{started_at:%Y%m%d-%H%M%S}{kind}-{_digest(path)[:4]}"


def nameless_id(path: Path) -> str:
    """The name of something whose start is not known, or that is no backup."""
    return f"unknown-{_digest(path)[:6]}"


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(os.path.abspath(path))).hexdigest()
