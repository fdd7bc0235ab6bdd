"""The next commit, wherever it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from pgrescue.plan.model import Transaction
from pgrescue.tui.timeline.chart import Chart, Lane
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.known import Known

_AT_ONCE = 64
"""Segments to read for one key, at most."""
_SKIPPED = 65536


@dataclass(frozen=True, slots=True)
class CommitSearch:
    """What was found, and what was read for it."""

    forward: bool
    commit: Transaction | None
    reached: int
    """Without a commit: the position up to which there is none."""
    whole: bool
    """Whether the search came to the end of the timeline."""
    read: tuple[tuple[int, int, tuple[Transaction, ...]], ...]


def search_commit(
    chart: Chart,
    known: Known,
    cursor: Cursor,
    read: Callable[[int, int], tuple[Transaction, ...]],
    *,
    forward: bool,
) -> CommitSearch:
    """The commit next to the cursor on its timeline; segments known to have none are not read."""
    lane, size = chart.lane(cursor.timeline), chart.segment_size
    looked_at: list[tuple[int, int, tuple[Transaction, ...]]] = []
    reached = cursor.lsn
    for number in islice(_numbers(chart, lane, cursor.lsn // size, forward=forward), _SKIPPED):
        carrier = chart.carrier(lane.timeline, number)
        if carrier is None:
            continue
        glance = known.lane(carrier).glances.get(number)
        if glance is None or glance.commits:
            if len(looked_at) == _AT_ONCE:
                return CommitSearch(forward, None, reached, False, tuple(looked_at))
            there = known.transactions(carrier, number)
            if there is None:
                there = read(carrier, number)
                looked_at.append((carrier, number, there))
            end = _end_of_part(lane, carrier)
            own = [t for t in there if lane.begin <= t.lsn < end]
            beyond = [t for t in own if (t.lsn > cursor.lsn if forward else t.lsn < cursor.lsn)]
            if beyond:
                found = beyond[0] if forward else beyond[-1]
                return CommitSearch(forward, found, int(found.lsn), False, tuple(looked_at))
        reached = (number + 1) * size if forward else number * size
    return CommitSearch(forward, None, reached, True, tuple(looked_at))


def _numbers(chart: Chart, lane: Lane, middle: int, *, forward: bool) -> Iterator[int]:
    """The lane's segments from the cursor's on, those that only a child's file carries too."""
    carried = {position // chart.segment_size for position, _ in lane.forks}
    carried = {n for n in carried if not lane.files.touches(n, n + 1)}
    if forward:
        spans = lane.files.within(middle, 1 << 62)
        numbers = (number for start, end in spans for number in range(start, end))
    else:
        spans = lane.files.within(0, middle + 1)
        numbers = (n for start, end in reversed(spans) for n in range(end - 1, start - 1, -1))
    waiting = sorted(
        (n for n in carried if (n >= middle if forward else n <= middle)), reverse=not forward
    )
    for number in numbers:
        while waiting and (waiting[0] < number if forward else waiting[0] > number):
            yield waiting.pop(0)
        yield number
    yield from waiting


def _end_of_part(lane: Lane, carrier: int) -> int:
    """Up to where a file holds this lane's WAL: a child's only up to the fork."""
    forks = [position for position, child in lane.forks if child == carrier]
    return forks[0] if carrier != lane.timeline and forks else 1 << 64
