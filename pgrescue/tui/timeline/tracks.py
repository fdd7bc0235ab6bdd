"""The two rows of a lane: what lies along it, and its WAL."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pgrescue.tui.timeline.chart import Chart, Lane, marks_between
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.signs import STYLES, Signs
from pgrescue.tui.timeline.viewport import Viewport

Cell = tuple[str, str]
BLANK: Cell = (" ", "")


@dataclass(slots=True)
class Grid:
    """Cells of the map while it is being drawn."""

    signs: Signs
    rows: list[list[Cell]]
    used: set[str] = field(default_factory=set)
    """Names of the signs in it."""

    @classmethod
    def blank(cls, signs: Signs, height: int, width: int) -> Grid:
        """Nothing yet."""
        return cls(signs, [[BLANK] * width for _ in range(height)])

    def put(self, row: int, column: int, name: str, sign: str | None = None) -> None:
        """A sign, by its name in the alphabet."""
        self.used.add(name)
        shown = sign if sign is not None else str(getattr(self.signs, name))
        self.rows[row][column] = shown, STYLES.get(name, "")

    def write(self, row: int, column: int, text: str, style: str = "") -> None:
        """Words; what does not fit is cut off."""
        cells = self.rows[row]
        for at, letter in enumerate(text, column):
            if 0 <= at < len(cells):
                cells[at] = letter, style


@dataclass(frozen=True, slots=True)
class Tracks:
    """What all lanes of one map have in common."""

    chart: Chart
    known: Known
    view: Viewport
    grid: Grid
    left: int
    """Where the map's first column is in the grid."""
    peak: float
    """Commits per byte that fill a cell."""

    def draw(self, lane: Lane, row: int) -> None:
        """Draw a lane: events at `row`, WAL below it."""
        for column in self._columns(lane):
            low, high = self._bounds(lane, column)
            at = self.left + column
            event = self._event(lane, low, high)
            if event is not None:
                self.grid.put(row, at, event)
            self._wal(lane, low, high, row + 1, at)
        if lane.begin < self.view.first and lane.end > lane.begin:
            self.grid.put(row + 1, self.left - 1, "before")
        if lane.end > self.view.last:
            self.grid.put(row + 1, self.left + self.view.columns, "after")

    def connect(self, lane: Lane, top: int, bottom: int) -> None:
        """The line from the parent's track, at row `top`, to this lane's beginning."""
        column = self.view.column(lane.begin)
        if not 0 <= column < self.view.columns:
            return
        at = self.left + column
        for row in range(max(top + 1, 0), bottom):
            if self.grid.rows[row][at] == (" ", ""):
                self.grid.put(row, at, "down")
        self.grid.put(bottom, at, "corner")

    def _columns(self, lane: Lane) -> range:
        first = max(self.view.column(lane.begin), 0)
        return range(first, min(self.view.column(lane.end) + 1, self.view.columns))

    def _bounds(self, lane: Lane, column: int) -> tuple[int, int]:
        low = max(self.view.start(column), lane.begin)
        return low, max(self.view.start(column + 1), low + 1)

    def _event(self, lane: Lane, low: int, high: int) -> str | None:
        kinds = {mark.kind for mark in marks_between(lane.marks, low, high)}
        if "incident" in kinds:
            return "incident"
        if self.known.lane(lane.timeline).points_between(low, high):
            return "point"
        return next((kind for kind in ("backup", "unusable") if kind in kinds), None)

    def _wal(self, lane: Lane, low: int, high: int, row: int, at: int) -> None:
        size = self.chart.segment_size
        grid = self.grid
        if lane.missing.touches(low, high):
            grid.put(row, at, "missing")
        elif self.known.lane(lane.timeline).is_damaged(low // size, (high - 1) // size):
            grid.put(row, at, "damaged")
        elif any(low <= position < high for position, _ in lane.forks):
            grid.put(row, at, "fork")
        elif not lane.present.touches(low, high):
            return
        elif not lane.reach.touches(low, high):
            grid.put(row, at, "unreachable")
        else:
            rate = self.known.rate(lane, low, high, size)
            if rate is None:
                grid.put(row, at, "unread")
            elif not rate:
                grid.put(row, at, "none")
            else:
                grid.put(row, at, "level", self._level(rate))

    def _level(self, rate: float) -> str:
        levels = self.grid.signs.levels
        return levels[min(int(rate / self.peak * len(levels)), len(levels) - 1)]


def rates(chart: Chart, known: Known, view: Viewport, lanes: list[Lane]) -> Iterator[float]:
    """How dense the commits are in each column of these lanes, where that has been read."""
    for lane in lanes:
        for column in range(view.columns):
            low = max(view.start(column), lane.begin)
            high = view.start(column + 1)
            if low < high and lane.reach.touches(low, high):
                rate = known.rate(lane, low, high, chart.segment_size)
                if rate is not None:
                    yield rate
