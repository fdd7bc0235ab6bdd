"""Which WAL may go, and what a removal takes away from the windows."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pgrescue.catalog.model import Backup, Problem
from pgrescue.catalog.unusable import not_a_backup
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.postgres.history_file import Ancestor, TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.retention.advise import advise, advise_on
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.model import WalAdvice
from pgrescue.retention.words import lost_text
from pgrescue.wal.archive import ArchivedFile, ArchiveProblem
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE as SIZE
from pgrescue.wal.segment import SegmentId
from tests.retention.world import MONDAY, OTHER, World, backup_at, broken, daily

ONE = RetentionPolicy(count=1)


def gone(wal: WalAdvice) -> set[tuple[int, int]]:
    """Timeline and number of the segments that may go."""
    found = {SegmentId.parse(file.name[:24], SIZE) for file in wal.files}
    return {(segment.timeline, segment.number) for segment in found}


def forked() -> World:
    """Timeline 1 to segment 100; 2 left it at 50 and goes to 120, with backups at 10, 30, 80."""
    world = World(timelines={2: (1, 50, 100)}, now=MONDAY + timedelta(days=10))
    world.fill(1, 0, 100)
    world.fill(2, 50, 120)
    for segment, timeline in ((10, 1), (30, 1), (80, 2)):
        moment = world.time_of(timeline, segment)
        world.backups.append(backup_at(moment, segment, name=f"s{segment}", timeline=timeline))
    return world


def test_only_what_is_older_than_the_oldest_kept_backup_goes() -> None:
    advice = advise(daily(4).facts(), ONE)
    assert gone(advice.wal) == {(1, number) for number in range(72)}
    (cut,) = advice.wal.cuts
    assert (cut.timeline, cut.files, cut.size_bytes) == (1, 72, 72 * SIZE)
    assert cut.below == SegmentId(72, 1).name(SIZE)


def test_a_fork_keeps_what_its_backups_need_of_the_parent() -> None:
    advice = advise_on(forked().facts(), ONE, forked().backups[:1])
    assert gone(advice.wal) == {(1, number) for number in range(30)}, "s30 leads to both timelines"


def test_each_line_of_descent_has_its_own_beginning() -> None:
    world = forked()
    moment = world.time_of(1, 60)
    world.backups.append(backup_at(moment, 60, name="dead end"))
    advice = advise_on(world.facts(), ONE, world.backups[:2])
    assert gone(advice.wal) == {(1, n) for n in range(60)} | {(2, n) for n in range(50, 80)}


def test_a_timeline_without_a_backup_keeps_what_is_not_older_than_all_of_them() -> None:
    advice = advise(forked().facts(), ONE)
    assert gone(advice.wal) == {(1, n) for n in range(80)} | {(2, n) for n in range(50, 80)}


@pytest.mark.parametrize("known", [True, False])
def test_the_current_timeline_without_a_backup_keeps_all_of_its_wal(known: bool) -> None:
    """A backup may be at work there, and its first segment is older than others' starts."""
    world = forked()
    world.backups = [backup_at(world.time_of(1, 60), 60, name="dead end")]
    facts = world.facts(current_timeline=2)
    assert facts.archive is not None
    if not known:
        facts = replace(facts, archive=replace(facts.archive, histories={}))
    assert gone(advise(facts, ONE).wal) == {(1, n) for n in range(60)}


def test_an_abandoned_timeline_without_a_backup_keeps_all_of_its_wal() -> None:
    world = forked()
    world.timelines[3] = (1, 55, 130)
    world.fill(3, 55, 110)
    world.backups = [backup_at(world.time_of(3, 100), 100, name="on 3", timeline=3)]
    went = gone(advise(world.facts(current_timeline=3), ONE).wal)
    assert went == {(1, n) for n in range(100)} | {(3, n) for n in range(55, 100)}


def test_a_backup_outside_the_catalog_keeps_its_wal() -> None:
    world = daily(4)
    outside = replace(world.backups[1], id="outside", path="/elsewhere/outside")
    advice = advise(replace(world.facts(), elsewhere=(outside,)), ONE)
    assert [item.id for item in advice.removable] == ["day0", "day1", "day2"]
    assert gone(advice.wal) == {(1, number) for number in range(24)}


def test_while_a_backup_is_at_work_no_wal_goes() -> None:
    facts = daily(4).facts(unfinished_backups=("the run 7, which is running, takes a backup",))
    advice = advise(facts, ONE)
    assert advice.wal.files == ()
    assert "the run 7" in (advice.wal.blocked or "")


