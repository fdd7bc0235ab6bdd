"""Incidents: which transactions destroyed data, and the way to just before each of them."""

from __future__ import annotations

import time
from collections.abc import Callable

from textual import events, on
from textual.app import ComposeResult
from textual.widgets import DataTable, Static

from pgrescue.errors import PgRescueError
from pgrescue.history.model import Incident
from pgrescue.tui.incident_text import COLUMNS, incident_cells, incident_text, verb_text
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.messages import SearchProgressed
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.view import ClusterGlance
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane
from pgrescue.tui.words import about

_SEARCH = "Searching for incidents"
_NOT_YET = "What has been found is shown at the end. esc gives the search up."


class _GivenUp(Exception):
    """Nobody waits for this search any more."""


class IncidentsScreen(RescueScreen):
    """A table, and everything about the one under the cursor."""

    KIND = "incidents"
    HEADING = "Incidents: transactions that destroyed data"
    CSS_PATH = "incidents.tcss"
    BINDINGS = bindings_of("incidents")

    def __init__(self, glance: ClusterGlance, incidents: tuple[Incident, ...] | None) -> None:
        """With None, they are searched for."""
        super().__init__()
        self._glance = glance
        self._found = incidents
        self._left = False
        self._searching = False
        self._began = 0.0

    def compose_body(self) -> ComposeResult:
        """How the search stands, the table, the detail."""
        what = max(COLUMNS[2][1], self.app.size.width - sum(w + 1 for _, w in COLUMNS) + 23)
        columns = [(label, what if label == "to" else width) for label, width in COLUMNS]
        self._what = what
        yield PlainText("", id="search")
        yield NavTable(columns, id="incidents")
        yield PlainText("", classes="rule")
        yield TextPane(id="detail")

    def on_mount(self) -> None:
        """Show what is known, or search."""
        self.query_one(NavTable).focus()
        if self._found is None:
            self.action_refresh()
        else:
            self._paint()

    def on_unmount(self) -> None:
        """A search that nobody waits for stops at the next segment."""
        self._left = True

    def on_resize(self, event: events.Resize) -> None:
        """The line between table and detail is as long as the screen is wide."""
        self.query_one(".rule", Static).update(self.glyphs.rule * event.size.width)

    def action_refresh(self) -> None:
        """Search, from the beginning; what has been read before is quick."""
        if self._searching:
            self.say("The search is still under way.")
            return
        self._searching, self._began = True, time.monotonic()
        self._say("Searching the WAL.", _NOT_YET)
        name, progress = self._glance.name, self._reporter()
        self.errand(_SEARCH, lambda: self.bridge.incidents(name, progress), self._read)

    def action_open(self) -> None:
        """Take 'just before this' as the target."""
        if (incident := self._current()) is None:
            self.say("There is no incident under the cursor.")
        elif not incident.arguments:
            self.say(f"There is no target before this one. {incident.note}".strip(), warn=True)
        else:
            self.rescue.open_target(self._glance, "auto", incident.arguments)

    def action_timeline(self) -> None:
        """Show it on the map."""
        incident = self._current()
        place = Cursor(incident.timeline, int(incident.lsn)) if incident is not None else None
        self.rescue.open_timeline(self._glance, place, self._found)

    def action_explain(self) -> None:
        """The detail on a page of its own."""
        if (incident := self._current()) is None:
            self.say("There is no incident under the cursor.")
            return
        text = incident_text(incident, self._glance.name, self.glyphs)
        about_it = (
            "enter takes 'just before this transaction' as the target: everything committed before "
            "it is kept,\nit and everything committed after it is not. Nothing is done before you "
            "have confirmed a plan."
        )
        self.rescue.show_page(verb_text(incident), f"{text}\n\n{about_it}")

    def failed(self, name: str, error: PgRescueError) -> None:
        """The search broke off."""
        if name == _SEARCH:
            self._searching = False
            self._say(f"The search failed: {error.title} {error.cause}".strip(), "r tries again.")
        super().failed(name, error)

    @on(SearchProgressed)
    def _progressed(self, message: SearchProgressed) -> None:
        if not self._searching:
            return
        words = f"Searching: {message.done:,} of {message.total:,} segments read"
        seconds = time.monotonic() - self._began
        if 0 < message.done < message.total and seconds > 3:
            left = seconds * (message.total - message.done) / message.done
            words += f", about {about(left)} left"
        self._say(f"{words}.", _NOT_YET)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._show_detail()

    def _reporter(self) -> Callable[[int, int], None]:
        """What the search calls after each segment, in its thread: it speaks once a second."""
        spoken = 0.0

        def progress(done: int, total: int) -> None:
            nonlocal spoken
            if self._left:
                raise _GivenUp
            now = time.monotonic()
            if now - spoken >= 1.0 or done == total:
                spoken = now
                self.tell(SearchProgressed(done, total))

        return progress

    def _read(self, incidents: tuple[Incident, ...]) -> None:
        self._searching = False
        # The last is what people come for.
        self._found = tuple(sorted(incidents, key=lambda found: found.time, reverse=True))
        self.rescue.incidents_found(self._found)
        self._paint()

    def _paint(self) -> None:
        found = self._found or ()
        rows = (
            (str(index), incident_cells(incident, self._what, self.glyphs))
            for index, incident in enumerate(found)
        )
        self.query_one(NavTable).show_rows(rows)
        if found:
            plural = "" if len(found) == 1 else "s"
            self._say(f"{len(found):,} incident{plural}, the last one first.")
        else:
            self._say("No transaction that destroyed data was found in the WAL that is there.")
        self._show_detail()

    def _show_detail(self) -> None:
        incident = self._current()
        text = incident_text(incident, self._glance.name, self.glyphs) if incident else ""
        self.query_one(TextPane).show(text)

    def _say(self, *lines: str) -> None:
        self.query_one("#search", Static).update("\n".join(lines))

    def _current(self) -> Incident | None:
        current = self.query_one(NavTable).current
        return None if current is None or self._found is None else self._found[int(current)]
