"""The files that a recovery asks for, in their order."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pgrescue.compression import ENDINGS
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import history_of, scan_archive
from pgrescue.wal.recovery_path import RecoveryPath, recovery_path
from pgrescue.wal.segment import SegmentId
from pgrescue.wal.timelines import archive_picture
from tests.wal.test_timelines import MIDDLE, SIZE, archive_of, history, name_of

FORKED = history(2, (1, 5 * SIZE + MIDDLE))
THIRD = history(3, (1, 5 * SIZE + MIDDLE), (2, 9 * SIZE))


def taken(path: RecoveryPath) -> list[tuple[int, int]]:
    """Timeline and number of each step."""
    return [(step.timeline, step.number) for step in path.steps]


def test_along_one_timeline_to_the_first_hole() -> None:
    found = archive_of({1: (1, 2, 3, 6, 8)})
    path = recovery_path(found, history(1), Lsn(2 * SIZE + 40), SIZE)
    assert taken(path) == [(1, 2), (1, 3)]
    assert path.steps[0].name == name_of(1, 2)
    assert path.steps[0].file is found.segments[name_of(1, 2)]
    assert path.missing == SegmentId(4, 1)
    assert path.resumes_at == SegmentId(6, 1)
    assert not path.fork_missing
    assert found.continuous_end(Lsn(2 * SIZE + 40), history(1), SIZE) == (
        Lsn(4 * SIZE),
        SegmentId(4, 1),
    )


def test_nothing_there() -> None:
    path = recovery_path(archive_of({}), history(1), Lsn(SIZE), SIZE)
    assert path == RecoveryPath((), SegmentId(1, 1), None, False)
    assert archive_of({}).continuous_end(Lsn(SIZE), history(1), SIZE) == (None, SegmentId(1, 1))


def test_at_forks_the_child_takes_over_with_its_own_segment() -> None:
    found = archive_of({1: range(1, 12), 2: range(5, 12), 3: range(9, 11)})
    path = recovery_path(found, THIRD, Lsn(3 * SIZE), SIZE)
    assert taken(path) == [(1, 3), (1, 4), *((2, n) for n in range(5, 9)), (3, 9), (3, 10)]
    assert (path.missing, path.resumes_at, path.fork_missing) == (SegmentId(11, 3), None, False)


def test_a_start_behind_the_fork() -> None:
    found = archive_of({1: range(1, 12), 2: range(5, 12)})
    path = recovery_path(found, FORKED, Lsn(7 * SIZE), SIZE)
    assert {step.timeline for step in path.steps} == {2}


def test_a_missing_fork_segment_stops_before_the_parents() -> None:
    found = archive_of({1: range(1, 12), 2: range(7, 12)})
    path = recovery_path(found, FORKED, Lsn(3 * SIZE), SIZE)
    assert taken(path) == [(1, 3), (1, 4)]
    assert path.missing == SegmentId(5, 2)
    assert path.resumes_at == SegmentId(7, 2)
    assert path.fork_missing
    end, missing = found.continuous_end(Lsn(3 * SIZE), FORKED, SIZE)
    assert (end, missing) == (Lsn(5 * SIZE), SegmentId(5, 2))


def test_without_the_parents_it_is_only_missing() -> None:
    found = archive_of({1: range(1, 5), 2: range(7, 12)})
    path = recovery_path(found, FORKED, Lsn(3 * SIZE), SIZE)
    assert (path.missing, path.fork_missing) == (SegmentId(5, 2), False)


def test_a_hole_behind_the_fork_is_not_filled_by_the_parent() -> None:
    """No timeline below that of the previous file is read."""
    found = archive_of({1: range(1, 12), 2: (5, 7)})
    path = recovery_path(found, FORKED, Lsn(3 * SIZE), SIZE)
    assert (path.missing, path.resumes_at) == (SegmentId(6, 2), SegmentId(7, 2))
    assert not path.fork_missing


def test_a_start_in_such_a_hole_would_read_the_parents() -> None:
    """There is no previous file then."""
    found = archive_of({1: range(1, 12), 2: (5, 7)})
    path = recovery_path(found, FORKED, Lsn(6 * SIZE), SIZE)
    assert path.steps == ()
    assert path.fork_missing


def test_what_resumes_on_a_later_timeline() -> None:
    found = archive_of({1: range(1, 4), 3: range(9, 12)})
    path = recovery_path(found, THIRD, Lsn(SIZE), SIZE)
    assert (path.missing, path.resumes_at) == (SegmentId(4, 1), SegmentId(9, 3))


def test_other_timelines_resume_nothing() -> None:
    found = archive_of({1: (1, 2), 2: range(1, 9), 3: range(1, 9)})
    assert recovery_path(found, history(1), Lsn(SIZE), SIZE).resumes_at is None


def test_the_parents_segments_after_the_fork_resume_nothing() -> None:
    found = archive_of({1: (1, 2, 3, 7, 8)})
    path = recovery_path(found, FORKED, Lsn(SIZE), SIZE)
    assert (path.missing, path.resumes_at) == (SegmentId(4, 1), None)


def test_two_forks_in_one_segment_want_the_newest() -> None:
    third = history(3, (1, 5 * SIZE + 8), (2, 5 * SIZE + 64))
    found = archive_of({1: range(1, 6), 2: (5, 6), 3: (5, 6)})
    assert taken(recovery_path(found, third, Lsn(4 * SIZE), SIZE)) == [(1, 4), (3, 5), (3, 6)]


def test_a_fork_on_a_boundary_wants_the_parents_before_and_the_childs_after() -> None:
    past = history(2, (1, 5 * SIZE))
    found = archive_of({1: range(1, 6), 2: (5, 6)})
    path = recovery_path(found, past, Lsn(4 * SIZE), SIZE)
    assert taken(path) == [(1, 4), (2, 5), (2, 6)]


def test_switch_positions_that_fall_hide_a_timeline() -> None:
    past = history(3, (1, 9 * SIZE), (2, 5 * SIZE))
    found = archive_of({1: range(1, 12), 2: range(1, 12), 3: range(1, 12)})
    path = recovery_path(found, past, Lsn(4 * SIZE), SIZE)
    assert taken(path)[:2] == [(1, 4), (3, 5)]


def test_every_segment_size_across_a_log_boundary() -> None:
    for size in (1 << 20, 1 << 30):
        per_log = 0x1_0000_0000 // size
        found = archive_of({1: range(per_log - 2, per_log + 2)}, size=size)
        path = recovery_path(found, history(1), Lsn((per_log - 2) * size), size)
        assert [step.number for step in path.steps] == [*range(per_log - 2, per_log + 2)]
        assert path.steps[-1].name == f"0000000100000001{1:08X}"


def test_names_that_the_segment_size_does_not_allow_are_passed_over() -> None:
    found = archive_of({1: (1, 0x20)})
    path = recovery_path(found, history(1), Lsn(1 << 30), 1 << 30)
    assert len(path.steps) == 1
    assert path.resumes_at is None


_HEX8 = st.sampled_from(["00000000", "00000001", "00000002", "00000003", "000000FF", "FFFFFFFF"])
_SEGMENT = st.tuples(_HEX8, _HEX8, _HEX8).map("".join)
_ENDING = st.sampled_from(
    ["", *ENDINGS, ".partial", ".gz.partial", ".tmp", ".00000028.backup", f"-{'a' * 40}.gz", "-"]
)
_FILE = st.one_of(
    st.tuples(_SEGMENT, _ENDING).map("".join),
    st.tuples(_HEX8, st.sampled_from([".history", ".history.gz"])).map("".join),
    st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), max_size=30),
)
_PLACE = st.sampled_from(["", "0000000100000000/", "15-1/", "15-2/0000000200000000/", "x/"])
_TEXT = st.one_of(
    st.binary(max_size=40),
    st.sampled_from(
        [b"1\t0/3000000\tx\n", b"1\t0/9000000\tx\n2\tFF/1\ty\n", b"2\tFFFFFFFF/FFFFFFFF\n"]
    ),
)


@settings(max_examples=150, deadline=None)
@given(
    files=st.dictionaries(st.tuples(_PLACE, _FILE), _TEXT, max_size=25),
    size=st.sampled_from([1 << 20, 16 << 20, 1 << 30]),
    start=st.sampled_from([0, 1, 0x3000000, 0xFFFFFFFFFFFFFFFF]),
)
def test_no_set_of_names_makes_anything_raise(
    files: dict[tuple[str, str], bytes], size: int, start: int
) -> None:
    with tempfile.TemporaryDirectory() as name:
        for (place, file), content in files.items():
            location = Path(name, place, file)
            try:
                location.parent.mkdir(parents=True, exist_ok=True)
                location.write_bytes(content)
            except OSError:  # `.`, too long, or a directory of that name
                continue
        archive = scan_archive(Path(name))
        picture = archive_picture(archive, size)
        assert picture.segments == len(archive.segments)
        assert sum(info.segments for info in picture.timelines) == picture.segments
        assert all(gap.count > 0 and gap.first not in archive.segments for gap in picture.gaps)
        for timeline in (1, *archive.histories):
            past = history_of(timeline, archive.histories)
            path = recovery_path(archive, past, Lsn(start), size)
            end, missing = archive.continuous_end(Lsn(start), past, size)
            assert missing == path.missing
            assert missing.name(size) not in archive.segments
            assert (end is None) == (not path.steps)
            assert path.resumes_at is None or path.resumes_at.name(size) in archive.segments