def test_every_copy_of_a_segment_goes() -> None:
    facts = daily(4).facts()
    assert facts.archive is not None
    name, late = SegmentId(5, 1).name(SIZE), SegmentId(80, 1).name(SIZE)
    copies = tuple(ArchivedFile(n, f"/wal/{n}.gz", 7) for n in (name, late))
    advice = advise(replace(facts, archive=replace(facts.archive, copies=copies)), ONE)
    places = {str(file.path) for file in advice.wal.files}
    assert {f"/wal/{name}", f"/wal/{name}.gz"} <= places
    assert f"/wal/{late}.gz" not in places


def test_without_a_history_file_no_line_is_trusted() -> None:
    world = forked()
    world.backups.append(backup_at(world.time_of(1, 60), 60, name="dead end"))
    facts = world.facts()
    assert facts.archive is not None
    lost = replace(facts, archive=replace(facts.archive, histories={}))
    advice = advise_on(lost, ONE, world.backups[:2])
    assert gone(advice.wal) == {(1, n) for n in range(60)} | {(2, n) for n in range(50, 60)}


def test_a_broken_backup_still_keeps_its_wal_and_that_is_told() -> None:
    world = daily(4)
    world.backups[1] = broken(world.backups[1])
    advice = advise(world.facts(), ONE)
    assert gone(advice.wal) == {(1, number) for number in range(24)}
    assert [item.holds_segments for item in advice.not_counted] == [48]


def other_names(facts: RetentionFacts) -> RetentionFacts:
    """Beside the segments also partial ones, backup history files, and files of other kinds."""
    assert facts.archive is not None
    partial, marked, late = (SegmentId(n, 1).name(SIZE) for n in (5, 6, 90))
    return replace(
        facts,
        archive=replace(
            facts.archive,
            partials={partial: ArchivedFile(partial, f"/wal/{partial}.partial", 7)},
            backup_histories={
                name: ArchivedFile(name, f"/wal/{name}", 300)
                for name in (f"{marked}.00000028.backup", f"{late}.00000028.backup")
            },
            foreign=("notes.txt", "00000001"),
            temporary=(f"{partial}.tmp",),
        ),
    )


def test_only_files_named_like_wal_go() -> None:
    advice = advise(other_names(forked_from_zero().facts()), ONE)
    names = {file.path.name for file in advice.wal.files}
    assert f"{SegmentId(5, 1).name(SIZE)}.partial" in names
    assert f"{SegmentId(6, 1).name(SIZE)}.00000028.backup" in names
    assert f"{SegmentId(90, 1).name(SIZE)}.00000028.backup" not in names
    assert not any("history" in n or "notes" in n or n.endswith(".tmp") for n in names)


def forked_from_zero() -> World:
    """As `forked`, with one backup only."""
    world = forked()
    world.backups = world.backups[-1:]
    return world


def unreadable() -> Backup:
    """Something that may be a backup."""
    return not_a_backup(Path("/b/locked"), Problem("unreadable", "/b/locked cannot be read."))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"archive_identifier": OTHER, "system_identifier": "7400000000000000001"}, "another"),
        ({"empty_roots": ("/nas",)}, "mounted"),
        ({"segment_size": SIZE * 4}, "size"),
        ({"archive": None, "archive_problem": "/wal cannot be listed"}, "listed"),
        ({"archive": None}, "no WAL archive"),
    ],
)
def test_where_something_is_not_as_it_should_be_no_wal_goes(
    change: dict[str, object], word: str
) -> None:
    advice = advise(daily(4).facts(**change), ONE)
    assert advice.wal.files == ()
    assert word in (advice.wal.blocked or "")


def test_what_cannot_be_read_may_need_all_of_it() -> None:
    facts = daily(4).facts()
    advice = advise(replace(facts, backups=(*facts.backups, unreadable())), ONE)
    assert advice.wal.files == ()
    assert "/b/locked" in (advice.wal.blocked or "")


