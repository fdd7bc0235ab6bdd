"""What has been read so far; it grows while one looks at the map."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import accumulate

from pgrescue.history.model import NamedPoint, SegmentGlance
from pgrescue.plan.model import Transaction
from pgrescue.tui.timeline.chart import Lane

COARSEST = 4
"""Columns a segment, at least, from which on each commit is drawn where it is."""
_KEPT = 16
"""Segments whose every commit is kept."""


@dataclass(slots=True)
class KnownLane:
    """The segments of one timeline that have been read, in order."""

    glances: dict[int, SegmentGlance] = field(default_factory=dict)
    numbers: list[int] = field(default_factory=list)
    totals: list[int] = field(default_factory=lambda: [0])
    """Commits before each of them."""
    damaged: list[int] = field(default_factory=list)
    points: list[NamedPoint] = field(default_factory=list)
    times: list[tuple[int, datetime]] = field(default_factory=list)
    """When and where a first commit of a segment is."""

    def add(self, glances: Iterable[SegmentGlance]) -> None:
        """Take in more segments."""
        new = {glance.number: glance for glance in glances if glance.number not in self.glances}
        self.glances |= new
        self.numbers += new
        self.numbers.sort()
        commits = (self.glances[number].commits for number in self.numbers)
        self.totals = [0, *accumulate(commits)]
        self.damaged = sorted([*self.damaged, *(n for n, g in new.items() if g.problem)])
        for glance in new.values():
            self.points += glance.restore_points
            if glance.first_commit is not None:
                self.times.append((int(glance.first_commit.lsn), glance.first_commit.time))
        self.points.sort(key=lambda point: point.lsn)
        self.times.sort()

    def counted(self, first: int, last: int) -> tuple[int, int]:
        """How many of the segments `first` to `last` have been read, and their commits."""
        low = bisect_left(self.numbers, first)
        high = bisect_left(self.numbers, last + 1, lo=low)
        return high - low, self.totals[high] - self.totals[low]

    def is_damaged(self, first: int, last: int) -> bool:
        """Whether recovery cannot get through one of the segments `first` to `last`."""
        at = bisect_left(self.damaged, first)
        return at < len(self.damaged) and self.damaged[at] <= last

    def points_between(self, low: int, high: int) -> Sequence[NamedPoint]:
        """The restore points from `low` up to but without `high`."""
        first = bisect_left(self.points, low, key=_position)
        return self.points[first : bisect_left(self.points, high, lo=first, key=_position)]


class Known:
    """All of it, by timeline; and for a few segments each commit."""

    def __init__(self, glances: Iterable[SegmentGlance] = ()) -> None:
        self._lanes: dict[int, KnownLane] = {}
        self._exact: dict[tuple[int, int], tuple[Transaction, ...]] = {}
        self._positions: dict[tuple[int, int], list[int]] = {}
        self.add(glances)

    def add(self, glances: Iterable[SegmentGlance]) -> None:
        """Take in more segments."""
        by_timeline: dict[int, list[SegmentGlance]] = {}
        for glance in glances:
            by_timeline.setdefault(glance.timeline, []).append(glance)
        for timeline, some in by_timeline.items():
            self._lanes.setdefault(timeline, KnownLane()).add(some)

    def add_transactions(self, timeline: int, number: int, found: tuple[Transaction, ...]) -> None:
        """Take in every commit of one segment; those read longest ago are forgotten."""
        key = timeline, number
        self._exact.pop(key, None)
        self._exact[key] = found
        self._positions[key] = [int(transaction.lsn) for transaction in found]
        while len(self._exact) > _KEPT:
            oldest = next(iter(self._exact))
            del self._exact[oldest], self._positions[oldest]

    def lane(self, timeline: int) -> KnownLane:
        """What is known of a timeline; nothing, perhaps."""
        return self._lanes.get(timeline) or KnownLane()

    def transactions(self, timeline: int, number: int) -> tuple[Transaction, ...] | None:
        """Every commit of a segment; None if it has not been read for that."""
        return self._exact.get((timeline, number))

    @property
    def read(self) -> int:
        """How many segments have been read."""
        return sum(len(lane.numbers) for lane in self._lanes.values())

    def rate(self, lane: Lane, low: int, high: int, size: int) -> float | None:
        """Commits per byte from `low` up to `high`; None if nothing there has been read."""
        first, last = low // size, (high - 1) // size
        # From further away averages would stand beside exact numbers, and not compare.
        is_fine = first == last and (high - low) * COARSEST <= size
        exact = self._positions.get((lane.timeline, first)) if is_fine else None
        if exact is not None:
            return (bisect_left(exact, high) - bisect_left(exact, low)) / (high - low)
        read, commits = self.lane(lane.timeline).counted(first, last)
        return commits / (read * size) if read else None


def _position(point: NamedPoint) -> int:
    return int(point.lsn)
