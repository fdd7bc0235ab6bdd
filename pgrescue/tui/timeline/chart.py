"""The picture of an archive made ready for drawing: lanes in order, and stretches to ask about."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pgrescue.history.model import Incident, RecoverableWindow, TimelineLane, TimelinePicture
from pgrescue.plan.model import Transaction
from pgrescue.tui.timeline.spans import Spans
from pgrescue.wal.segment import SegmentId

MarkKind = Literal["incident", "backup", "unusable", "point"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Something at one position of a timeline."""

    lsn: int
    kind: MarkKind
    timeline: int
    index: int
    """Which of the picture's backups, or of the incidents."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One timeline as it is drawn."""

    timeline: int
    parent: int | None
    begin: int
    """Where it left its parent, or its first position that is known."""
    end: int
    files: Spans
    """Numbers of the segments that are there."""
    present: Spans
    """Positions of the WAL that is there; the part that a child's first segment carries too."""
    reach: Spans
    """Positions to which some backup can be recovered."""
    missing: Spans
    forks: tuple[tuple[int, int], ...]
    """Positions at which others left it, and which."""
    marks: tuple[Mark, ...]
    commits: tuple[Transaction, ...]
    """Its first and last, as far as they are known."""


@dataclass(frozen=True, slots=True)
class Chart:
    """Everything that does not change while one looks around."""

    picture: TimelinePicture
    incidents: tuple[Incident, ...] | None
    """None: nobody has looked for them yet."""
    lanes: tuple[Lane, ...]
    """Each below its parent; of siblings the one that left last comes first: no lines cross."""
    rows: Mapping[int, int]
    """Where each timeline is among them."""
    low: int
    high: int

    @property
    def segment_size(self) -> int:
        """Bytes of a segment."""
        return self.picture.segment_size

    @property
    def gutter(self) -> int:
        """Columns left of the map."""
        return 7 + max((len(str(lane.timeline)) for lane in self.lanes), default=1)

    def lane(self, timeline: int) -> Lane:
        """A timeline's lane."""
        return self.lanes[self.rows[timeline]]

    def carrier(self, timeline: int, number: int) -> int | None:
        """The timeline whose file holds this timeline's part of a segment; None if none does.

        A timeline's last segment is often there only as its child's first one.
        """
        lane = self.lane(timeline)
        if lane.files.touches(number, number + 1):
            return timeline
        for position, child in lane.forks:
            if position // self.segment_size == number and self.lane(child).files.touches(
                number, number + 1
            ):
                return child
        return None

    def marks(self, kinds: Sequence[MarkKind]) -> list[tuple[int, Mark]]:
        """All marks of these kinds in the order of the map, with their lanes' rows."""
        return [
            (row, mark)
            for row, lane in enumerate(self.lanes)
            for mark in lane.marks
            if mark.kind in kinds
        ]


def make_chart(picture: TimelinePicture, incidents: tuple[Incident, ...] | None = None) -> Chart:
    """Prepare a picture; once for each picture, not for each repaint."""
    sources = {lane.info.id: lane for lane in picture.lanes}
    order = _in_order(sources)
    reach = _reach(picture.windows, sources)
    missing = _missing(picture)
    marks = _marks(picture, incidents or ())
    lanes = tuple(
        _lane(sources[t], sources, picture.segment_size, (reach[t], missing.get(t, [])), marks[t])
        for t in order
    )
    drawn = [lane for lane in lanes if lane.end > lane.begin] or list(lanes)
    return Chart(
        picture=picture,
        incidents=incidents,
        lanes=lanes,
        rows={lane.timeline: row for row, lane in enumerate(lanes)},
        low=min((lane.begin for lane in drawn), default=0),
        high=max((lane.end for lane in drawn), default=0),
    )


def _in_order(sources: Mapping[int, TimelineLane]) -> list[int]:
    """Depth first; a history file that names no ancestor that is there makes a root."""
    children: dict[int | None, list[int]] = {}
    for timeline, lane in sources.items():
        parent = lane.info.parent if lane.info.parent in sources else None
        children.setdefault(parent, []).append(timeline)
    order: list[int] = []
    waiting = sorted(children.get(None, []), reverse=True)
    while waiting:
        timeline = waiting.pop()
        order.append(timeline)
        waiting += sorted(
            children.get(timeline, []), key=lambda t: (sources[t].info.forked_at or 0, t)
        )
    # Damaged history files can make a ring, which has no root.
    return [*order, *sorted(set(sources) - set(order))]


