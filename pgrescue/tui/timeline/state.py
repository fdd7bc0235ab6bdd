"""Where one is on the map, and every move; the screen only holds the last of these states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain

from pgrescue.tui.timeline.chart import Chart, Lane, Mark, MarkKind
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.viewport import Viewport


@dataclass(frozen=True, slots=True)
class MapState:
    """Chart, viewport and cursor."""

    chart: Chart
    view: Viewport
    cursor: Cursor
    goal: int
    """The position that one was at before moving to lanes that do not have it."""

    @classmethod
    def opened(cls, chart: Chart, columns: int, timeline: int | None, lsn: int | None) -> MapState:
        """The whole, the cursor at a position or at the end of the cluster's timeline."""
        current = chart.picture.current_timeline
        chosen = next(
            (t for t in (timeline, current) if t in chart.rows and t is not None),
            max(chart.lanes, key=lambda lane: lane.end).timeline,
        )
        lane = chart.lane(chosen)
        position = lane.end if lsn is None or timeline != chosen else _clamp(lsn, lane)
        view = Viewport.whole(chart.low, chart.high, columns)
        return cls(chart, view, Cursor(chosen, position), position)

    @property
    def lane(self) -> Lane:
        """The cursor's lane."""
        return self.chart.lane(self.cursor.timeline)

    @property
    def is_at_the_end(self) -> bool:
        """Whether the cursor is behind the last WAL of a timeline that is reachable up to there.

        There is no record to stop at: as a target this is `latest`.
        """
        end = self.lane.end
        return self.cursor.lsn == end and self.lane.reach.touches(end - 1, end)

    def at(self, lsn: int, timeline: int | None = None) -> MapState:
        """The cursor at a position of a timeline, as far as that has it; in view."""
        lane = self.lane if timeline is None else self.chart.lane(timeline)
        position = _clamp(lsn, lane)
        cursor = Cursor(lane.timeline, position)
        return replace(self, cursor=cursor, goal=position, view=self.view.showing(position))

    def by_columns(self, count: int) -> MapState:
        """Left or right; to the beginning of that column."""
        return self.at(self.view.start(self.view.column(self.cursor.lsn) + count))

    def by_segments(self, count: int) -> MapState:
        """To the beginning of the next segment, or of this one or the previous one."""
        size = self.chart.segment_size
        number = self.cursor.lsn // size
        inside = self.cursor.lsn % size > 0
        return self.at((number + count + (1 if count < 0 and inside else 0)) * size)

    def by_lanes(self, count: int) -> MapState:
        """Up or down; coming back, one is where one was."""
        row = self.chart.rows[self.cursor.timeline] + count
        lane = self.chart.lanes[min(max(row, 0), len(self.chart.lanes) - 1)]
        return replace(self.at(self.goal, lane.timeline), goal=self.goal)

    def zoomed(self, *, closer: bool) -> MapState:
        """Twice as close to the cursor, or half."""
        view, whole = self.view.showing(self.cursor.lsn), self._whole()
        step = view.step // 2 if closer else view.step * 2
        if step >= whole.step:
            return replace(self, view=whole)
        return replace(self, view=view.zoomed(step, self.cursor.lsn))

    def whole(self) -> MapState:
        """Everything."""
        return replace(self, view=self._whole())

    def at_end(self, *, last: bool) -> MapState:
        """The lane's beginning or its end."""
        return self.at(self.lane.end if last else self.lane.begin)

    def resized(self, columns: int) -> MapState:
        """On a screen of another width."""
        is_whole = self.view == self._whole()
        view = Viewport.whole(self.chart.low, self.chart.high, columns)
        return replace(self, view=view if is_whole else self.view.resized(columns))

    def with_chart(self, chart: Chart) -> MapState:
        """The same place on a newer picture."""
        if self.cursor.timeline not in chart.rows:
            return MapState.opened(chart, self.view.columns, None, None)
        is_whole = self.view == self._whole()
        newer = replace(self, chart=chart).at(self.cursor.lsn)
        return newer.whole() if is_whole else newer

    def next_mark(self, kinds: tuple[MarkKind, ...], *, back: bool = False) -> Mark | None:
        """The next thing of that kind: on this lane, then on those below, then from the top."""
        marks = self.chart.marks(kinds)
        here = self.chart.rows[self.cursor.timeline], self.cursor.lsn
        if back:
            before = [mark for row, mark in marks if (row, mark.lsn) < here]
            after = [mark for row, mark in marks if (row, mark.lsn) > here]
            return next(chain(reversed(before), reversed(after)), None)
        after = [mark for row, mark in marks if (row, mark.lsn) > here]
        return next(chain(after, (mark for _, mark in marks)), None)

    def _whole(self) -> Viewport:
        return Viewport.whole(self.chart.low, self.chart.high, self.view.columns)


def _clamp(lsn: int, lane: Lane) -> int:
    return min(max(lsn, lane.begin), lane.end)
