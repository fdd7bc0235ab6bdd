"""What a policy keeps, and why."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.postgres.lsn import Lsn
from pgrescue.retention.advise import advise
from pgrescue.retention.model import Advice
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE as SIZE
from tests.retention.world import MONDAY, OTHER, World, backup_at, broken, daily


def kept(advice: Advice) -> dict[str, tuple[str, ...]]:
    """The reasons, by backup."""
    return {item.id: item.reasons for item in advice.kept}


def removable(advice: Advice) -> list[str]:
    """What could go, the oldest first."""
    return [item.id for item in advice.removable]


def test_without_a_policy_everything_is_kept() -> None:
    advice = advise(daily(5).facts(), RetentionPolicy())
    assert removable(advice) == []
    assert len(kept(advice)) == 5
    assert advice.wal.files == ()
    assert advice.wal.blocked == "there is no policy"


def test_the_newest_are_counted() -> None:
    advice = advise(daily(6).facts(), RetentionPolicy(count=2))
    assert removable(advice) == ["day0", "day1", "day2", "day3"]
    assert kept(advice)["day4"] == ("newest 2",)


def test_the_newest_full_backup_stays_whatever_the_policy_says() -> None:
    world = daily(3)
    world.now = MONDAY + timedelta(days=400)
    world.backups = [backup for backup in world.backups if backup.id == "day2"]
    advice = advise(world.facts(), RetentionPolicy(days=1))
    assert kept(advice)["day2"][0] == "the newest usable full backup"
    assert removable(advice) == []


def test_days_keep_the_last_backup_before_them() -> None:
    advice = advise(daily(10).facts(), RetentionPolicy(days=3))
    assert removable(advice) == [f"day{day}" for day in range(6)], "day7 ended within them"
    assert kept(advice)["day6"] == ("covers the last 3 days",)


def test_a_day_without_a_backup_is_covered_by_an_older_one() -> None:
    world = daily(10)
    world.backups = [b for b in world.backups if b.id not in ("day6", "day7", "day8")]
    advice = advise(world.facts(), RetentionPolicy(days=3))
    assert kept(advice)["day5"] == ("covers the last 3 days",)


def test_days_keep_a_backup_on_every_line_that_goes_on() -> None:
    """A backup on an abandoned line does not lead to the line that goes on."""
    world = daily(10)
    world.timelines[2] = (1, 5 * 24 + 12, 6 * 24)
    world.fill(2, 5 * 24 + 12, 9 * 24)
    world.backups = [b for b in world.backups if b.id in ("day0", "day5", "day7", "day9")]
    advice = advise(world.facts(), RetentionPolicy(days=1))
    assert "covers the last 1 day" in kept(advice)["day5"], "day7 is not on timeline 2"
    assert removable(advice) == ["day0"]


def taken_back() -> World:
    """Three full backups on timeline 1; then the cluster was taken back to just after the first."""
    world = World(timelines={2: (1, 10, 40)}, now=MONDAY + timedelta(days=4))
    for name, segment in (("F1", 5), ("F2", 20), ("F3", 30)):
        world.backups.append(backup_at(world.time_of(1, segment), segment, name=name))
    world.fill(1, 0, 35)
    world.fill(2, 10, 25)
    return world


@pytest.mark.parametrize(
    "policy", [RetentionPolicy(count=2), RetentionPolicy(weekly=1), RetentionPolicy(monthly=1)]
)
def test_the_backup_that_leads_to_the_clusters_own_timeline_stays(policy: RetentionPolicy) -> None:
    """The newest ones are of the line that was abandoned: nothing of them leads to timeline 2."""
    advice = advise(taken_back().facts(current_timeline=2), policy)
    assert any("on the way to timeline 2" in reason for reason in kept(advice)["F1"])
    assert "F3" in kept(advice)
    assert not any(cut.timeline == 2 for cut in advice.wal.cuts)


def test_on_the_clusters_own_timeline_as_many_are_counted_as_on_any() -> None:
    world = taken_back()
    world.backups.append(backup_at(world.time_of(1, 8), 8, name="F1b"))
    assert removable(advise(world.facts(current_timeline=2), RetentionPolicy(count=1))) == [
        "F1",
        "F2",
    ]
    assert removable(advise(world.facts(current_timeline=2), RetentionPolicy(count=2))) == []


def test_where_the_data_directory_is_lost_the_newest_timeline_counts() -> None:
    advice = advise(taken_back().facts(current_timeline=None), RetentionPolicy(count=1))
    assert "F1" in kept(advice)


def test_a_history_that_only_the_cluster_has_counts() -> None:
    world = taken_back()
    facts = world.facts(current_timeline=2)
    assert facts.archive is not None
    bare = replace(
        facts,
        archive=replace(facts.archive, histories={}),
        own_histories=facts.archive.histories,
    )
    advice = advise(bare, RetentionPolicy(count=1))
    assert "F1" in kept(advice)
    assert not any(cut.timeline == 2 for cut in advice.wal.cuts)


def test_a_cluster_that_was_taken_back_and_not_promoted_keeps_what_leads_there() -> None:
    """It is on timeline 1 still, and behind the newest backups."""
    world = taken_back()
    world.timelines = {}
    world.segments = {(line, number) for line, number in world.segments if line == 1}
    facts = world.facts(current_timeline=1, current_lsn=Lsn(9 * SIZE))
    advice = advise(facts, RetentionPolicy(count=1))
    assert set(kept(advice)) == {"F1", "F3"}


def test_the_newest_incremental_stays_with_its_chain() -> None:
    """Without an archive nothing else leads to the newest state."""
    world = chain()
    facts = world.facts(archive=None, archive_identifier=None, windows=())
    advice = advise(facts, RetentionPolicy(weekly=4, monthly=6))
    assert "the newest usable backup" in kept(advice)["b5"]
    assert "b4" in kept(advice)


def test_backups_of_several_clusters_are_nobodys_where_nothing_tells_whose_they_are() -> None:
    """Without a data directory and an archive, the newest one's cluster would be a guess."""
    world = daily(4)
    world.backups[3] = replace(world.backups[3], system_identifier=OTHER)
    facts = world.facts(system_identifier=None, archive=None, archive_identifier=None)
    advice = advise(facts, RetentionPolicy(count=1))
    assert (kept(advice), removable(advice)) == ({}, [])
    assert "which one is meant is not known" in advice.not_counted[0].why
    facts = replace(facts, backups=facts.backups[:3])
    assert removable(advise(facts, RetentionPolicy(count=1))) == ["day0", "day1"]


