"""How big and how long: judged by earlier backups of the same kind, else carefully guessed."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from pgrescue.backup.estimate import Estimate, estimate, past_ratio, past_speed
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.postgres.basebackup_options import Compression, compression_from
from tests.support.backup_facts import GIB, NOW, backup, facts, server

ZSTD = compression_from("zstd")
WAL = 64 << 20


def estimated(*past: Backup, size: int | None = 4 * GIB, **choices: Any) -> Estimate:  # noqa: ANN401
    """The estimate for a server of that size."""
    of = server(17, database_bytes=size)
    return estimate(facts(of, backups=past), of, BackupRequest(**choices))


@pytest.mark.parametrize(
    ("compression", "least", "most"),
    [("none", 4, 4), ("gzip", 1, 2), ("lz4", 2, 3), ("zstd", 1, 2), ("server-zstd", 1, 2)],
)
def test_without_a_past(compression: str, least: int, most: int) -> None:
    found = estimated(compression=compression_from(compression))
    assert least * GIB <= found.disk_bytes - WAL <= most * GIB
    assert not found.from_past
    assert found.seconds is None, "nobody knows how fast it will be"


def test_past_of_the_same_kind_decides() -> None:
    found = estimated(backup(), compression=ZSTD)
    assert found.disk_bytes == GIB + WAL
    assert found.from_past
    assert found.seconds == 40


def test_past_of_another_kind_tells_the_speed_only() -> None:
    found = estimated(backup(), compression=compression_from("lz4"))
    assert not found.from_past
    assert found.seconds == 40


def test_plain_backup_takes_its_full_size() -> None:
    found = estimated(backup(), format="plain", compression=compression_from("server-zstd"))
    assert found.disk_bytes == 4 * GIB + WAL
    assert not found.from_past


def test_rate_holds_it_up() -> None:
    assert estimated(max_rate=10 << 20).seconds == 4 * GIB / (10 << 20)
    assert estimated(backup(), max_rate=10 << 20).seconds == 4 * GIB / (10 << 20)
    assert estimated(backup(), max_rate=1 << 30).seconds == 40


def test_incremental_one_is_smaller() -> None:
    assert estimated(parent="newest").disk_bytes < 2 * GIB


def test_wal_is_not_counted_where_it_is_left_out() -> None:
    assert estimated(wal_method="none").disk_bytes == 4 * GIB


def test_unknown_size() -> None:
    assert estimated(size=None).read_bytes == 0


OLDER = NOW - timedelta(days=9)


@pytest.mark.parametrize(
    "useless",
    [
        backup(usable=False),
        backup(kind="incremental"),
        backup(format="plain"),
        backup(compression="lz4"),
        backup(restore_bytes=None),
        backup(started_at=None),
    ],
)
def test_ratio_of_what_is_not_alike(useless: Backup) -> None:
    assert past_ratio([useless], Compression("zstd")) is None


def test_newest_ratio_counts() -> None:
    old = backup("old", size_bytes=2 * GIB, started_at=OLDER)
    assert past_ratio([backup(), old], Compression("zstd", 9, "server")) == 0.25
    assert past_ratio([old], Compression("zstd")) == 0.5


def test_newest_speed_counts() -> None:
    old = backup("old", started_at=OLDER, stopped_at=OLDER + timedelta(seconds=400))
    assert past_speed([backup(), old]) == 4 * GIB / 40
    assert past_speed([old]) == 4 * GIB / 400
    at_once = backup(stopped_at=NOW - timedelta(days=1))
    assert past_speed([at_once]) is None, "less than a second says nothing"
