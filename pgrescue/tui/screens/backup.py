"""The choices of a backup, each explained, and the command that they make."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.events import DescendantFocus
from textual.suggester import SuggestFromList
from textual.widget import Widget
from textual.widgets import Input, Static

from pgrescue.backup.build import USUAL_NAME
from pgrescue.config.backup_request import BackupRequest
from pgrescue.printable import printable
from pgrescue.tui.backup_form import (
    CHOOSABLE,
    LABELS,
    BackupForm,
    WrongField,
    all_help,
    beyond_options,
    command_line,
    field_help,
    form_of,
    read_backup_request,
)
from pgrescue.tui.backup_preview import preview
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.view import BackupSetting, ClusterGlance
from pgrescue.tui.widgets.choice import Choice
from pgrescue.tui.widgets.frame import BACKUP_STAGES
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_rows import wrapped
from pgrescue.tui.words import fit

_BESIDE = {"compression": "side"}
"""Fields that share a row with the one before."""
_HIGH = 24
_ROWS, _FEW_ROWS = 6, 3
"""Rows for the command on a high terminal, and on another."""


class BackupScreen(RescueScreen):
    """A form of one-row fields over the command that they make."""

    KIND = "backup"
    STAGE = "choices"
    WAY = BACKUP_STAGES
    CSS_PATH = "backup.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of("backup"),
        ("up", "app.focus_previous", ""),
        ("down", "app.focus_next", ""),
    ]

    def __init__(self, glance: ClusterGlance, setting: BackupSetting, parent: str) -> None:
        """`parent` is proposed for an incremental backup."""
        super().__init__()
        self._glance = glance
        self._setting = setting
        newest = glance.newest
        places = tuple(item.path for item in newest.tablespaces) if newest is not None else ()
        self._first = form_of(setting.configured, places, parent)
        self._command = ""

    def compose_body(self) -> ComposeResult:
        """Fields, what is wrong with them, the command, help for the field under the cursor."""
        # No VerticalScroll: that would take up and down for itself.
        with Vertical(id="fields"):
            for name in LABELS:
                if name == "mappings":
                    yield from self._known_tablespaces()
                if name not in _BESIDE.values():
                    yield self._row(name)
        yield PlainText("", id="wrong")
        yield PlainText("", id="command")
        yield PlainText("", id="help")

    def on_mount(self) -> None:
        """Begin with the first field and the configured choices."""
        for name in LABELS:
            value = str(getattr(self._first, name))
            if name in CHOOSABLE:
                self.query_one(f"#{name}", Choice).value = value
            else:
                self.query_one(f"#{name}", Input).value = value
        self._check()
        self.query_one("#source").focus()

    def on_resize(self) -> None:
        """Another width breaks the command elsewhere."""
        self._show_command()

    def form(self) -> BackupForm:
        """The fields as they stand."""
        values = {
            name: self.query_one(f"#{name}", Choice).value
            if name in CHOOSABLE
            else self.query_one(f"#{name}", Input).value
            for name in LABELS
        }
        places = tuple(
            (location, self.query_one(f"#ts{index}", Input).value)
            for index, (location, _) in enumerate(self._first.tablespaces)
        )
        return BackupForm(**values, tablespaces=places)

    def action_make_plan(self) -> None:
        """Go on to the plan, or say what is wrong and where."""
        try:
            request, _ = self._understood(self.form())
        except WrongField as error:
            self.say(f"{error.title} {error.cause}".strip(), warn=True)
            self.query_one(f"#{error.field}").focus()
            return
        self.rescue.open_backup_plan(self._glance.name, request, self._same(request))

    def action_copy(self) -> None:
        """Offer the command to the terminal's clipboard; it is on the screen anyway."""
        self.app.copy_to_clipboard(self._command)
        self.say("Copied, where the terminal allows it (OSC 52).")

    def action_explain(self) -> None:
        """Both commands in full, then every field."""
        try:
            same = self._same(self._understood(self.form())[0])
        except WrongField as error:
            same = f"{error.title} {error.cause}".strip()
        self.rescue.show_page(
            "Backup",
            f"These choices as a command of pgrescue; --dry-run prints its plan:\n  {same}\n\n"
            f"What is run for them, as far as it is known now:\n  {self._command}\n\n{all_help()}",
        )

    @on(Input.Changed)
    def _changed(self) -> None:
        self._check()

    @on(Input.Submitted)
    def _entered(self) -> None:
        self.action_make_plan()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the field that the cursor has come to."""
        self._help(event.widget)

    def _row(self, name: str) -> Horizontal:
        return Horizontal(
            PlainText(LABELS[name], classes="label"), *self._fields(name), classes="field"
        )

    def _known_tablespaces(self) -> Iterator[Horizontal]:
        for index, (location, place) in enumerate(self._first.tablespaces):
            field = Input(place, compact=True, placeholder=printable(location), id=f"ts{index}")
            yield Horizontal(PlainText("Tablespace", classes="label"), field, classes="field")

    def _fields(self, name: str) -> Iterator[Widget]:
        if name in CHOOSABLE:
            yield Choice(CHOOSABLE[name], id=name, changed=self._check)
        else:
            ids = [b.id for b in self._glance.backups if b.usable] if name == "parent" else []
            yield Input(
                compact=True,
                id=name,
                placeholder=self._if_empty(name),
                suggester=SuggestFromList(list(reversed(ids))) if ids else None,
            )
        if name in _BESIDE:
            yield from self._fields(_BESIDE[name])

    def _if_empty(self, name: str) -> str:
        """What a field means that nothing is typed into."""
        meaning = {
            "source": "the cluster's own server",
            "destination": self._setting.root or "",
            "name": USUAL_NAME,
            "level": "the method's own",
            "max_rate": "as fast as it goes",
            "label": "the backup's name",
            "parent": "id of a backup",
            "mappings": "LOCATION=DIRECTORY ...",
        }
        return printable(meaning[name])

    def _same(self, request: BackupRequest) -> str:
        configured = self._setting.configured
        command = command_line(request, configured, self._glance.name)
        beyond = beyond_options(request, configured)
        if not beyond:
            return command
        return (
            f"{command}\n  (beside the configured {', '.join(beyond)}, which it cannot take back)"
        )

    def _check(self) -> None:
        """Show the fields that matter now, what is wrong with them, and the command."""
        form = self.form()
        for name in LABELS:
            field = self.query_one(f"#{name}")
            shown = form.shows(name)
            # Not by a class: styles of classes follow later than the next key may come.
            field.display = shown
            if name not in _BESIDE.values():
                assert isinstance(field.parent, Widget)
                field.parent.display = shown
        for field in self.query("#fields Input"):
            if field.id is not None and field.id.startswith("ts"):
                assert isinstance(field.parent, Widget)
                field.parent.display = form.shows("tablespace")
        wrong = ""
        try:
            _, self._command = self._understood(form)
        except WrongField as error:
            wrong = f"{error.title} {error.cause}".strip()
        self.query_one("#wrong", Static).update(wrong)
        self.query_one("#wrong").display = bool(wrong)
        self._show_command()
        self._help(self.focused)

    def _understood(self, form: BackupForm) -> tuple[BackupRequest, str]:
        """What the fields ask for, and the command for that; raises `WrongField`."""
        request, glance = read_backup_request(form), self._glance
        locations = [location for location, _ in form.tablespaces]
        command = preview(request, self._setting, glance.name, glance.backups, locations)
        return request, command

    def _show_command(self) -> None:
        """All of it, or where there is little room its end: that is what the choices make."""
        width, height = self.app.size
        rows = wrapped(width - 2, f"$ {self._command}")
        room = _ROWS if height >= _HIGH else _FEW_ROWS
        shown = [row.plain for row in rows[-room:]]
        if len(rows) > room:
            shown[0] = fit(f"{self.glyphs.cut} {shown[0]}", width - 2, self.glyphs.cut)
        self.query_one("#command", Static).update("\n".join(shown))

    def _help(self, widget: Widget | None) -> None:
        name = (widget.id if widget is not None else None) or "source"
        name = "tablespace" if name.startswith("ts") else name
        try:
            self.query_one("#help", Static).update(field_help(name, self.form()))
        except NoMatches:  # a field took the focus before the help below it was made
            return
