"""The numbers that monitoring asks for."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgrescue.catalog.freshness import freshness_of
from pgrescue.catalog.model import Backup, Problem, Window
from pgrescue.catalog.unusable import not_a_backup
from pgrescue.postgres.lsn import Lsn

NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def backup(name: str, hours: float, *, usable: bool = True, verified: bool = False) -> Backup:
    """One that ended so many hours before noon."""
    empty = not_a_backup(Path(f"/b/{name}"), Problem("x", "x"))
    stopped = NOON - timedelta(hours=hours)
    window = Window(Lsn(1), stopped, Lsn(0x5000000), NOON - timedelta(minutes=5), 1)
    return replace(
        empty,
        id=name,
        usable=usable,
        started_at=stopped - timedelta(seconds=90),
        stopped_at=stopped,
        verified_at=stopped if verified else None,
        window=window,
        size_bytes=30,
        restore_bytes=100,
    )


def test_the_newest_usable_one_counts() -> None:
    backups = [
        backup("old", 30, verified=True),
        backup("new", 2),
        backup("broken", 1, usable=False),
    ]
    fresh = freshness_of(backups, NOON, None)
    assert (fresh.newest_usable, fresh.age_seconds) == ("new", 7200)
    assert fresh.window_to_lsn == 0x5000000
    assert fresh.window_age_seconds == 300
    assert (fresh.last_verified, fresh.usable, fresh.unusable) == ("old", 2, 1)
    assert fresh.last_verified_at == NOON - timedelta(hours=30)


def test_another_clusters_backups_do_not_count() -> None:
    own, theirs = backup("own", 30, verified=True), backup("theirs", 1, verified=True)
    own = replace(own, system_identifier="1")
    theirs = replace(theirs, system_identifier="2")
    fresh = freshness_of([own, theirs], NOON, "1")
    assert (fresh.newest_usable, fresh.last_verified, fresh.usable) == ("own", "own", 1)
    assert freshness_of([own, theirs], NOON, None).newest_usable is None


def test_without_backups_everything_is_null() -> None:
    fresh = freshness_of([], NOON, None)
    told = (fresh.newest_usable, fresh.age_seconds, fresh.window_to_time, fresh.last_verified_at)
    assert told == (None, None, None, None)
    assert fresh.usable == 0


def test_what_was_learned_of_a_backup() -> None:
    one = backup("one", 1)
    assert one.duration_seconds == 90
    assert one.ratio == 0.3
