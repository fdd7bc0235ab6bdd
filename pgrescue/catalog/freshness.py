"""How fresh the backups are, in the numbers that monitoring asks for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.postgres.lsn import Lsn


@dataclass(frozen=True, slots=True)
class Freshness:
    """The newest usable backup, how far recovery from it goes, and when one was last verified."""

    newest_usable: str | None
    stopped_at: datetime | None
    age_seconds: float | None
    window_to_lsn: Lsn | None
    window_to_time: datetime | None
    window_age_seconds: float | None
    """Since the last commit that could be recovered."""
    last_verified: str | None
    last_verified_at: datetime | None
    usable: int
    unusable: int


def freshness_of(
    backups: Sequence[Backup], now: datetime, system_identifier: str | None
) -> Freshness:
    """The numbers, null where there is no such backup.

    Backups of another cluster than `system_identifier` do not count, wherever they lie.
    """
    backups = [b for b in backups if b.system_identifier in (None, system_identifier)]
    usable = [backup for backup in backups if backup.usable and backup.stopped_at is not None]
    newest = max(usable, key=lambda backup: (backup.stopped_at, backup.id), default=None)
    window = newest.window if newest is not None else None
    verified = max(
        (backup for backup in backups if backup.verified_at is not None),
        key=lambda backup: (backup.verified_at, backup.id),
        default=None,
    )
    to_time = window.to_time if window is not None else None
    return Freshness(
        newest_usable=newest.id if newest else None,
        stopped_at=newest.stopped_at if newest else None,
        age_seconds=_seconds(newest.stopped_at, now) if newest else None,
        window_to_lsn=window.to_lsn if window is not None else None,
        window_to_time=to_time,
        window_age_seconds=_seconds(to_time, now),
        last_verified=verified.id if verified else None,
        last_verified_at=verified.verified_at if verified else None,
        usable=sum(backup.usable for backup in backups),
        unusable=sum(not backup.usable for backup in backups),
    )


def _seconds(moment: datetime | None, now: datetime) -> float | None:
    return None if moment is None else round((now - moment).total_seconds(), 1)