def test_segments_of_another_size_make_numbers_uncertain() -> None:
    world = daily(4)
    details = world.backups[3].details
    assert details is not None
    world.backups[3] = replace(
        world.backups[3], details=replace(details, wal_segment_size=SIZE * 2)
    )
    assert advise(world.facts(), ONE).wal.files == ()
    world.backups[3] = replace(world.backups[3], details=replace(details, wal_segment_size=None))
    assert advise(world.facts(), ONE).wal.files != ()
    facts = world.facts()
    assert facts.archive is not None
    name = "0000000100000000000001FF"
    more = {**facts.archive.segments, name: ArchivedFile(name, f"/wal/{name}", SIZE // 2)}
    advice = advise(replace(facts, archive=replace(facts.archive, segments=more)), ONE)
    assert advice.wal.files == ()
    assert "several sizes" in (advice.wal.blocked or "")


def test_histories_that_disagree_make_the_oldest_backup_count_for_all() -> None:
    world = forked()
    world.backups.append(backup_at(world.time_of(1, 60), 60, name="dead end"))
    facts = world.facts()
    assert facts.archive is not None
    other = TimelineHistory(3, (Ancestor(1, Lsn(40 * SIZE), ""), Ancestor(2, Lsn(90 * SIZE), "")))
    histories = {**facts.archive.histories, 3: other}
    facts = replace(facts, archive=replace(facts.archive, histories=histories))
    assert (2, 70) not in gone(advise_on(facts, ONE, world.backups[:2]).wal)


def test_two_clusters_in_one_archive_make_the_oldest_backup_count_for_all() -> None:
    world = forked()
    dead_end = backup_at(world.time_of(1, 60), 60, name="dead end")
    world.backups.append(replace(dead_end, system_identifier=OTHER))
    wal = advise_on(world.facts(), ONE, world.backups[:2]).wal
    assert (2, 55) in gone(wal)
    assert (2, 70) not in gone(wal)


def test_a_damaged_history_file_makes_the_oldest_backup_count_for_all() -> None:
    world = forked()
    world.backups.append(backup_at(world.time_of(1, 60), 60, name="dead end"))
    facts = world.facts()
    assert facts.archive is not None
    problem = ArchiveProblem("history_damaged", "00000002.history", "damaged")
    facts = replace(facts, archive=replace(facts.archive, problems=(problem,)))
    advice = advise_on(facts, ONE, world.backups[:2])
    assert (2, 70) not in gone(advice.wal)


def test_another_clusters_backup_in_the_same_archive_keeps_its_wal() -> None:
    world = daily(4)
    world.backups[1] = replace(world.backups[1], system_identifier=OTHER)
    assert gone(advise(world.facts(), ONE).wal) == {(1, number) for number in range(24)}
    world.backups[1] = world.backups[1].with_problem(Problem("archive_foreign", "no", fatal=False))
    assert len(gone(advise(world.facts(), ONE).wal)) == 72, "its WAL is somewhere else"


def test_a_removal_takes_the_time_up_to_the_next_backup() -> None:
    world = daily(4)
    advice = advise(world.facts(), RetentionPolicy(count=2))
    oldest = advice.removable[0]
    (lost,) = oldest.lost
    assert (lost.from_lsn, lost.to_lsn) == (world.backups[0].stop_lsn, world.backups[2].stop_lsn)
    assert (lost.from_time, lost.to_time) == (MONDAY + timedelta(minutes=30), advice.kept[1].time)
    assert lost_text(oldest).startswith("timeline 1, 2026-11-16 00:30:00Z (0/")
    assert oldest.covered_by is None


def test_what_an_older_backup_covers_is_no_loss() -> None:
    world = daily(4)
    advice = advise_on(world.facts(), RetentionPolicy(), world.backups[1:2])
    (item,) = advice.removable
    assert item.lost == ()
    assert lost_text(item) == "nothing: covered by day0"


def test_a_gap_before_the_next_backup_is_the_end_of_the_loss() -> None:
    world = daily(4)
    world.segments.remove((1, 20))
    advice = advise_on(world.facts(), RetentionPolicy(), world.backups[:1])
    (lost,) = advice.removable[0].lost
    assert lost.to_lsn == Lsn(20 * SIZE)
    assert lost.to_time == world.time_of(1, 19)


def test_a_loss_is_told_for_each_timeline() -> None:
    world = forked()
    advice = advise_on(world.facts(), ONE, world.backups[:2])
    lost = {span.timeline: span for span in advice.removable[1].lost}
    assert lost[1].to_lsn == Lsn(101 * SIZE), "nothing leads to the rest of timeline 1 any more"
    assert lost[2].to_lsn == world.backups[2].stop_lsn


def test_what_is_freed_is_backups_and_wal() -> None:
    advice = advise(daily(4).facts(), ONE)
    assert advice.frees_bytes == 3 * 1000 + 72 * SIZE
