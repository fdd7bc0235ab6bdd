"""A page of text: help, explanations, the report, a log that is still growing."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult

from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.widgets.frame import STAGES, crumb_text
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane


class PageScreen(RescueScreen):
    """Text to scroll through, of a file or not."""

    KIND = "page"
    CSS_PATH = "page.tcss"
    BINDINGS = bindings_of("page")

    def __init__(
        self,
        heading: str,
        text: str,
        *,
        path: str | None = None,
        stage: str | None = None,
        way: tuple[str, ...] = STAGES,
        source: Callable[[], tuple[str, str]] | None = None,
    ) -> None:
        """`source` gives path and text anew; with one the page follows a growing file."""
        super().__init__()
        self._heading = heading
        self._text = text
        self._path = path
        self._stage = stage
        self._way = way
        self._source = source
        self._frozen = False

    def crumb(self) -> str:
        """The page's heading, or its stage on the way."""
        return crumb_text(self._stage, self._heading, self.glyphs.arrow, self._way)

    def compose_body(self) -> ComposeResult:
        """The file's path, if there is a file, and the text."""
        yield PlainText(self._path or "", id="path", classes="" if self._path else "hidden")
        yield TextPane(self._text)

    def on_mount(self) -> None:
        """Follow the source once a second."""
        self.query_one(TextPane).focus()
        if self._source is not None:
            self.query_one(TextPane).scroll_end(animate=False)
            self.set_interval(1.0, self._follow)

    def action_copy(self) -> None:
        """Offer the path to the terminal's clipboard; shown too, as not every one takes it."""
        if self._path is None:
            self.say("This page is not a file.")
            return
        self.app.copy_to_clipboard(self._path)
        self.say(f"Copied, where the terminal allows it (OSC 52): {self._path}")

    def action_freeze(self) -> None:
        """Stop following, or go on."""
        if self._source is None:
            return
        self._frozen = not self._frozen
        self.say("Frozen. space follows again." if self._frozen else "Following.")

    def action_help(self) -> None:
        """The help page does not explain itself."""
        self.action_back()

    def _follow(self) -> None:
        if self._source is not None and not self._frozen:
            self.errand("Reading the log", self._source, self._read)

    def _read(self, answer: tuple[str, str]) -> None:
        self.query_one(TextPane).show(answer[1], follow=True)
