"""The app itself: which screen comes when. It holds no state that the journals do not have."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import ClassVar

from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.screen import ModalScreen, Screen

from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import PgRescueError
from pgrescue.history.model import Incident
from pgrescue.plan.request import RestoreRequest
from pgrescue.tui.form import Form, form_from_arguments
from pgrescue.tui.glyphs import ASCII, UNICODE
from pgrescue.tui.key import Key
from pgrescue.tui.lifeline import Lifeline
from pgrescue.tui.screens.backup import BackupScreen
from pgrescue.tui.screens.backup_plan import BackupPlanScreen
from pgrescue.tui.screens.catalog import CatalogScreen
from pgrescue.tui.screens.error import ErrorScreen
from pgrescue.tui.screens.incidents import IncidentsScreen
from pgrescue.tui.screens.overview import OverviewScreen
from pgrescue.tui.screens.page import PageScreen
from pgrescue.tui.screens.palette import PaletteScreen
from pgrescue.tui.screens.plan import PlanScreen
from pgrescue.tui.screens.restore_plan import RestorePlanScreen
from pgrescue.tui.screens.run import RunScreen
from pgrescue.tui.screens.target import TargetScreen
from pgrescue.tui.screens.timeline import TimelineScreen
from pgrescue.tui.screens.verify import VerifyScreen
from pgrescue.tui.theme import PGRESCUE, theme_for
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.view import BackupSetting, Bridge, ClusterGlance, Place
from pgrescue.tui.widgets.plain_text import NothingObeyed

_SAYING_WHERE = (
    OverviewScreen,
    CatalogScreen,
    TargetScreen,
    TimelineScreen,
    IncidentsScreen,
    PlanScreen,
    BackupScreen,
)


class RescueApp(App[None]):
    """From the overview to the report."""

    TITLE = "pgrescue"
    # Textual does not load the stylesheet of a default screen by itself.
    CSS_PATH: ClassVar[list[str | PurePath]] = ["app.tcss", "screens/overview.tcss"]
    ENABLE_COMMAND_PALETTE = False
    # Textual declares these two in a form that ClassVar cannot override for mypy.
    HORIZONTAL_BREAKPOINTS = [(0, "-too-narrow"), (60, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-too-low"), (18, "-low"), (24, "-high")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+q,ctrl+c", "quit", show=False, priority=True)
    ]

    def __init__(
        self,
        bridge: Bridge,
        cluster: str | None = None,
        *,
        ascii_only: bool = False,
        lifeline: Lifeline | None = None,
        notice: str = "",
    ) -> None:
        """`cluster` is the one under the cursor at first, `notice` a word to the operator."""
        # Textual chooses its filter for NO_COLOR here, by the colours it has at this moment.
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.bridge = bridge
        self.glyphs = ASCII if ascii_only else UNICODE
        self.place = Place(bridge.operator, bridge.host, cluster or "")
        self._lifeline = lifeline
        self._notice = notice
        self._guard = NothingObeyed()
        self.register_theme(PGRESCUE)
        self.theme = theme_for(self.console.color_system, no_color=self.no_color)
        if ascii_only:
            self.add_class("-ascii")

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Every row of every widget passes here on its way to the terminal."""
        return [*super().get_line_filters(), self._guard]

    def get_default_screen(self) -> Screen[None]:
        """The root of the stack of screens."""
        return OverviewScreen(self.place.cluster, self._notice)

    def on_mount(self) -> None:
        """Open on the run at work, if there is one."""
        if self._lifeline is not None:
            self._lifeline.attach(asyncio.get_running_loop())
        if (run := self.bridge.running()) is not None:
            self.open_run(run)

    def set_place(self, place: Place) -> None:
        """Say on the screen where we are."""
        self.place = place
        for screen in self.screen_stack:
            if isinstance(screen, _SAYING_WHERE):
                screen.show_place(place)

    def open_catalog(self, glance: ClusterGlance) -> None:
        """The backups of a cluster."""
        self.push_screen(CatalogScreen(glance))

    def open_target(
        self, glance: ClusterGlance, backup: str, arguments: Sequence[str] = ()
    ) -> None:
        """Where to recover to, from one backup or the best one; `arguments` fill in the form.

        If the way led here from a form, that form goes on, with another target.
        """
        form = Form(backup=backup)
        below = [
            screen
            for screen in self.screen_stack
            if isinstance(screen, TargetScreen) and screen.cluster == glance.name
        ]
        if below:
            form = replace(below[-1].form(), backup=backup)
        if arguments:
            try:
                form = form_from_arguments(arguments, form)
            except PgRescueError as error:
                self.show_error(error)
                return
        while below and below[-1] in self.screen_stack:
            self.pop_screen()
        self.push_screen(TargetScreen(glance, form))

    def open_timeline(
        self,
        glance: ClusterGlance,
        place: Cursor | None = None,
        incidents: tuple[Incident, ...] | None = None,
    ) -> None:
        """The map of the WAL, at a place on it."""
        screen = self.screen
        if isinstance(screen, IncidentsScreen) and isinstance(
            below := self.screen_stack[-2], TimelineScreen
        ):
            self.pop_screen()
            below.go_to(place, incidents)
        else:
            self.push_screen(TimelineScreen(glance, place, incidents))

    def open_incidents(
        self, glance: ClusterGlance, incidents: tuple[Incident, ...] | None = None
    ) -> None:
        """What destroyed data; None are known yet, or these."""
        screen = self.screen
        if isinstance(screen, TimelineScreen) and isinstance(
            self.screen_stack[-2], IncidentsScreen
        ):
            self.pop_screen()
        else:
            self.push_screen(IncidentsScreen(glance, incidents))

    def incidents_found(self, incidents: tuple[Incident, ...]) -> None:
        """Draw them on the map that is open below."""
        for screen in self.screen_stack:
            if isinstance(screen, TimelineScreen):
                screen.go_to(None, incidents)

    def open_plan(self, cluster: str, request: RestoreRequest, command: str) -> None:
        """The dry run."""
        self.push_screen(RestorePlanScreen(cluster, request, command))

    def open_backup(self, glance: ClusterGlance, parent: str, setting: BackupSetting) -> None:
        """The choices of a backup that is to be taken."""
        self.push_screen(BackupScreen(glance, setting, parent))

    def open_backup_plan(self, cluster: str, request: BackupRequest, command: str) -> None:
        """The dry run of a backup."""
        self.push_screen(BackupPlanScreen(cluster, request, command))

    def open_verify(self, cluster: str, backup: Backup) -> None:
        """A backup that is read to its end."""
        self.push_screen(VerifyScreen(cluster, backup))

    def backup_verified(self) -> None:
        """Have the catalog that is open below show what has come out of it."""
        for screen in self.screen_stack:
            if isinstance(screen, CatalogScreen):
                screen.read_again()

    def open_run(self, run: str) -> None:
        """A run, straight above the overview: the way back does not lead through its plan."""
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.push_screen(RunScreen(run))

    def show_page(self, heading: str, text: str, path: str | None = None) -> None:
        """Text to read."""
        self.push_screen(PageScreen(heading, text, path=path))

    def show_error(self, error: PgRescueError) -> None:
        """An error in its own words: what, why, what was left alone, what next."""
        self.push_screen(ErrorScreen(error))

    def show_palette(self, kind: str) -> None:
        """Find an action of the screen of that kind; it is run there."""
        screen = self.screen

        async def perform(key: Key | None) -> None:
            if key is not None:
                await screen.run_action(key.action)

        self.push_screen(PaletteScreen(kind), perform)

    def run_of_place(self, words: str) -> None:
        """Show a run's state in the first row."""
        self.place = replace(self.place, run=words)

    async def action_quit(self) -> None:
        """Leave; in a dialog only the dialog. A run at work is not touched."""
        if isinstance(self.screen, ModalScreen):
            self.screen.dismiss(None)
        else:
            self.exit()
