"""Every way to move over the map; none of them changes anything."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from textual import on
from textual.widgets import Input

from pgrescue.errors import PgRescueError
from pgrescue.history.model import Incident
from pgrescue.plan.model import Transaction
from pgrescue.plan.moment import parse_moment
from pgrescue.postgres.lsn import Lsn
from pgrescue.tui.screens.timeline_reading import TimelineReading
from pgrescue.tui.timeline.chart import MarkKind
from pgrescue.tui.timeline.commits import CommitSearch, search_commit
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.state import MapState
from pgrescue.tui.view import ClusterGlance

_COMMIT = "Looking for a commit"


class TimelineMoves(TimelineReading):
    """The cursor's keys."""

    def __init__(
        self,
        glance: ClusterGlance,
        place: Cursor | None,
        incidents: tuple[Incident, ...] | None,
    ) -> None:
        super().__init__(glance, place, incidents)
        self._searching = False

    def action_column(self, count: int) -> None:
        """Left or right by a column."""
        self._go(lambda state: state.by_columns(count))

    def action_segment(self, count: int) -> None:
        """Left or right by a segment."""
        self._go(lambda state: state.by_segments(count))

    def action_lane(self, count: int) -> None:
        """Up or down by a timeline."""
        self._go(lambda state: state.by_lanes(count))

    def action_zoom(self, direction: int) -> None:
        """Closer, or further away."""
        self._go(lambda state: state.zoomed(closer=direction > 0))

    def action_whole(self) -> None:
        """Everything there is."""
        self._go(MapState.whole)

    def action_end(self, last: bool) -> None:
        """To the lane's beginning or end."""
        self._go(lambda state: state.at_end(last=last))

    def action_backup(self) -> None:
        """To the end of the next backup: the first position that it can be recovered to."""
        self._to_mark(("backup", "unusable"), "There is no backup beside this archive.")

    def action_incident(self, count: int) -> None:
        """To the commit of the next incident: recovery would stop just before it."""
        if self.state is not None and self.state.chart.incidents is None:
            self.say("Nobody has searched for incidents yet: i does, and they appear here.")
            return
        self._to_mark(
            ("incident",), "No transaction that destroyed data was found.", back=count < 0
        )

    def action_commit(self, count: int) -> None:
        """To the next commit; if it has to be read for, the cursor follows when it is found."""
        state = self.state
        if state is None or self._searching:
            return
        chart, cursor, forward = state.chart, state.cursor, count > 0
        try:
            found = search_commit(chart, self.known, cursor, _unread, forward=forward)
        except LookupError:
            self._searching = True
            read = partial(self.bridge.transactions, self.glance.name)
            search = partial(search_commit, chart, self.known, cursor, read, forward=forward)
            self.errand(_COMMIT, search, partial(self._commit_found, state))
        else:
            self._commit_found(state, found)

    def action_time(self) -> None:
        """Type a time."""
        field = self.query_one("#moment", Input)
        field.remove_class("hidden")
        field.focus()

    def action_back(self) -> None:
        """The field goes first, then the screen."""
        if self.query_one("#moment", Input).has_class("hidden"):
            super().action_back()
        else:
            self._close_field()

    @on(Input.Submitted, "#moment")
    def _typed(self, event: Input.Submitted) -> None:
        if self.state is None or not event.value.strip():
            self._close_field()
            return
        try:
            moment = parse_moment(event.value, self.bridge.zone)
        except PgRescueError as error:
            self.say(f"{error.title} {error.cause}", warn=True)
            return
        self._close_field()
        timeline = self.state.cursor.timeline
        locate = partial(self._locate, timeline, moment)
        self.errand("Finding the time", locate, partial(self._located, timeline))

    def _locate(self, timeline: int, moment: datetime) -> Lsn:
        return self.bridge.locate(self.glance.name, timeline, moment)

    def _located(self, timeline: int, lsn: Lsn) -> None:
        if self.state is not None and timeline in self.state.chart.rows:
            self.moved(self.state.at(lsn, timeline))

    def _close_field(self) -> None:
        field = self.query_one("#moment", Input)
        field.value = ""
        field.add_class("hidden")
        self.set_focus(None)

    def failed(self, name: str, error: PgRescueError) -> None:
        """A search that failed is over."""
        if name == _COMMIT:
            self._searching = False
        super().failed(name, error)

    def _go(self, move: Callable[[MapState], MapState]) -> None:
        if self.state is not None:
            self.moved(move(self.state))

    def _to_mark(self, kinds: tuple[MarkKind, ...], nothing: str, *, back: bool = False) -> None:
        if self.state is None:
            return
        mark = self.state.next_mark(kinds, back=back)
        if mark is None:
            self.say(nothing)
        else:
            self.moved(self.state.at(mark.lsn, mark.timeline))

    def _commit_found(self, state: MapState, search: CommitSearch) -> None:
        self._searching = False
        for timeline, number, transactions in search.read:
            self.known.add_transactions(timeline, number, transactions)
        if self.state is None or self.state.cursor != state.cursor:
            return
        if search.commit is not None:
            self.moved(self.state.at(int(search.commit.lsn)))
            return
        if search.whole:
            self._beyond(state, forward=search.forward)
            return
        self.say("No commit so far; the same key looks further.")
        self.moved(self.state.at(search.reached))

    def _beyond(self, state: MapState, *, forward: bool) -> None:
        """No further commit on this timeline; what is before it is on its parent."""
        parent, timeline = state.lane.parent, state.cursor.timeline
        if forward or parent is None or parent not in state.chart.rows:
            self.say(f"There is no further commit on timeline {timeline}.")
            return
        self.say(f"Before this, timeline {timeline} was timeline {parent}.")
        self.moved(state.at(state.lane.begin, parent))
        self.action_commit(-1)


def _unread(_timeline: int, _number: int) -> tuple[Transaction, ...]:
    raise LookupError
