"""Timelines, forks, gaps and dangers of an archive, by names alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.postgres.history_file import Ancestor, TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile, ArchiveProblem, WalArchive
from pgrescue.wal.segment import SegmentId
from pgrescue.wal.timelines import ArchivePicture, archive_picture

SIZE = 16 << 20
MIDDLE = SIZE // 2


def name_of(timeline: int, number: int, size: int = SIZE) -> str:
    """A segment's file name."""
    return SegmentId(number, timeline).name(size)


def history(timeline: int, *forks: tuple[int, int]) -> TimelineHistory:
    """A history of (ancestor, switch LSN)."""
    return TimelineHistory(timeline, tuple(Ancestor(t, Lsn(lsn), "") for t, lsn in forks))


def archive_of(
    numbers: Mapping[int, Iterable[int]], *histories: TimelineHistory, size: int = SIZE
) -> WalArchive:
    """Whole plain segments by timeline and number."""
    names = [name_of(timeline, n, size) for timeline, group in numbers.items() for n in group]
    return WalArchive(
        path=Path("/archive"),
        segments={name: ArchivedFile(name, f"/archive/{name}", size) for name in names},
        histories={item.timeline: item for item in histories},
        backup_histories={},
        problems=(),
    )


def gaps(picture: ArchivePicture) -> list[tuple[str, str, int]]:
    """First, last and count of each."""
    return [(gap.first, gap.last, gap.count) for gap in picture.gaps]


def codes(picture: ArchivePicture) -> list[tuple[str, str]]:
    """Code and name of each problem."""
    return [(problem.code, problem.name) for problem in picture.problems]


def test_an_empty_archive() -> None:
    picture = archive_picture(archive_of({}), SIZE)
    assert picture == ArchivePicture(SIZE, 0, 0, (), (), ())


@pytest.mark.parametrize("size", [1 << 20, SIZE, 1 << 30])
def test_one_timeline_with_holes_across_a_log_boundary(size: int) -> None:
    per_log = 0x1_0000_0000 // size
    there = {*range(per_log - 3, per_log + 3)} - {per_log - 1, per_log, per_log + 1}
    picture = archive_picture(archive_of({1: there}, size=size), size)
    (timeline,) = picture.timelines
    assert (timeline.parent, timeline.forked_at) == (None, None)
    assert timeline.first_segment == name_of(1, per_log - 3, size)
    assert timeline.last_segment == f"0000000100000001{2:08X}"
    assert (timeline.segments, timeline.bytes) == (3, 3 * size)
    assert gaps(picture) == [(name_of(1, per_log - 1, size), f"0000000100000001{1:08X}", 3)]
    assert picture.problems == ()


def test_a_fork_whose_parent_ends_before_it_has_no_gap() -> None:
    """The child's first segment carries the parent's part of it."""
    found = archive_of({1: range(1, 5), 2: range(5, 9)}, history(2, (1, 5 * SIZE + MIDDLE)))
    picture = archive_picture(found, SIZE)
    assert (picture.gaps, picture.problems) == ((), ())
    assert [(t.id, t.parent, t.forked_at) for t in picture.timelines] == [
        (1, None, None),
        (2, 1, Lsn(5 * SIZE + MIDDLE)),
    ]


def test_a_parent_may_go_on_after_its_fork_but_not_with_a_hole() -> None:
    found = archive_of({1: {*range(1, 9)} - {3, 7}, 2: range(5, 9)}, history(2, (1, 5 * SIZE + 8)))
    assert gaps(archive_picture(found, SIZE)) == [
        (name_of(1, 3), name_of(1, 3), 1),
        (name_of(1, 7), name_of(1, 7), 1),
    ]


def test_a_parent_must_reach_its_last_fork() -> None:
    histories = history(2, (1, 5 * SIZE + 8)), history(3, (1, 9 * SIZE + 8))
    found = archive_of({1: range(1, 6), 2: (5, 6), 3: (9,)}, *histories)
    picture = archive_picture(found, SIZE)
    assert gaps(picture) == [(name_of(1, 6), name_of(1, 8), 3)]
    histories = history(2, (1, 9 * SIZE + 8)), history(3, (1, 5 * SIZE + 8))
    found = archive_of({1: range(1, 6), 2: (9,), 3: (5, 6)}, *histories)
    assert gaps(archive_picture(found, SIZE)) == [(name_of(1, 6), name_of(1, 8), 3)]


