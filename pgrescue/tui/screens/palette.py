"""Finding an action by its name, and choosing from a short menu."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Input, Static

from pgrescue.tui.key import Key
from pgrescue.tui.keys import keys_of
from pgrescue.tui.verb import Verb
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText


class PaletteScreen(ModalScreen[Key | None]):
    """The actions of one screen, filtered by what is typed."""

    CSS_PATH = "palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "close"),
        Binding("down", "move(1)", show=False, priority=True),
        Binding("up", "move(-1)", show=False, priority=True),
    ]

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._keys = {key.action: key for key in keys_of(kind) if key.palette}

    def compose(self) -> ComposeResult:
        """What is typed, and what fits it."""
        with Vertical(classes="dialog"):
            yield Input(compact=True, placeholder="type a part of an action's name")
            yield NavTable((("key", 7), ("action", 58)), id="found", header=False)

    def on_mount(self) -> None:
        """Everything, at first."""
        self.query_one(NavTable).can_focus = False
        self._filter()

    def action_move(self, by: int) -> None:
        """Move the cursor while typing."""
        table = self.query_one(NavTable)
        table.move_cursor(row=table.cursor_row + by, animate=False)

    @on(Input.Changed)
    def _filter(self) -> None:
        wanted = self.query_one(Input).value.lower()
        self.query_one(NavTable).show_rows(
            (name, (Text(key.shown), Text(f"{key.label}: {key.help}")))
            for name, key in self._keys.items()
            if wanted in f"{key.label} {key.help}".lower()
        )

    @on(Input.Submitted)
    def _chosen(self) -> None:
        self.dismiss(self._keys.get(self.query_one(NavTable).current or ""))


class MenuScreen(ModalScreen[Verb | None]):
    """A few things to do, the one under the cursor explained. Choosing does nothing yet."""

    CSS_PATH = "palette.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q", "dismiss(None)", "close"),
        Binding("enter", "choose", "choose"),
    ]

    def __init__(self, title: str, verbs: tuple[Verb, ...]) -> None:
        super().__init__()
        self._heading = title
        self._verbs = verbs

    def compose(self) -> ComposeResult:
        """Title, verbs, explanation."""
        with Vertical(classes="dialog"):
            yield PlainText(self._heading, id="title")
            yield NavTable((("verb", 66),), id="verbs", header=False)
            yield PlainText("", id="about")

    def on_mount(self) -> None:
        """The safest is first."""
        table = self.query_one(NavTable)
        table.show_rows((verb.id, (Text(verb.label),)) for verb in self._verbs)
        table.focus()

    def action_choose(self) -> None:
        """Close with the verb under the cursor."""
        self.dismiss(self._current())

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        verb = self._current()
        self.query_one("#about", Static).update(verb.about if verb else "")

    def _current(self) -> Verb | None:
        current = self.query_one(NavTable).current
        return next((verb for verb in self._verbs if verb.id == current), None)