def _lane(
    source: TimelineLane,
    sources: Mapping[int, TimelineLane],
    size: int,
    stretches: tuple[list[tuple[int, int]], list[tuple[int, int]]],
    marks: Iterable[Mark],
) -> Lane:
    info = source.info
    reach, missing = stretches
    fork = int(info.forked_at or 0)
    forks = sorted(
        (int(other.info.forked_at), t)
        for t, other in sources.items()
        if other.info.parent == info.id and other.info.forked_at is not None and t != info.id
    )
    here = [(max(a * size, fork), (b + 1) * size) for a, b in source.ranges]
    for position, child in forks:
        number = position // size
        if any(a <= number <= b for a, b in sources[child].ranges):
            here.append((max(number * size, fork), position))
    present = Spans.of(here)
    places = tuple(sorted(marks, key=lambda mark: mark.lsn))
    known = [*present.starts[:1], *(mark.lsn for mark in places), *(a for a, _ in missing)]
    ends = [*present.ends[-1:], *(mark.lsn for mark in places), *(b for _, b in missing)]
    begin = fork or min(known, default=0)
    return Lane(
        timeline=info.id,
        parent=info.parent,
        begin=begin,
        end=max([begin, *ends]),
        files=Spans.of((a, b + 1) for a, b in source.ranges),
        present=present,
        reach=Spans.of((max(a, fork), b) for a, b in reach),
        missing=Spans.of((max(a, fork), b) for a, b in missing),
        forks=tuple(forks),
        marks=places,
        commits=tuple(c for c in (source.first_commit, source.last_commit) if c is not None),
    )


def _reach(
    windows: Iterable[RecoverableWindow], sources: Mapping[int, TimelineLane]
) -> dict[int, list[tuple[int, int]]]:
    """What the backups reach, on the timeline of each window and, before its fork, on those above.

    A target before the fork is the same state whichever of the timelines recovery aims at.
    """
    reach: dict[int, list[tuple[int, int]]] = {timeline: [] for timeline in sources}
    for window in windows:
        if window.from_lsn is None or window.to_lsn is None:
            continue
        timeline: int | None = window.timeline
        high, seen = int(window.to_lsn), set[int]()
        while timeline is not None and timeline in sources and timeline not in seen:
            if window.from_lsn >= high:
                break
            seen.add(timeline)
            reach[timeline].append((int(window.from_lsn), high))
            info = sources[timeline].info
            high = min(high, int(info.forked_at or 0))
            timeline = info.parent
    return reach


def _missing(picture: TimelinePicture) -> dict[int, list[tuple[int, int]]]:
    size = picture.segment_size
    found: dict[int, list[tuple[int, int]]] = {}
    for gap in picture.gaps:
        first, last = (SegmentId.parse(name, size).number for name in (gap.first, gap.last))
        found.setdefault(gap.timeline, []).append((first * size, (last + 1) * size))
    return found


def _marks(picture: TimelinePicture, incidents: Sequence[Incident]) -> dict[int, list[Mark]]:
    marks: dict[int, list[Mark]] = {lane.info.id: [] for lane in picture.lanes}
    for index, backup in enumerate(picture.backups):
        lsn = int(backup.start_lsn if backup.stop_lsn is None else backup.stop_lsn)
        mark = Mark(lsn, "backup" if backup.usable else "unusable", backup.timeline, index)
        marks.get(backup.timeline, []).append(mark)
    for index, incident in enumerate(incidents):
        mark = Mark(int(incident.lsn), "incident", incident.timeline, index)
        marks.get(incident.timeline, []).append(mark)
    return marks


def marks_between(marks: Sequence[Mark], low: int, high: int) -> Sequence[Mark]:
    """Those of a lane's marks that lie from `low` up to but without `high`."""
    first = bisect_left(marks, low, key=lambda mark: mark.lsn)
    return marks[first : bisect_left(marks, high, lo=first, key=lambda mark: mark.lsn)]
