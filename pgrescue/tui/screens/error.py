"""An error as its author meant it: what happened, why, what was left alone, what next."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Button

from pgrescue.errors import PgRescueError
from pgrescue.tui.widgets.plain_text import PlainText


class ErrorScreen(ModalScreen[None]):
    """Any key that closes things closes it."""

    CSS_PATH = "error.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q", "dismiss(None)", "close")]

    def __init__(self, error: PgRescueError) -> None:
        super().__init__()
        self._error = error

    def compose(self) -> ComposeResult:
        """The parts of the error, and a button to close it."""
        with Vertical(classes="dialog"):
            yield PlainText(self._error.title, id="title")
            with VerticalScroll():
                yield PlainText(error_text(self._error))
            with Horizontal(classes="buttons"):
                yield Button("Close", compact=True)

    @on(Button.Pressed)
    def _close(self) -> None:
        self.dismiss(None)


def error_text(error: PgRescueError) -> str:
    """Everything after the title."""
    lines = [error.cause] if error.cause else []
    lines += ["", error.unchanged] if error.unchanged else []
    if error.next_steps:
        lines += ["", "Next:", *(f"  {step}" for step in error.next_steps)]
    return "\n".join(lines).strip("\n")
