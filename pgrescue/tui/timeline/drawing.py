"""The map: from what is known to rows of text, for any width and height."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter

from rich.text import Text

from pgrescue.tui.timeline.chart import Chart, Lane, marks_between
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.rulers import Tick, lsn_ticks, time_ticks
from pgrescue.tui.timeline.signs import Signs
from pgrescue.tui.timeline.tracks import Cell, Grid, Tracks, rates
from pgrescue.tui.timeline.viewport import Viewport

ROWS_OF_LANE = 2
_FRAME = 3
"""Rows around the lanes: the cursor's sign above, two rulers below."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where one is: a position on a timeline."""

    timeline: int
    lsn: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """The rows, and what the legend has to explain."""

    rows: tuple[Text, ...]
    used: frozenset[str]
    """Names of the signs on it."""
    peak: int
    """Commits in a column of the highest level."""
    first_lane: int
    last_lane: int
    """Which lanes are on it."""


def columns_for(chart: Chart, width: int) -> int:
    """How many columns of the log a map of that width has."""
    return max(width - chart.gutter - 1, 1)


def lanes_for(height: int) -> int:
    """How many lanes fit a map of that height."""
    return max((height - _FRAME) // ROWS_OF_LANE, 1)


def draw_map(
    chart: Chart,
    known: Known,
    view: Viewport,
    cursor: Cursor,
    signs: Signs,
    *,
    height: int,
    top: int = 0,
) -> Drawing:
    """Draw the lanes from `top` on, as many as fit; the cursor's lane is always among them."""
    fitting = lanes_for(height)
    top = scrolled(top, chart.rows[cursor.timeline], fitting, len(chart.lanes))
    lanes = list(chart.lanes[top : top + fitting])
    grid = Grid.blank(signs, len(lanes) * ROWS_OF_LANE + _FRAME, chart.gutter + view.columns + 1)
    peak = max(rates(chart, known, view, lanes), default=0.0)
    tracks = Tracks(chart, known, view, grid, chart.gutter, peak or 1.0)
    for index, lane in enumerate(lanes):
        row = 1 + index * ROWS_OF_LANE
        tracks.draw(lane, row)
        _label(grid, row + 1, chart, lane.timeline, chosen=lane.timeline == cursor.timeline)
    for index, lane in enumerate(lanes):
        if lane.parent is not None and lane.parent in chart.rows:
            parent = chart.rows[lane.parent] - top
            above = 1 + parent * ROWS_OF_LANE + 1
            tracks.connect(lane, above, 1 + index * ROWS_OF_LANE + 1)
    _ruler(grid, len(grid.rows) - 2, chart.gutter, "LSN", lsn_ticks(view))
    times = times_of(chart, known, cursor.timeline, view.first, view.last)
    _ruler(grid, len(grid.rows) - 1, chart.gutter, "UTC", time_ticks(view, times))
    column = view.column(cursor.lsn)
    if 0 <= column < view.columns:
        _point_at(grid, chart.gutter + column)
    return Drawing(
        tuple(_text(cells) for cells in grid.rows),
        frozenset(grid.used),
        max(round(peak * view.step), 1),
        top,
        top + len(lanes) - 1,
    )


def scrolled(top: int, wanted: int, fitting: int, total: int) -> int:
    """The first lane to show so that `wanted` is in view; moved no more than need be."""
    top = min(top, wanted)
    top = max(top, wanted - fitting + 1)
    return max(min(top, total - fitting), 0)


def times_of(
    chart: Chart, known: Known, timeline: int, low: int, high: int
) -> list[tuple[int, datetime]]:
    """When and where something was committed, from all that tells; before a fork on the parent."""
    found: list[tuple[int, datetime]] = []
    seen: set[int] = set()
    waiting: int | None = timeline
    while waiting is not None and waiting in chart.rows and waiting not in seen and low < high:
        seen.add(waiting)
        lane = chart.lane(waiting)
        begin = max(low, lane.begin) if lane.parent is not None else low
        found += _own_times(chart, known, lane, begin, high)
        high, waiting = min(high, lane.begin), lane.parent
    return sorted(found)


def _own_times(
    chart: Chart, known: Known, lane: Lane, low: int, high: int
) -> Iterator[tuple[int, datetime]]:
    learned = known.lane(lane.timeline)
    times = learned.times
    first = bisect_left(times, low, key=itemgetter(0))
    yield from times[first : bisect_left(times, high, lo=first, key=itemgetter(0))]
    for commit in lane.commits:
        if low <= commit.lsn < high:
            yield int(commit.lsn), commit.time
    for point in learned.points_between(low, high):
        yield int(point.lsn), point.time
    for mark in marks_between(lane.marks, low, high):
        if mark.kind == "incident" and chart.incidents is not None:
            yield mark.lsn, chart.incidents[mark.index].time


def _label(grid: Grid, row: int, chart: Chart, timeline: int, *, chosen: bool) -> None:
    name = f"TL {timeline}"
    grid.write(row, 1, name, "bold" if chosen else "")
    end = 1 + len(name)
    if timeline == chart.picture.current_timeline:
        grid.put(row, end, "current")
        end += 1
    if chosen:
        grid.write(row, 0, "[", "bold")
        grid.write(row, end, "]", "bold")


def _ruler(grid: Grid, row: int, left: int, title: str, ticks: Iterable[Tick]) -> None:
    grid.write(row, 1, title)
    for column, label in ticks:
        grid.write(row, left + column, grid.signs.down + label)


def _point_at(grid: Grid, column: int) -> None:
    grid.put(0, column, "cursor")
    for cells in grid.rows[1:-2]:
        sign, style = cells[column]
        cells[column] = sign, f"{style} reverse".strip()


def _text(cells: list[Cell]) -> Text:
    text = Text(no_wrap=True)
    run, style = "", ""
    for sign, own in cells:
        if own != style:
            text.append(run, style)
            run, style = "", own
        run += sign
    text.append(run, style)
    return text
