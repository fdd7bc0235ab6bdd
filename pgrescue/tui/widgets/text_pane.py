"""Text that may be longer than the screen."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import Static

from pgrescue.tui.widgets.plain_text import PlainText, spelled_lines


class TextPane(VerticalScroll):
    """Scrolling text; never read as markup."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("k", "scroll_up", show=False),
        Binding("j", "scroll_down", show=False),
        Binding("g", "scroll_home", show=False),
        Binding("G", "scroll_end", show=False),
    ]

    def __init__(self, text: str | Text = "", *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = _spelled(text)

    def compose(self) -> ComposeResult:
        """The text itself."""
        yield PlainText(self._text)

    def show(self, text: str | Text, *, follow: bool = False) -> None:
        """Show other text, from its beginning or, following, at its end."""
        new = _spelled(text)
        if new == self._text:
            return
        self._text = new
        self.query_one(Static).update(new)
        if follow:
            self.scroll_end(animate=False)
        else:
            self.scroll_home(animate=False)

    @property
    def text(self) -> str:
        """What is shown."""
        return self._text.plain


def _spelled(text: str | Text) -> Text:
    spelled = spelled_lines(text)
    return spelled if isinstance(spelled, Text) else Text(spelled)
