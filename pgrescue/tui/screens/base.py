"""The frame of every screen, and what all of them can do."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widget import Widget

from pgrescue.errors import PgRescueError
from pgrescue.printable import printable_lines
from pgrescue.tui.errand import ErrandScreen
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.keys import help_text
from pgrescue.tui.view import Bridge, ClusterGlance, Place
from pgrescue.tui.widgets.frame import STAGES, KeyBar, StatusLine, crumb_text
from pgrescue.tui.widgets.plain_text import PlainText

if TYPE_CHECKING:
    from pgrescue.tui.application import RescueApp

_TOO_SMALL = (
    "pgrescue needs a terminal of at least 60 columns and 18 rows.\n"
    "Make this one bigger, or use the commands: pgrescue status, pgrescue attach."
)


class RescueScreen(ErrandScreen[None]):
    """Status line, breadcrumb, body, keys."""

    KIND: ClassVar[str]
    """Its name in the registry of keys."""
    STAGE: ClassVar[str | None] = None
    """Its place on the way from the cluster to the report."""
    WAY: ClassVar[tuple[str, ...]] = STAGES
    """That way."""
    HEADING: ClassVar[str] = ""

    @property
    def rescue(self) -> RescueApp:
        """The app, by its own type."""
        from pgrescue.tui.application import RescueApp

        assert isinstance(self.app, RescueApp)
        return self.app

    @property
    def bridge(self) -> Bridge:
        """The way to everything that is not the screen."""
        return self.rescue.bridge

    @property
    def glyphs(self) -> Glyphs:
        """The signs that this terminal can show."""
        return self.rescue.glyphs

    @property
    def focus_chain(self) -> list[Widget]:
        """In the order in which they are made.

        Textual goes by places on the screen, and a field that was just shown has none yet: the key
        that is typed behind the one that showed it would pass it by.
        """
        order = {widget: number for number, widget in enumerate(self.walk_children(Widget))}
        return sorted(super().focus_chain, key=order.__getitem__)

    def compose(self) -> ComposeResult:
        """The frame; the body is the screen's own."""
        yield StatusLine()
        yield PlainText(self.crumb(), id="crumb")
        with Vertical(id="body"):
            yield from self.compose_body()
        yield KeyBar(self.KIND)
        yield PlainText(_TOO_SMALL, id="too-small")

    def compose_body(self) -> ComposeResult:
        """What lies between the breadcrumb and the keys."""
        raise NotImplementedError

    def crumb(self) -> str:
        """The second row."""
        return crumb_text(self.STAGE, self.HEADING, self.glyphs.arrow, self.WAY)

    def on_screen_resume(self) -> None:
        """Coming back: the place may have changed meanwhile."""
        self.show_place(self.rescue.place)

    def show_place(self, place: Place) -> None:
        """Say where we are."""
        self.query_one(StatusLine).show(place, self.glyphs)

    def failed(self, name: str, error: PgRescueError) -> None:
        """Show an error in its own words."""
        self.rescue.show_error(error)

    def say(self, message: str, *, warn: bool = False) -> None:
        """A word in passing."""
        self.notify(
            printable_lines(message), severity="warning" if warn else "information", markup=False
        )

    def action_help(self) -> None:
        """The keys, on a page of their own."""
        self.rescue.show_page("Help", help_text(self.KIND))

    def action_back(self) -> None:
        """Leave this screen."""
        self.rescue.pop_screen()

    def choose_backup(self, glance: ClusterGlance, parent: str = "") -> None:
        """Go on to the choices of a new backup; `parent` is proposed for an incremental one."""
        self.errand(
            "Reading what backups begin with",
            partial(self.bridge.backup_setting, glance.name),
            partial(self.rescue.open_backup, glance, parent),
        )

    def action_palette(self) -> None:
        """Find an action by name."""
        self.rescue.show_palette(self.KIND)