@pytest.mark.parametrize("offset", [0, 8, SIZE - 8])
def test_the_fork_segment_is_that_of_the_switch_position(offset: int) -> None:
    """Exactly on a boundary it is the one that begins there."""
    complete = {1: range(1, 5), 2: range(5, 7)}
    past = history(2, (1, 5 * SIZE + offset))
    assert archive_picture(archive_of(complete, past), SIZE).gaps == ()
    without = archive_picture(archive_of({1: range(1, 5), 2: (6,)}, past), SIZE)
    assert gaps(without) == [(name_of(2, 5), name_of(2, 5), 1)]
    assert without.problems == ()
    dangerous = archive_picture(archive_of({1: range(1, 8), 2: (6,)}, past), SIZE)
    assert gaps(dangerous) == gaps(without)
    (problem,) = dangerous.problems
    assert (problem.code, problem.name) == ("fork_segment_missing", name_of(2, 5))
    assert name_of(1, 5) in problem.message
    assert str(Lsn(5 * SIZE + offset)) in problem.message


@pytest.mark.parametrize("offset", [0, 8])
def test_the_parents_fork_segment_is_the_beginning_of_the_line(offset: int) -> None:
    found = archive_of({1: (5, 6), 2: (6,)}, history(2, (1, 5 * SIZE + offset)))
    assert gaps(archive_picture(found, SIZE)) == [(name_of(2, 5), name_of(2, 5), 1)]


def test_the_gap_at_a_fork_is_counted_from_the_fork_segment() -> None:
    found = archive_of({1: range(1, 7), 2: range(9, 12)}, history(2, (1, 5 * SIZE + 8)))
    picture = archive_picture(found, SIZE)
    assert gaps(picture) == [(name_of(2, 5), name_of(2, 8), 4)]
    assert codes(picture) == [("fork_segment_missing", name_of(2, 5))]


def test_a_child_of_which_nothing_is_archived_yet_is_a_danger_without_a_gap() -> None:
    picture = archive_picture(archive_of({1: range(1, 9)}, history(2, (1, 5 * SIZE + 8))), SIZE)
    assert picture.gaps == ()
    assert codes(picture) == [("fork_segment_missing", name_of(2, 5))]
    assert [(t.id, t.segments, t.first_segment) for t in picture.timelines][1] == (2, 0, None)


def test_wal_that_has_been_pruned_is_no_gap() -> None:
    found = archive_of({2: range(20, 25)}, history(2, (1, 5 * SIZE + 8)))
    picture = archive_picture(found, SIZE)
    assert (picture.gaps, picture.problems) == ((), ())
    assert [t.id for t in picture.timelines] == [2]
    abandoned = archive_of({1: range(20, 30), 2: range(20, 25)}, history(2, (1, 5 * SIZE + 8)))
    assert archive_picture(abandoned, SIZE).gaps == ()


class TestThreeGenerations:
    HISTORIES = (
        history(2, (1, 5 * SIZE + 8)),
        history(3, (1, 5 * SIZE + 8), (2, 9 * SIZE)),
    )

    def test_complete(self) -> None:
        found = archive_of({1: range(1, 5), 2: range(5, 9), 3: range(9, 12)}, *self.HISTORIES)
        picture = archive_picture(found, SIZE)
        assert (picture.gaps, picture.problems) == ((), ())
        assert [(t.id, t.parent) for t in picture.timelines] == [(1, None), (2, 1), (3, 2)]

    def test_the_middle_one_is_gone(self) -> None:
        found = archive_of({1: range(1, 7), 3: range(9, 12)}, *self.HISTORIES)
        picture = archive_picture(found, SIZE)
        assert gaps(picture) == [(name_of(2, 5), name_of(2, 8), 4)]
        assert codes(picture) == [("fork_segment_missing", name_of(2, 5))]

    def test_the_middle_one_and_its_history_are_gone(self) -> None:
        found = archive_of({1: range(1, 5), 3: range(9, 12)}, self.HISTORIES[1])
        assert gaps(archive_picture(found, SIZE)) == [(name_of(2, 5), name_of(2, 8), 4)]

    def test_a_grandparents_file_is_never_read_behind_the_parents(self) -> None:
        """Timeline 1 has the number of timeline 3's fork, but timeline 2 was read before."""
        found = archive_of({1: range(1, 12), 2: range(5, 9), 3: (10,)}, *self.HISTORIES)
        picture = archive_picture(found, SIZE)
        assert gaps(picture) == [(name_of(3, 9), name_of(3, 9), 1)]
        assert picture.problems == ()

    def test_two_forks_in_one_segment(self) -> None:
        histories = history(2, (1, 5 * SIZE + 8)), history(3, (1, 5 * SIZE + 8), (2, 5 * SIZE + 64))
        found = archive_of({1: range(1, 5), 2: (5,), 3: (5, 6)}, *histories)
        assert archive_picture(found, SIZE).gaps == ()
        found = archive_of({1: range(1, 6), 3: (6,)}, *histories)
        assert codes(archive_picture(found, SIZE)) == [
            ("fork_segment_missing", name_of(2, 5)),
            ("fork_segment_missing", name_of(3, 5)),
        ]


