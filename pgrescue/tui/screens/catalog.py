"""The catalog: backups, whether they can be used and why not."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.widgets import DataTable, Input, Static

from pgrescue.catalog.chain_list import in_chains
from pgrescue.catalog.model import Backup
from pgrescue.tui.backup_text import AUTO, AUTO_TEXT, backup_cells, backup_text, matches
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.view import ClusterGlance
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane

_COLUMNS = (
    ("use", 5),
    ("backup", 23),
    ("kind", 12),
    ("check", 5),
    ("taken UTC", 11),
    ("size", 6),
    ("until", 11),
)


class CatalogScreen(RescueScreen):
    """A table of backups and everything about the one under the cursor."""

    KIND = "catalog"
    STAGE = "backup"
    CSS_PATH = "catalog.tcss"
    BINDINGS = bindings_of("catalog")

    def __init__(self, glance: ClusterGlance) -> None:
        super().__init__()
        self._glance = glance

    def compose_body(self) -> ComposeResult:
        """Table, filter, detail."""
        yield NavTable(_COLUMNS, id="backups")
        yield Input(id="filter", compact=True, placeholder="filter", classes="hidden")
        yield PlainText("", id="rule", classes="rule")
        yield TextPane(id="detail")

    def on_mount(self) -> None:
        """Show what the overview has read already."""
        self._paint()
        self.query_one(NavTable).focus()

    def on_resize(self, event: events.Resize) -> None:
        """The line between table and detail is as long as the screen is wide."""
        self.query_one("#rule", Static).update(self.glyphs.rule * event.size.width)

    def action_refresh(self) -> None:
        """Read the catalog again, and say so."""
        name = self._glance.name
        self.errand("Reading the catalog", lambda: self.bridge.backups(name), self._read)

    def read_again(self) -> None:
        """Read the catalog again: something has come of what was done above."""
        name = self._glance.name
        self.errand("Reading the catalog", lambda: self.bridge.backups(name), self._take_over)

    def action_backup(self) -> None:
        """Take a new one; an incremental one might build upon that under the cursor."""
        backup = self._backup(self.query_one(NavTable).current)
        self.choose_backup(self._glance, backup.id if backup is not None else "")

    def action_verify(self) -> None:
        """Read the backup under the cursor to its end."""
        backup = self._backup(self.query_one(NavTable).current)
        if backup is None:
            self.say("Choose the backup that is to be read: j and k move.")
        elif backup.details is None:
            self.say(f"{backup.id} is no backup that could be read.", warn=True)
        else:
            self.rescue.open_verify(self._glance.name, backup)

    def action_open(self) -> None:
        """Go on with the backup under the cursor, if it can be used."""
        field = self.query_one("#filter", Input)
        if field.has_focus:
            self.query_one(NavTable).focus()
            return
        current = self.query_one(NavTable).current
        backup = self._backup(current)
        if current == AUTO and not any(b.usable for b in self._glance.backups):
            self.say("No backup is usable; the reasons are below the table.", warn=True)
        elif backup is not None and not backup.usable:
            reason = backup.problems[0].message if backup.problems else "it is not usable"
            self.say(f"{backup.id} cannot be chosen: {reason}", warn=True)
        elif current is not None:
            self.rescue.open_target(self._glance, current)

    def action_timeline(self) -> None:
        """The map of the WAL beside these backups."""
        self.rescue.open_timeline(self._glance)

    def action_incidents(self) -> None:
        """What destroyed data in this cluster."""
        self.rescue.open_incidents(self._glance)

    def action_explain(self) -> None:
        """The detail on a page of its own, with the command that prints it."""
        current = self.query_one(NavTable).current
        command = f"show {current}" if current != AUTO else "catalog"
        text = f"{self._text()}\n\nThe same from the command line:\n"
        self.rescue.show_page(
            f"Backup {current}", f"{text}  pgrescue --cluster {self._glance.name} {command}"
        )

    def action_filter(self) -> None:
        """Type what a backup's row must contain."""
        field = self.query_one("#filter", Input)
        field.remove_class("hidden")
        field.focus()

    def action_back(self) -> None:
        """The filter goes first, then the screen."""
        field = self.query_one("#filter", Input)
        if field.has_class("hidden"):
            super().action_back()
            return
        field.value = ""
        field.add_class("hidden")
        self._paint()
        self.query_one(NavTable).focus()

    @on(Input.Changed, "#filter")
    def _typed(self) -> None:
        self._paint()

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        self.query_one(NavTable).focus()

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self.query_one(TextPane).show(self._text())

    def _read(self, backups: tuple[Backup, ...]) -> None:
        self._take_over(backups)
        self.say(f"{len(backups)} backups.")

    def _take_over(self, backups: tuple[Backup, ...]) -> None:
        self._glance = replace(self._glance, backups=backups, problem=None)
        self._paint()

    def _paint(self) -> None:
        wanted = self.query_one("#filter", Input).value
        rows = [(AUTO, [Text(""), Text(AUTO, "bold"), *(Text("") for _ in _COLUMNS[2:])])]
        fitting = [backup for backup in self._glance.backups if matches(backup, wanted)]
        rows += [(link.backup.id, backup_cells(link, self.glyphs)) for link in in_chains(fitting)]
        self.query_one(NavTable).show_rows(rows)
        self.query_one(TextPane).show(self._text())

    def _text(self) -> str:
        backup = self._backup(self.query_one(NavTable).current)
        if backup is not None:
            return backup_text(backup, self._glance.backups)
        problem = f"PROBLEM  {self._glance.problem}\n\n" if self._glance.problem else ""
        return problem + AUTO_TEXT

    def _backup(self, name: str | None) -> Backup | None:
        return next((b for b in self._glance.backups if b.id == name), None)
