"""Which backup and which timeline a restore takes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pgrescue.catalog.model import Backup, Problem
from pgrescue.errors import Refused
from pgrescue.plan.choose import choose_backups, choose_timeline, is_on_branch
from pgrescue.plan.target import Target, TargetOptions, parse_target
from pgrescue.postgres.history_file import TimelineHistory, parse_history_file
from pgrescue.postgres.lsn import Lsn

MONDAY = datetime(2026, 11, 16, 12, tzinfo=UTC)
NO_HISTORIES: dict[int, TimelineHistory] = {}


def _backup(day: int, timeline: int = 1) -> Backup:
    start = MONDAY + timedelta(days=day)
    return Backup(
        id=f"day{day}",
        source="basebackup",
        path=f"/b/{day}",
        format="tar",
        compression="gzip",
        kind="full",
        parent=None,
        label="",
        server_version="15",
        system_identifier="7",
        timeline=timeline,
        start_lsn=Lsn(0x1000000 * (day + 1)),
        stop_lsn=Lsn(0x1000000 * (day + 1) + 0x100),
        started_at=start,
        stopped_at=start + timedelta(minutes=10),
        size_bytes=1,
        restore_bytes=1,
        tablespaces=(),
        has_manifest=True,
        verified_at=None,
        usable=True,
        problems=(),
        window=None,
    )


def chosen(
    backups: Sequence[Backup],
    target: Target,
    control: None,
    histories: Mapping[int, TimelineHistory],
) -> Backup:
    """The backup that is taken where the WAL cannot be asked."""
    return choose_backups(backups, target, control, histories, wal_is_known=False)[0]


WEEK = [_backup(day) for day in range(5)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (TargetOptions(), "day4"),
        (TargetOptions(to="immediate"), "day4"),
        (TargetOptions(to="2026-11-18 12:10:00Z"), "day2"),
        (TargetOptions(to="2026-11-18 12:09:59Z"), "day1"),
        (TargetOptions(to_lsn="0/3000100"), "day2"),
        (TargetOptions(to_lsn="0/30000FF"), "day1"),
        (TargetOptions(to_name="somewhere"), "day0"),
    ],
)
def test_the_newest_backup_that_ends_before_the_target(
    options: TargetOptions, expected: str
) -> None:
    assert chosen(WEEK, parse_target(options), None, NO_HISTORIES).id == expected


def test_a_target_before_every_backup_is_refused_with_the_earliest() -> None:
    with pytest.raises(Refused) as caught:
        chosen(WEEK, parse_target(TargetOptions(to="2026-11-16 12:00Z")), None, NO_HISTORIES)
    assert "2026-11-16 12:10:00+00:00" in caught.value.cause


def test_an_unusable_backup_is_passed_over() -> None:
    broken = WEEK[4].with_problem(Problem("truncated", "It ends too early."))
    backup = chosen([*WEEK[:4], broken], parse_target(TargetOptions()), None, NO_HISTORIES)
    assert backup.id == "day3"


def test_when_no_backup_is_usable_each_reason_is_told() -> None:
    broken = WEEK[4].with_problem(Problem("truncated", "It ends too early."))
    with pytest.raises(Refused) as caught:
        chosen([broken], parse_target(TargetOptions()), None, NO_HISTORIES)
    assert "It ends too early." in caught.value.cause


FORK = {2: parse_history_file(2, "1\t0/2800000\tno recovery target specified\n")}
"""Timeline 2 left timeline 1 between the backups of day 1 and day 2."""


def test_a_backup_after_the_fork_is_not_on_the_new_timeline() -> None:
    assert is_on_branch(WEEK[1], 2, FORK)
    assert not is_on_branch(WEEK[2], 2, FORK)
    target = parse_target(TargetOptions(timeline="2"))
    assert chosen(WEEK, target, None, FORK).id == "day1"


def test_without_a_cluster_the_newest_timeline_is_followed() -> None:
    target = parse_target(TargetOptions())
    assert choose_timeline(target, WEEK[1], None, FORK) == 2
    assert choose_timeline(target, WEEK[2], None, FORK) == 1
    current = parse_target(TargetOptions(timeline="current"))
    assert choose_timeline(current, WEEK[1], None, FORK) == 1


def test_a_backup_of_the_new_timeline_is_preferred() -> None:
    newer = replace(_backup(5, timeline=2), id="after")
    target = parse_target(TargetOptions())
    assert chosen([*WEEK, newer], target, None, FORK).id == "after"


def test_when_the_wal_can_be_asked_every_earlier_backup_is_a_candidate() -> None:
    target = parse_target(TargetOptions(to_name="somewhere"))
    tried = choose_backups(WEEK, target, None, NO_HISTORIES, wal_is_known=True)
    assert [backup.id for backup in tried] == ["day4", "day3", "day2", "day1", "day0"]