class TestHistories:
    def test_a_missing_one_is_told_from_a_descendants(self) -> None:
        past = history(3, (1, 5 * SIZE + 8), (2, 9 * SIZE))
        found = archive_of({1: range(1, 5), 2: range(5, 9), 3: (9,)}, past)
        picture = archive_picture(found, SIZE)
        assert codes(picture) == [("history_missing", "00000002.history")]
        assert picture.timelines[1].parent == 1
        assert picture.gaps == ()

    def test_a_damaged_one_is_reported_once(self) -> None:
        damaged = archive_of({2: (5,)})
        problem = ArchiveProblem("history_damaged", "00000002.history", "00000002.history: bad")
        picture = archive_picture(replace(damaged, problems=(problem,)), SIZE)
        assert codes(picture) == [("history_damaged", "00000002.history")]

    def test_two_that_disagree(self) -> None:
        histories = history(2, (1, 5 * SIZE)), history(3, (1, 6 * SIZE), (2, 9 * SIZE))
        (problem,) = archive_picture(archive_of({}, *histories), SIZE).problems
        assert (problem.code, problem.name) == ("history_disagrees", "00000003.history")
        assert "00000002.history" in problem.message

    def test_two_that_disagree_about_one_whose_own_is_lost(self) -> None:
        histories = (
            history(3, (1, 5 * SIZE), (2, 9 * SIZE)),
            history(4, (1, 6 * SIZE), (2, 9 * SIZE)),
        )
        assert codes(archive_picture(archive_of({}, *histories), SIZE)) == [
            ("history_disagrees", "00000004.history")
        ]

    def test_switch_positions_must_rise(self) -> None:
        past = history(3, (1, 9 * SIZE), (2, 5 * SIZE))
        assert ("history_damaged", "00000003.history") in codes(
            archive_picture(archive_of({}, past), SIZE)
        )

    def test_a_timeline_number_that_was_used_twice(self) -> None:
        found = archive_of({1: range(1, 9), 2: range(5, 12)}, history(2, (1, 8 * SIZE + 8)))
        assert codes(archive_picture(found, SIZE)) == [("before_fork", name_of(2, 5))]


def test_a_segment_of_another_size_is_named() -> None:
    found = archive_of({1: (1, 2)})
    short = ArchivedFile(name_of(1, 2), "/archive/" + name_of(1, 2), 100)
    packed = ArchivedFile(name_of(1, 3), f"/archive/{name_of(1, 3)}.gz", 100)
    files = {**found.segments, short.name: short, packed.name: packed}
    picture = archive_picture(replace(found, segments=files), SIZE)
    assert codes(picture) == [("truncated", name_of(1, 2))]
    assert picture.bytes == SIZE + 200


def test_a_name_that_the_segment_size_does_not_allow() -> None:
    """The log's fifth segment: with 1 GB there are four."""
    found = archive_of({1: (3, 4, 5)}, size=1 << 30)
    name = "000000010000000000000004"
    files = {**found.segments, name: ArchivedFile(name, name, 1 << 30)}
    picture = archive_picture(replace(found, segments=files), 1 << 30)
    assert codes(picture) == [("other_segment_size", name)]
    assert picture.gaps == ()


def test_a_segment_of_which_there_is_only_the_beginning() -> None:
    found = archive_of({1: (1, 2)})
    partials = {
        name: ArchivedFile(name, f"/archive/{name}.gz.partial", 5)
        for name in (name_of(1, 2), name_of(1, 3))
    }
    picture = archive_picture(replace(found, partials=partials), SIZE)
    (problem,) = picture.problems
    assert (problem.code, problem.name) == ("only_partial", name_of(1, 3))
    assert f"{name_of(1, 3)}.gz.partial" in problem.message
    assert picture.segments == 2


def test_the_beginning_that_a_promotion_leaves_is_in_the_childs_segment() -> None:
    partials = {name_of(1, 5): ArchivedFile(name_of(1, 5), f"/archive/{name_of(1, 5)}.partial", 5)}
    past = history(2, (1, 5 * SIZE + 8))
    found = replace(archive_of({1: range(1, 5), 2: range(5, 9)}, past), partials=partials)
    assert archive_picture(found, SIZE).problems == ()
    found = replace(archive_of({1: range(1, 5)}, past), partials=partials)
    assert codes(archive_picture(found, SIZE)) == [("only_partial", name_of(1, 5))]
