"""The target: where recovery stops, what happens there, and where the result goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.css.query import NoMatches
from textual.events import DescendantFocus
from textual.widget import Widget
from textual.widgets import Button, Input, Static

from pgrescue.catalog.model import BackupTablespace
from pgrescue.errors import PgRescueError
from pgrescue.printable import printable
from pgrescue.tui.backup_text import window_text
from pgrescue.tui.form import (
    ACTIONS,
    FIELD_HELP,
    KIND_HELP,
    KINDS,
    WITH_SIDE,
    WITHOUT_VALUE,
    Form,
    command_line,
    echo,
    read_request,
    read_target,
)
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.view import ClusterGlance
from pgrescue.tui.widgets.choice import Choice
from pgrescue.tui.widgets.plain_text import PlainText

_LABELS = {
    "kind": "Recover to",
    "value": "Value",
    "side": "The target",
    "action": "At the end",
    "timeline": "Timeline",
    "where": "Where",
    "into": "Into",
    "port": "Port",
    "old": "Old data",
    "result": "Result",
}
_CHOICES = {
    "kind": KINDS,
    "side": ("include", "exclude"),
    "action": ACTIONS,
    "where": ("in place", "clone"),
    "old": ("keep", "delete"),
    "result": ("primary", "standby"),
}


class TargetScreen(RescueScreen):
    """A form of one-row fields; what is typed is checked as it is typed."""

    KIND = "target"
    STAGE = "target"
    CSS_PATH = "target.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        *bindings_of("target"),
        ("up", "app.focus_previous", ""),
        ("down", "app.focus_next", ""),
    ]

    def __init__(self, glance: ClusterGlance, form: Form) -> None:
        """`form` is what the fields say at first."""
        super().__init__()
        self._glance = glance
        self._backup = form.backup
        self._first = form

    @property
    def cluster(self) -> str:
        """The cluster that is to be restored."""
        return self._glance.name

    def compose_body(self) -> ComposeResult:
        """Fields, the button, and help for the field under the cursor."""
        # No VerticalScroll: that would take up and down for itself.
        with Vertical(id="fields"):
            for name in _LABELS:
                yield from self._field(name)
                if name == "value":
                    yield PlainText("", id="echo")
            for tablespace in self._tablespaces():
                label = f"Tblspc {tablespace.oid}"
                field = Input(
                    compact=True, placeholder=printable(tablespace.path), id=f"ts{tablespace.oid}"
                )
                yield Horizontal(PlainText(label, classes="label"), field, classes="field")
            yield Button("Make the plan", id="plan-button", compact=True)
        yield PlainText("", id="help")

    def on_mount(self) -> None:
        """Begin with the kind of target."""
        self._fill(self._first)
        self._check()
        self.query_one("#kind").focus()

    def action_timeline(self) -> None:
        """Choose on the map; its choice comes back into this form."""
        self.rescue.open_timeline(self._glance)

    def action_make_plan(self) -> None:
        """Go on to the plan, or say what is wrong and where."""
        form = self.form()
        try:
            request = read_request(form, self.bridge.zone)
        except PgRescueError as error:
            self.say(f"{error.title} {error.cause}".strip(), warn=True)
            self.query_one("#into" if "clone" in error.title else "#value").focus()
            return
        self.rescue.open_plan(self._glance.name, request, command_line(form, self._glance.name))

    def action_explain(self) -> None:
        """The fields' meanings and the same as a command."""
        lines = [f"{_LABELS.get(name, name):<12} {text}" for name, text in FIELD_HELP.items()]
        kinds = [f"  {kind:<11} {text}" for kind, text in KIND_HELP.items()]
        command = command_line(self.form(), self._glance.name)
        text = "\n".join([*lines, "", "Kinds of target:", *kinds])
        self.rescue.show_page("Target", f"These choices as a command:\n  {command}\n\n{text}")

    def form(self) -> Form:
        """The fields as they stand."""
        values = {name: self.query_one(f"#{name}", Choice).value for name in _CHOICES}
        typed = {n: self.query_one(f"#{n}", Input).value for n in _LABELS if n not in _CHOICES}
        tablespaces = tuple(
            (t.path, self.query_one(f"#ts{t.oid}", Input).value) for t in self._tablespaces()
        )
        return Form(backup=self._backup, tablespaces=tablespaces, **values, **typed)

    @on(Input.Changed)
    def _changed(self) -> None:
        self._check()

    @on(Input.Submitted)
    @on(Button.Pressed)
    def _entered(self) -> None:
        self.action_make_plan()

    def on_descendant_focus(self, event: DescendantFocus) -> None:
        """Explain the field that the cursor has come to."""
        self._help(event.widget)

    def _field(self, name: str) -> Iterator[Widget]:
        field: Widget = Input(compact=True, id=name)
        if name in _CHOICES:
            field = Choice(_CHOICES[name], id=name, changed=self._check)
        yield Horizontal(PlainText(_LABELS[name], classes="label"), field, classes="field")

    def _fill(self, form: Form) -> None:
        for name in _LABELS:
            value = str(getattr(form, name))
            if name in _CHOICES:
                self.query_one(f"#{name}", Choice).value = value
            else:
                self.query_one(f"#{name}", Input).value = value
        for tablespace in self._tablespaces():
            place = dict(form.tablespaces).get(tablespace.path, "")
            self.query_one(f"#ts{tablespace.oid}", Input).value = place

    def _check(self) -> None:
        """Show the fields that matter now, and what was understood of them."""
        form = self.form()
        visible = {
            "value": form.kind not in WITHOUT_VALUE,
            "side": form.kind in WITH_SIDE,
            "action": form.kind != "latest",
            "into": form.is_clone,
            "port": form.is_clone,
            "old": not form.is_clone,
        }
        for name, shown in visible.items():
            field = self.query_one(f"#{name}").parent
            assert isinstance(field, Widget)
            # Not by a class: styles of classes follow later than the next key may come.
            field.display = shown
        line = self.query_one("#echo", Static)
        try:
            line.update(
                echo(read_target(form, self.bridge.zone), datetime.now(UTC), self.bridge.zone)
            )
            line.remove_class("wrong")
        except PgRescueError as error:
            line.update(f"{error.title} {error.cause}".strip())
            line.set_class(bool(form.value), "wrong")
        self._help(self.focused)

    def _help(self, widget: Widget | None) -> None:
        name = (widget.id if widget is not None else None) or ""
        name = {"plan-button": "plan"}.get(name, "tablespace" if name.startswith("ts") else name)
        kind = self.query_one("#kind", Choice).value
        text = KIND_HELP[kind] if name in ("kind", "value") else FIELD_HELP.get(name, "")
        try:
            self.query_one("#help", Static).update(f"{text}\n{self._window()}")
        except NoMatches:  # a field took the focus before the help below it was made
            return

    def _window(self) -> str:
        chosen = [b for b in self._glance.backups if b.id == self._backup]
        if chosen:
            return f"From {self._backup}: {window_text(chosen[0])}."
        newest = self._glance.newest
        return (
            f"From the backup that fits best; the newest, {newest.id}: {window_text(newest)}."
            if (newest)
            else "No backup is usable."
        )

    def _tablespaces(self) -> tuple[BackupTablespace, ...]:
        found = {
            t.oid: t
            for b in self._glance.backups
            if b.usable and self._backup in (b.id, "auto")
            for t in b.tablespaces
        }
        return tuple(found.values())