def test_a_backup_whose_end_is_not_known_does_not_open_the_days() -> None:
    world = daily(6)
    world.backups[3] = replace(world.backups[3], stopped_at=None)
    advice = advise(world.facts(), RetentionPolicy(days=2))
    assert "day2" in kept(advice)


def test_weeks_begin_on_the_operators_monday() -> None:
    """Sunday, 23:30 in Berlin, is still in summer time's last week; an hour later is not."""
    world = World(now=datetime(2026, 11, 1, tzinfo=UTC))
    sunday = datetime(2026, 10, 25, 22, 30, tzinfo=UTC)  # the day the clocks went back
    monday = sunday + timedelta(hours=1)
    earlier = sunday - timedelta(days=7, hours=1)  # 23:30 in summer time
    for number, moment in enumerate((earlier, sunday, monday)):
        world.backups.append(backup_at(moment, number, name=f"b{number}"))
    world.fill(1, 0, 5)
    policy = RetentionPolicy(weekly=3)
    berlin = kept(advise(world.facts(zone="Europe/Berlin"), policy))
    assert [berlin[f"b{n}"][-1] for n in range(3)] == [
        "week 2026-W42",
        "week 2026-W43",
        "week 2026-W44",
    ]
    utc = advise(world.facts(zone="UTC"), policy)
    assert removable(utc) == ["b1"], "in UTC both are in the same week"
    assert kept(utc)["b2"][-1] == "week 2026-W43"


def test_weeks_at_the_turn_of_the_year_have_the_right_year() -> None:
    world = World(now=datetime(2027, 1, 10, tzinfo=UTC))
    world.backups = [
        backup_at(datetime(2026, 12, 30, tzinfo=UTC), 1, name="before"),
        backup_at(datetime(2027, 1, 2, tzinfo=UTC), 2, name="after"),
    ]
    world.fill(1, 1, 2)
    advice = advise(world.facts(), RetentionPolicy(weekly=5))
    assert kept(advice)["after"][-1] == "week 2026-W53"
    assert removable(advice) == ["before"]


def test_months_are_those_that_have_a_backup() -> None:
    world = World(now=datetime(2026, 11, 20, tzinfo=UTC))
    months = ((1, 5), (3, 1), (3, 31), (7, 1), (11, 2))
    for number, (month, day) in enumerate(months):
        moment = datetime(2026, month, day, 12, tzinfo=UTC)
        world.backups.append(backup_at(moment, number, name=f"m{month}d{day}"))
    world.fill(1, 0, len(months))
    advice = advise(world.facts(), RetentionPolicy(monthly=3))
    assert removable(advice) == ["m1d5", "m3d1"]
    assert kept(advice)["m3d31"] == ("month 2026-03",)


def chain() -> World:
    """Two full backups, each with two incremental ones."""
    world = World(now=MONDAY + timedelta(days=6))
    for number in range(6):
        previous = world.backups[-1] if number % 3 else None
        moment = MONDAY + timedelta(days=number, minutes=30)
        world.backups.append(backup_at(moment, number * 24, name=f"b{number}", parent=previous))
    world.fill(1, 0, 6 * 24)
    return world


