"""Which segments to read next, so that the map fills in where one is looking."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from pgrescue.tui.timeline.chart import Chart, Lane
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.known import COARSEST, Known, KnownLane
from pgrescue.tui.timeline.viewport import Viewport

Portion = tuple[int, tuple[int, ...]]
"""A timeline, and numbers of its segments."""
_SAMPLES = (1, 4, 16)
"""How many segments of each column to read, round by round, before the rest."""


def next_portion(
    chart: Chart, known: Known, view: Viewport, cursor: Cursor, lanes: range, count: int
) -> Portion | None:
    """At most `count` segments of one timeline; None if everything has been read.

    The cursor's own comes first, then a few of each column in view, those near the cursor first,
    then all of them.
    """
    own = chart.lane(cursor.timeline)
    others = [chart.lanes[row] for row in lanes if chart.lanes[row] is not own]
    hidden = [lane for row, lane in enumerate(chart.lanes) if row not in lanes and lane is not own]
    for samples in _SAMPLES:
        for lane in (own, *others):
            wanted = _samples(chart, known.lane(lane.timeline), lane, view, cursor, samples)
            if numbers := tuple(islice(wanted, count)):
                return lane.timeline, numbers
    for lane in (own, *others, *hidden):
        rest = _outwards(lane, known.lane(lane.timeline), cursor.lsn // chart.segment_size)
        if numbers := tuple(islice(rest, count)):
            return lane.timeline, numbers
    return None


def _samples(
    chart: Chart, known: KnownLane, lane: Lane, view: Viewport, cursor: Cursor, samples: int
) -> Iterator[int]:
    size = chart.segment_size
    middle = view.column(cursor.lsn)
    seen: set[int] = set()
    if lane.timeline == cursor.timeline:
        number = cursor.lsn // size
        if lane.files.touches(number, number + 1) and number not in known.glances:
            seen.add(number)
            yield number
    for column in sorted(range(view.columns), key=lambda c: abs(c - middle)):
        low = view.start(column) // size
        high = (view.start(column + 1) - 1) // size + 1
        parts = lane.files.within(low, high)
        there = sum(end - start for start, end in parts)
        have = known.counted(low, high - 1)[0]
        for number in _spread(parts, there, min(samples, there) if have < samples else 0):
            if number not in known.glances and number not in seen:
                seen.add(number)
                yield number


def _spread(parts: list[tuple[int, int]], there: int, count: int) -> Iterator[int]:
    """Numbers spread evenly over these stretches."""
    for turn in range(count):
        index = (2 * turn + 1) * there // (2 * count)
        for start, end in parts:
            if index < end - start:
                yield start + index
                break
            index -= end - start


def _outwards(lane: Lane, known: KnownLane, middle: int) -> Iterator[int]:
    """What has not been read yet, from the middle outwards."""
    up = (
        number
        for start, end in lane.files.within(middle, 1 << 62)
        for number in range(start, end)
        if number not in known.glances
    )
    down = (
        number
        for start, end in reversed(lane.files.within(0, middle))
        for number in range(end - 1, start - 1, -1)
        if number not in known.glances
    )
    above, below = next(up, None), next(down, None)
    while above is not None or below is not None:
        if below is None or (above is not None and above - middle <= middle - below):
            assert above is not None
            yield above
            above = next(up, None)
        else:
            yield below
            below = next(down, None)


def fine_segments(chart: Chart, known: Known, view: Viewport, cursor: Cursor) -> Portion | None:
    """The segment in view, nearest to the cursor, of which each commit should be read now.

    None at scales at which a segment is no wider than a few columns.
    """
    size = chart.segment_size
    if view.step * COARSEST > size:
        return None
    lane = chart.lane(cursor.timeline)
    numbers = range(view.first // size, (view.last - 1) // size + 1)
    middle = cursor.lsn // size
    nearest = sorted(numbers, key=lambda number: abs(number - middle))[:_FINE_IN_VIEW]
    for number in nearest:
        there = lane.files.touches(number, number + 1)
        if there and known.transactions(lane.timeline, number) is None:
            return lane.timeline, (number,)
    return None


_FINE_IN_VIEW = 8
