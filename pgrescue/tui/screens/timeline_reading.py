"""What the timeline screen asks for in the background, a little at a time."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

from textual.timer import Timer

from pgrescue.errors import PgRescueError
from pgrescue.history.model import CursorView, Incident, SegmentGlance, TimelinePicture
from pgrescue.plan.model import Transaction
from pgrescue.postgres.lsn import Lsn
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.timeline.chart import Chart, make_chart
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.reading import fine_segments, next_portion
from pgrescue.tui.timeline.state import MapState
from pgrescue.tui.view import ClusterGlance

_NAMES = "Reading the archive's names"
_SEGMENTS = "Reading segments"
_POSITION = "Looking at the position"
_QUIET = 0.15
"""Seconds that the cursor rests before anybody asks what its position keeps."""
_PORTION_SECONDS = 0.5
_PORTIONS = (8, 2048)


class TimelineReading(RescueScreen):
    """Names first, then segments where one is looking; one portion a second, never two at once."""

    def __init__(
        self,
        glance: ClusterGlance,
        place: Cursor | None,
        incidents: tuple[Incident, ...] | None,
    ) -> None:
        super().__init__()
        self.glance = glance
        self.state: MapState | None = None
        self.known = Known()
        self.outcome: CursorView | None = None
        """What a recovery to the cursor keeps, once that is known."""
        self.problem = ""
        """Why that cannot be told."""
        self.trouble = ""
        """Why no more segments are read."""
        self.lanes_in_view = range(0)
        self._incidents = incidents
        self._place = place
        self._portion = _PORTIONS[0]
        self._reading = False
        self._asking: Cursor | None = None
        self._rest: Timer | None = None

    def paint(self) -> None:
        """Show how things stand."""
        raise NotImplementedError

    def columns(self) -> int:
        """How many columns the map has, for the chart that is there."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Read the names, then a portion of segments each second."""
        self.set_interval(1.0, self._read_on)
        self.action_refresh()

    def action_refresh(self) -> None:
        """Look at the archive again."""
        self.trouble = ""
        name, incidents = self.glance.name, self._incidents
        self.errand(_NAMES, lambda: make_chart(self.bridge.timeline(name), incidents), self._named)

    def go_to(self, place: Cursor | None, incidents: tuple[Incident, ...] | None) -> None:
        """Show another place, or incidents that have been found."""
        self._place, self._incidents = place, incidents
        if self.state is None:
            return
        if incidents is not None and incidents != self.state.chart.incidents:
            chart = make_chart(self.state.chart.picture, incidents)
            self.state = self.state.with_chart(chart)
        if place is not None and place.timeline in self.state.chart.rows:
            self.moved(self.state.at(place.lsn, place.timeline))
        self.paint()

    def moved(self, state: MapState) -> None:
        """The cursor has gone somewhere else, perhaps."""
        same = self.state is not None and self.state.cursor == state.cursor
        self.state = state
        if not same:
            self.outcome, self.problem = None, ""
            if self._rest is not None:
                self._rest.stop()
            self._rest = self.set_timer(_QUIET, self._ask)
        self.paint()

    def failed(self, name: str, error: PgRescueError) -> None:
        """Errors of the background are told in place; the keyboard goes on."""
        words = f"{error.title} {error.cause}".strip()
        if name == _POSITION:
            asked, self._asking = self._asking, None
            if self.state is not None and asked == self.state.cursor:
                self.problem = words
            else:
                self._ask()
            self.paint()
        elif name == _SEGMENTS:
            self._reading, self.trouble = False, words
            self.paint()
        else:
            if name == _NAMES and self.state is None:
                self.trouble = words
                self.paint()
            super().failed(name, error)

    def _named(self, chart: Chart) -> None:
        if chart.incidents != self._incidents:  # they were found while the names were read
            chart = make_chart(chart.picture, self._incidents)
        self.known, self._reading = Known(), False
        if not chart.lanes:
            self.state, self.trouble = None, _nothing(chart.picture)
            self.paint()
            return
        if self.state is not None:
            state = self.state.with_chart(chart)
        else:
            place = self._place
            timeline, lsn = (place.timeline, place.lsn) if place else (None, None)
            state = MapState.opened(chart, 1, timeline, lsn)
        self.state, self.outcome, self.problem = state, None, ""
        self.state = state.resized(self.columns())
        self._ask()
        self.paint()
        self._read_on()

    def _ask(self) -> None:
        """What does the cursor's position keep? One question at a time; the newest counts."""
        known = self.outcome is not None or bool(self.problem)
        if self.state is None or self._asking is not None or known:
            return
        cursor = self._asking = self.state.cursor
        work = partial(self.bridge.at_position, self.glance.name, cursor.timeline, Lsn(cursor.lsn))
        self.errand(_POSITION, work, self._told)

    def _told(self, view: CursorView) -> None:
        asked, self._asking = self._asking, None
        if self.state is None or asked != self.state.cursor:
            self._ask()
            return
        self.outcome = view
        self.paint()

    def _read_on(self) -> None:
        state = self.state
        if state is None or self._reading or self.trouble or not self.is_current:
            return
        chart, known, name = state.chart, self.known, self.glance.name
        fine = fine_segments(chart, known, state.view, state.cursor)
        if fine is not None:
            timeline, (number, *_) = fine
            self._reading = True
            read = partial(self.bridge.transactions, name, timeline, number)
            self.errand(_SEGMENTS, read, partial(self._read_finely, known, timeline, number))
            return
        portion = next_portion(
            chart, known, state.view, state.cursor, self.lanes_in_view, self._portion
        )
        if portion is not None:
            self._reading = True
            glances = partial(self.bridge.read_segments, name, *portion)
            self.errand(_SEGMENTS, partial(_timed, glances), partial(self._read, known, portion[1]))

    def _read(
        self, known: Known, wanted: tuple[int, ...], answer: tuple[tuple[SegmentGlance, ...], float]
    ) -> None:
        if known is not self.known:  # the names have been read again meanwhile
            return
        glances, seconds = answer
        self._reading = False
        known.add(glances)
        if not {glance.number for glance in glances} >= set(wanted):
            self.trouble = "some segments went away meanwhile; r reads the names again"
        faster = len(wanted) * _PORTION_SECONDS / max(seconds, 0.001)
        self._portion = max(min(int(faster), self._portion * 2, _PORTIONS[1]), _PORTIONS[0])
        self.paint()

    def _read_finely(
        self, known: Known, timeline: int, number: int, found: tuple[Transaction, ...]
    ) -> None:
        if known is not self.known:
            return
        self._reading = False
        known.add_transactions(timeline, number, found)
        self.paint()


def _timed(
    read: Callable[[], tuple[SegmentGlance, ...]],
) -> tuple[tuple[SegmentGlance, ...], float]:
    begin = time.monotonic()
    return read(), time.monotonic() - begin


def _nothing(picture: TimelinePicture) -> str:
    if not picture.path:
        return "No WAL archive is configured for this cluster."
    return f"There is no WAL in {picture.path}."