def test_a_kept_full_backup_keeps_its_chain() -> None:
    advice = advise(chain().facts(), RetentionPolicy(count=1))
    assert removable(advice) == ["b0", "b1", "b2"]
    assert "newest 1, upon b3" in kept(advice)["b5"]


def test_a_kept_incremental_keeps_all_it_builds_upon() -> None:
    advice = advise(chain().facts(), RetentionPolicy(days=3))
    assert "covers the last 3 days" in kept(advice)["b2"]
    assert "needed by the incremental b2" in kept(advice)["b1"]
    assert "needed by the incremental b1" in kept(advice)["b0"]
    assert removable(advice) == []


def test_a_broken_incremental_still_keeps_its_parents() -> None:
    world = chain()
    world.backups[2] = broken(world.backups[2])
    advice = advise(world.facts(), RetentionPolicy(count=1))
    assert "needed by the incremental b2, which is not usable itself" in kept(advice)["b1"]
    assert removable(advice) == []


def test_what_is_not_usable_does_not_count() -> None:
    world = daily(4)
    world.backups[2] = broken(world.backups[2])
    world.backups[3] = broken(world.backups[3])
    advice = advise(world.facts(), RetentionPolicy(count=1))
    assert list(kept(advice)) == ["day1"]
    assert removable(advice) == ["day0"]
    assert {item.id for item in advice.not_counted} == {"day2", "day3"}
    assert "truncated" in advice.not_counted[0].why


def test_another_clusters_backups_neither_count_nor_go() -> None:
    world = daily(3)
    world.backups[2] = replace(world.backups[2], system_identifier=OTHER)
    world.backups[0] = replace(world.backups[0], system_identifier=None)
    advice = advise(world.facts(), RetentionPolicy(count=1))
    assert list(kept(advice)) == ["day1"]
    assert removable(advice) == []
    assert [item.id for item in advice.not_counted] == ["day0", "day2"]


def test_nothing_usable_means_nothing_goes() -> None:
    world = daily(3)
    world.backups = [broken(backup) for backup in world.backups]
    advice = advise(world.facts(), RetentionPolicy(count=1, days=1))
    assert (advice.kept, advice.removable, advice.wal.files) == ((), (), ())
    assert "no usable full backup" in advice.notes[0]


def test_incrementals_upon_a_backup_that_does_not_count_stay() -> None:
    world = chain()
    world.backups[0] = replace(world.backups[0], system_identifier=None)
    world.backups[3:] = []
    assert removable(advise(world.facts(), RetentionPolicy(count=1))) == []


def test_incrementals_alone_are_not_enough_to_let_anything_go() -> None:
    world = chain()
    world.backups = [b for b in world.backups if b.kind == "incremental"]
    assert removable(advise(world.facts(), RetentionPolicy(count=1))) == []


def test_copies_are_one_backup_and_stay_together() -> None:
    world = daily(3)
    world.backups += [
        replace(b, id=f"copy{n}", path=f"/nas/{n}") for n, b in enumerate(world.backups)
    ]
    advice = advise(world.facts(), RetentionPolicy(count=2))
    assert set(kept(advice)) == {"day1", "day2", "copy1", "copy2"}
    assert set(removable(advice)) == {"day0", "copy0"}


def test_what_cannot_be_moved_stays() -> None:
    facts = daily(3).facts(immovable={"day0": "it is a mount point"})
    advice = advise(facts, RetentionPolicy(count=1))
    assert kept(advice)["day0"] == ("it is a mount point",)
    assert removable(advice) == ["day1"]


@pytest.mark.parametrize("policy", [RetentionPolicy(days=30), RetentionPolicy(count=9)])
def test_a_promise_that_is_not_met_yet_is_told(policy: RetentionPolicy) -> None:
    advice = advise(daily(4).facts(), policy)
    assert removable(advice) == []
    assert any("not covered yet" in note or "wants 9" in note for note in advice.notes)


def test_that_a_policy_rests_on_a_verified_backup_is_told() -> None:
    world = daily(3)
    world.backups[2] = replace(world.backups[2], verified_at=None)
    advice = advise(world.facts(), RetentionPolicy(count=1))
    assert "day2, the newest full backup, has not been verified" in advice.notes[0]
    assert advise(world.facts(), RetentionPolicy()).notes == ()


def test_a_gap_behind_a_backup_is_told() -> None:
    world = daily(6)
    world.segments.remove((1, 100))
    advice = advise(world.facts(), RetentionPolicy(days=2))
    by_id = {item.id: item.gap for item in advice.kept}
    assert by_id["day4"] == "timeline 1: segment 100 is missing"
    assert by_id["day5"] is None
    assert any("not covered whole" in note for note in advice.notes)


def test_very_many_days_are_all_days() -> None:
    assert removable(advise(daily(4).facts(), RetentionPolicy(days=10**9))) == []
