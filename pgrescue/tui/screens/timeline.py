"""The WAL timeline: a map to find the moment on, and what a recovery to it keeps and loses."""

from __future__ import annotations

from rich.text import Text
from textual import events
from textual.app import ComposeResult
from textual.widgets import Input, Static

from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.timeline_moves import TimelineMoves
from pgrescue.tui.timeline.drawing import columns_for, draw_map
from pgrescue.tui.timeline.page import heading_text, page_text
from pgrescue.tui.timeline.sentences import READING, here_text, outcome_text, place_text
from pgrescue.tui.timeline.signs import LEGEND, legend, signs_for
from pgrescue.tui.timeline.state import MapState
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_rows import TextRows, wrapped


class TimelineScreen(TimelineMoves):
    """One lane a timeline; the cursor is a position of the WAL, and `enter` makes it a target."""

    KIND = "timeline"
    HEADING = "WAL timeline"
    CSS_PATH = "timeline.tcss"
    BINDINGS = bindings_of("timeline")
    # The hidden field must not take the keys of the map.
    AUTO_FOCUS = ""

    def compose_body(self) -> ComposeResult:
        """The map, the cursor in words, the legend."""
        yield TextRows(id="map")
        yield PlainText("", classes="rule")
        yield Input(
            id="moment",
            compact=True,
            placeholder="a time: 2026-11-22 20:36:46 (enter goes there, esc does not)",
            classes="hidden",
        )
        yield TextRows(id="words")

    def on_resize(self, event: events.Resize) -> None:
        """The same part of the log on another width."""
        self.query_one(".rule", Static).update(self.glyphs.rule * event.size.width)
        if self.state is not None:
            self.state = self.state.resized(self.columns())
        # What is below has its new size only afterwards.
        self.call_after_refresh(self.paint)

    def columns(self) -> int:
        """As many as the screen is wide, less the labels."""
        assert self.state is not None
        return columns_for(self.state.chart, self.size.width)

    def paint(self) -> None:
        """Everything; only what differs goes to the terminal."""
        area, below = self.query_one("#map", TextRows), self.query_one("#words", TextRows)
        state = self.state
        if state is None:
            archive = self.glance.archive or "the archive"
            area.show(())
            below.show(
                wrapped(below.size.width, self.trouble or f"Reading the names in {archive} ...")
            )
            return
        signs = signs_for(self.glyphs)
        drawing = draw_map(
            state.chart,
            self.known,
            state.view,
            state.cursor,
            signs,
            height=area.size.height,
            top=self.lanes_in_view.start,
        )
        self.lanes_in_view = range(drawing.first_lane, drawing.last_lane + 1)
        area.show(drawing.rows)
        words = self._words(state, below.size.width)
        signs_explained = legend(signs, drawing.used, drawing.peak, max(below.size.width, 20))
        room = max(below.size.height - len(words) - len(signs_explained), 0)
        below.show([*words, *[Text()] * room, *map(Text, signs_explained)][: below.size.height])
        heading = heading_text(
            state.chart, self.known, drawing, self.trouble, self.size.width, self.glyphs.cut
        )
        crumb = self.query_one("#crumb", Static)
        if str(crumb.content) != heading:
            crumb.update(heading)

    def _words(self, state: MapState, width: int) -> list[Text]:
        place, *sentences = self._sentences(state, width)
        return [Text.assemble((place, "bold")), *wrapped(width, *sentences)]

    def _sentences(self, state: MapState, width: int) -> list[str]:
        told = f"Cannot be told: {self.problem}" if self.problem else READING
        if self.outcome is not None:
            told = outcome_text(self.outcome, at_the_end=state.is_at_the_end)
        here = here_text(state.chart, self.known, state.view, state.cursor)
        place = place_text(state.chart, state.cursor, self.outcome, width)
        return [place, told, *([here] if here else [])]

    def action_incidents(self) -> None:
        """The list of what destroyed data; once found, it is on the map too."""
        incidents = None if self.state is None else self.state.chart.incidents
        self.rescue.open_incidents(self.glance, incidents or self._incidents)

    def action_open(self) -> None:
        """Take the cursor's position as the target."""
        view = self.outcome
        if self.state is None:
            self.say("There is no position to restore to.", warn=True)
        elif view is None:
            self.say(self.problem or "Still reading what this position keeps.", warn=True)
        elif view.why_not is not None and self.state.is_at_the_end:
            latest = ("--to", "latest", "--timeline", str(view.timeline))
            self.rescue.open_target(self.glance, "auto", latest)
        elif view.why_not is not None:
            self.say(f"This position cannot be reached: {view.why_not}", warn=True)
        else:
            self.rescue.open_target(self.glance, view.backup or "auto", view.arguments)

    def action_explain(self) -> None:
        """The cursor's place in full, and what is wrong with the archive."""
        if self.state is None:
            self.say(self.trouble or "Still reading.")
            return
        words = "\n".join(self._sentences(self.state, 100))
        signs = "\n".join(legend(signs_for(self.glyphs), LEGEND, 0, 0))
        text = page_text(self.state, self.outcome, self.glance.name, words, signs)
        self.rescue.show_page("WAL timeline", text)
