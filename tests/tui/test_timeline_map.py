"""The map itself, compared as text; `python -m tests.tui.test_timeline_map` writes it anew."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from rich.cells import cell_len

from pgrescue.history.model import Incident, SegmentGlance, TimelinePicture
from pgrescue.tui.timeline.chart import make_chart
from pgrescue.tui.timeline.drawing import Cursor, columns_for, draw_map, scrolled
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.reading import fine_segments, next_portion
from pgrescue.tui.timeline.signs import ASCII_SIGNS, LEGEND, STYLES, UNICODE_SIGNS, Signs, legend
from pgrescue.tui.timeline.state import MapState
from tests.tui import archives

GOLDEN = Path(__file__).parent / "maps"
ALPHABETS = {"unicode": UNICODE_SIGNS, "ascii": ASCII_SIGNS}
WIDTHS = (60, 80, 120, 200)


@dataclass(frozen=True)
class Scene:
    """A picture, what has been read of it, and where one has gone."""

    picture: TimelinePicture
    read: tuple[SegmentGlance, ...] = ()
    incidents: tuple[Incident, ...] | None = None
    go: Callable[[MapState], MapState] = lambda state: state
    height: int = 13


SCENES = {
    "one": Scene(archives.ONE, archives.ONE_READ, (archives.incident(20.5),)),
    "unread": Scene(archives.ONE),
    "forks": Scene(
        archives.FORKS,
        archives.glances(1, [9] * 19, 1) + archives.glances(3, [4, 8, 2, 0, 1], 26),
        (archives.incident(20, 1), archives.incident(36, 3)),
    ),
    "forks-low": Scene(archives.FORKS, height=7),
    "forks-close": Scene(
        archives.FORKS,
        archives.glances(2, [1, 4, 9], 20),
        go=lambda s: s.at(archives.at(21), 2).zoomed(closer=True).zoomed(closer=True),
    ),
    "gaps": Scene(archives.GAPS, archives.glances(1, [5] * 8, 30, damaged=[33])),
    "huge": Scene(archives.HUGE, archives.glances(1, [5] * 9000, 60_000)),
}


def opened(scene: Scene, width: int) -> MapState:
    """The state of a map that has just been opened."""
    chart = make_chart(scene.picture, scene.incidents)
    return scene.go(MapState.opened(chart, columns_for(chart, width), None, None))


def rendered(scene: Scene, width: int, signs: Signs) -> str:
    """Map and legend as text."""
    state = opened(scene, width)
    drawing = draw_map(
        state.chart, Known(scene.read), state.view, state.cursor, signs, height=scene.height
    )
    for row in drawing.rows:
        assert cell_len(row.plain) == width
    explained = legend(signs, drawing.used, drawing.peak, width)
    assert all(len(row) <= width for row in explained)
    return "\n".join([*(row.plain.rstrip() for row in drawing.rows), *explained, ""])


@pytest.mark.parametrize("alphabet", ALPHABETS)
@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", SCENES)
def test_map_as_text(name: str, width: int, alphabet: str) -> None:
    shown = rendered(SCENES[name], width, ALPHABETS[alphabet])
    assert shown == (GOLDEN / f"{name}-{width}-{alphabet}.txt").read_text()
    assert alphabet == "unicode" or shown.isascii()


@pytest.mark.parametrize("signs", ALPHABETS.values(), ids=ALPHABETS)
def test_signs_differ_without_colour_and_each_is_explained(signs: Signs) -> None:
    single = [getattr(signs, name) for name in LEGEND if name != "level"]
    assert len({*single, *signs.levels, signs.corner}) == len(single) + len(signs.levels) + 1
    assert set(STYLES) - {"corner"} <= set(LEGEND)
    assert len(legend(signs, LEGEND, 1, 0)) == len(LEGEND)
    assert all(cell_len(sign) == 1 for sign in (*single, *signs.levels))


def test_hundred_thousand_segments_are_drawn_in_time() -> None:
    every = archives.glances(1, [5] * archives.MANY, 1)
    begun = time.perf_counter()
    chart = make_chart(archives.HUGE)
    assert time.perf_counter() - begun < 0.5
    known = Known(every)
    state = MapState.opened(chart, 190, None, None).zoomed(closer=True)

    def draw() -> float:
        begun = time.perf_counter()
        draw_map(chart, known, state.view, state.cursor, UNICODE_SIGNS, height=40)
        return time.perf_counter() - begun

    assert min(draw() for _ in range(3)) < 0.05


def test_cursors_lane_is_always_in_view() -> None:
    assert scrolled(0, 9, 4, 12) == 6
    assert scrolled(6, 7, 4, 12) == 6
    assert scrolled(6, 2, 4, 12) == 2
    assert scrolled(10, 11, 4, 12) == 8
    assert scrolled(3, 0, 4, 2) == 0
    chart = make_chart(archives.FORKS)
    for lane in chart.lanes:
        state = MapState.opened(chart, 50, lane.timeline, None)
        rows = draw_map(chart, Known(), state.view, state.cursor, ASCII_SIGNS, height=5).rows
        assert f"[TL {lane.timeline}" in "\n".join(row.plain for row in rows)


def test_siblings_are_ordered_so_that_no_branch_crosses_a_lane() -> None:
    assert [lane.timeline for lane in make_chart(archives.FORKS).lanes] == [1, 2, 3, 5]


def test_damaged_history_that_makes_a_ring_is_drawn_all_the_same() -> None:
    ring = archives.picture(
        [
            archives.lane(2, (1, 4), parent=3, forked_at=archives.at(2)),
            archives.lane(3, (1, 4), parent=2, forked_at=archives.at(1)),
        ],
        windows=[archives.window(2, 1, 4)],
    )
    shown = rendered(Scene(ring), 60, ASCII_SIGNS)
    assert "TL 2" in shown
    assert "TL 3" in shown


def test_timeline_with_only_a_history_file_has_a_lane() -> None:
    bare = archives.picture(
        [archives.lane(1, (1, 9)), archives.lane(2, parent=1, forked_at=archives.at(4.5))]
    )
    state = opened(Scene(bare), 60).at(0, 2)
    assert state.cursor == Cursor(2, archives.at(4.5))


def test_what_a_fork_left_behind_is_reached_through_the_childs_file() -> None:
    chart = make_chart(archives.FORKS)
    assert chart.carrier(1, 20) == 2
    assert chart.carrier(1, 19) == 1
    assert chart.carrier(1, 21) is None
    assert chart.lane(1).end == archives.at(20.25)


def moves(*names: str) -> MapState:
    """Where keys lead on the forked archive."""
    chart = make_chart(archives.FORKS, (archives.incident(15, 1), archives.incident(36, 3)))
    state = MapState.opened(chart, 70, None, None)
    for name in names:
        method, _, number = name.partition(" ")
        step = getattr(state, method)
        state = step(int(number)) if number else step()
    return state


def test_cursor_opens_at_the_end_of_the_clusters_own_timeline() -> None:
    assert moves().cursor == Cursor(3, archives.at(41))


def test_segments_are_walked_by_their_beginnings() -> None:
    assert moves("by_segments -1").cursor.lsn == archives.at(40)
    state = moves("by_segments -1")
    inside = state.at(archives.at(35.5))
    assert inside.by_segments(-1).cursor.lsn == archives.at(35)
    assert inside.by_segments(1).cursor.lsn == archives.at(36)


def test_columns_are_walked_one_by_one_and_the_view_follows() -> None:
    state = moves()
    before = state.view.column(state.cursor.lsn)
    assert state.view.column(state.by_columns(-1).cursor.lsn) == before - 1
    near = state.at(archives.at(30)).zoomed(closer=True).zoomed(closer=True)
    for _ in range(200):
        near = near.by_columns(-1)
        assert near.view.shows(near.cursor.lsn)
    assert near.cursor.lsn == archives.at(26.5)  # where timeline 3 begins


def test_other_lanes_keep_the_place_and_coming_back_finds_it_again() -> None:
    state = moves().at(archives.at(35)).by_lanes(-1)
    assert state.cursor == Cursor(2, archives.at(30))
    assert state.by_lanes(1).cursor == Cursor(3, archives.at(35))


def test_zoom_keeps_the_cursor_in_its_column_and_ends_at_the_whole() -> None:
    state = moves().at(archives.at(33))
    column = state.view.column(state.cursor.lsn)
    for _ in range(12):
        state = state.zoomed(closer=True)
        assert abs(state.view.column(state.cursor.lsn) - column) <= 1
    assert state.cursor.lsn == archives.at(33)
    for _ in range(20):
        state = state.zoomed(closer=False)
    assert state.view == moves().view
    for _ in range(60):
        state = state.zoomed(closer=True)
    assert state.view.step == 8


def test_marks_are_walked_lane_by_lane_and_then_from_the_top() -> None:
    state = moves()
    first = state.next_mark(("incident",))
    assert first is not None
    assert first.timeline == 1
    second = state.at(first.lsn, 1).next_mark(("incident",))
    assert second is not None
    assert second.timeline == 3
    back = state.at(first.lsn, 1).next_mark(("incident",), back=True)
    assert back == second
    assert state.next_mark(("unusable",)) is None


def test_resizing_shows_the_same_part() -> None:
    state = moves().at(archives.at(33)).zoomed(closer=True).zoomed(closer=True)
    wide = state.resized(140)
    assert wide.view.first == state.view.first
    assert wide.view.step <= state.view.step / 2 + 8
    assert moves().resized(140).view.columns == 140


def test_reading_begins_at_the_cursor_then_samples_what_is_in_view_then_takes_the_rest() -> None:
    chart = make_chart(archives.HUGE)
    state = MapState.opened(chart, 70, 1, archives.at(70_000))
    known = Known()
    asked: set[tuple[int, int]] = set()
    first = next_portion(chart, known, state.view, state.cursor, range(2), 8)
    assert first is not None
    assert first[1][0] == 70_000
    for _ in range(40):
        portion = next_portion(chart, known, state.view, state.cursor, range(2), 64)
        assert portion is not None
        timeline, numbers = portion
        assert not asked & {(timeline, number) for number in numbers}
        asked |= {(timeline, number) for number in numbers}
        known.add(g for n in numbers for g in archives.glances(timeline, [1], n))
    columns = {state.view.column(archives.at(number)) for _, number in asked}
    assert len(columns) == 70


def test_everything_is_read_at_last_and_nothing_twice() -> None:
    chart = make_chart(archives.FORKS)
    state = MapState.opened(chart, 70, None, None)
    known = Known()
    while portion := next_portion(chart, known, state.view, state.cursor, range(4), 5):
        timeline, numbers = portion
        assert all(number not in known.lane(timeline).glances for number in numbers)
        known.add(g for n in numbers for g in archives.glances(timeline, [1], n))
    assert known.read == archives.FORKS.segments


def test_each_commit_is_read_only_where_a_segment_is_many_columns_wide() -> None:
    chart = make_chart(archives.ONE)
    state = MapState.opened(chart, 70, 1, archives.at(20.5))
    known = Known()
    assert fine_segments(chart, known, state.view, state.cursor) is None
    for _ in range(6):
        state = state.zoomed(closer=True)
    assert fine_segments(chart, known, state.view, state.cursor) == (1, (20,))
    found = tuple(archives.commit(20 + n / 10) for n in range(10))
    known.add_transactions(1, 20, found)
    rates = [
        known.rate(chart.lane(1), state.view.start(c), state.view.start(c + 1), archives.SIZE)
        for c in range(70)
    ]
    assert any(rate for rate in rates)
    assert any(rate == 0 for rate in rates)


def test_picture_without_lanes_makes_an_empty_chart() -> None:
    assert make_chart(replace(archives.EMPTY)).lanes == ()


def write() -> None:
    """Write what the maps look like now."""
    GOLDEN.mkdir(exist_ok=True)
    for name, scene in SCENES.items():
        for width in WIDTHS:
            for alphabet, signs in ALPHABETS.items():
                path = GOLDEN / f"{name}-{width}-{alphabet}.txt"
                path.write_text(rendered(scene, width, signs))


if __name__ == "__main__":
    write()
