"""The confirmation: focus on Cancel; what cannot be undone must be named by typing it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button, Input

from pgrescue.tui.widgets.plain_text import PlainText

IRREVERSIBLE = "This cannot be undone."


@dataclass(frozen=True, slots=True)
class Confirmation:
    """What is asked."""

    title: str
    """Names the host."""
    lines: tuple[str, ...]
    """The consequences."""
    verb: str
    """What the button does."""
    typed: str | None = None
    """What has to be typed; None where a yes is enough."""
    typed_why: str = IRREVERSIBLE
    """Why it has to be typed."""


class TypedName(Input):
    """Takes typing only: a pasted name was not read."""

    def _on_paste(self, event: events.Paste) -> None:
        event.stop()
        event.prevent_default()


class ConfirmScreen(ModalScreen[bool]):
    """Yes or no; esc, q and enter on what is focused first all mean no."""

    CSS_PATH = "confirm.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "cancel", "cancel"),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]
    AUTO_FOCUS = "#cancel"

    def __init__(self, asked: Confirmation) -> None:
        super().__init__()
        self._asked = asked
        self.set_class(asked.typed is not None, "-typed")

    def compose(self) -> ComposeResult:
        """Title, consequences, perhaps a field, and the two buttons."""
        asked = self._asked
        with Vertical(classes="dialog"):
            yield PlainText(asked.title, id="title")
            with VerticalScroll(id="lines", can_focus=False):
                yield PlainText("\n".join(f"- {line}" for line in asked.lines))
            if asked.typed is not None:
                yield PlainText(f"{asked.typed_why} To go on, type  {asked.typed}", id="ask")
                yield TypedName(id="typed", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(asked.verb, id="go", compact=True, disabled=asked.typed is not None)

    def action_cancel(self) -> None:
        """No."""
        self.dismiss(False)

    @on(Input.Changed)
    def _typing(self, event: Input.Changed) -> None:
        self.query_one("#go", Button).disabled = event.value != self._asked.typed

    @on(Button.Pressed, "#cancel")
    def _no(self) -> None:
        self.dismiss(False)

    @on(Button.Pressed, "#go")
    def _yes(self) -> None:
        self.dismiss(True)
