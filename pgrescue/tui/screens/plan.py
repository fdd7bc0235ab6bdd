"""A plan: the dry run, and the only place from which anything is started."""

from __future__ import annotations

import time
from dataclasses import replace
from functools import partial
from typing import ClassVar, Generic, TypeVar

from rich.text import Text
from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import DataTable, Static

from pgrescue.errors import PgRescueError
from pgrescue.plan.sealed import SealedPlan
from pgrescue.tui import plan_text
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.screens.confirm import Confirmation, ConfirmScreen
from pgrescue.tui.view import Server
from pgrescue.tui.widgets.choice import Choice
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane
from pgrescue.tui.words import clock

_LISTS = ("checks", "steps")
P = TypeVar("P", bound=SealedPlan)


class PlanScreen(RescueScreen, Generic[P]):
    """Checks first, then steps with their commands, then what this kind of plan has beside them."""

    STAGE = "plan"
    CSS_PATH = "plan.tcss"
    TABS: ClassVar[tuple[str, ...]]
    """Its parts, each behind its number: "checks" and "steps" first."""
    LOOKING_AT: ClassVar[str]
    """What is read while the plan is made."""

    def __init__(self, command: str) -> None:
        """`command` is the command line that makes the same plan."""
        super().__init__()
        self._command = command
        self._plan: P | None = None
        self._began = time.monotonic()
        self._starting = False

    def make(self) -> P:
        """The plan, made in a thread; raises `PgRescueError`."""
        raise NotImplementedError

    def headline(self, plan: P) -> str:
        """What it does, in one line."""
        raise NotImplementedError

    def verdict(self, plan: P) -> Text:
        """Whether it can run, in one line."""
        raise NotImplementedError

    def step_note(self, plan: P, step_id: str) -> Text:
        """What is to be known of a step at a glance."""
        raise NotImplementedError

    def part(self, plan: P, tab: str) -> str | Text:
        """What a tab shows that is neither checks nor steps."""
        raise NotImplementedError

    def confirmation(self, plan: P) -> Confirmation:
        """The question that comes before the first change."""
        raise NotImplementedError

    def compose_body(self) -> ComposeResult:
        """A line on what it is about, the tabs, and the part that is chosen."""
        yield PlainText("", id="headline")
        yield PlainText("", id="verdict")
        yield PlainText("", id="making")
        with Vertical(id="parts", classes="hidden"):
            yield Choice(self.TABS, id="tabs", changed=self._show)
            with Container(id="lists"):
                yield NavTable((("", 9), ("check", 68)), id="checks", header=False)
                yield NavTable((("", 2), ("step", 54), ("note", 8)), id="steps", header=False)
                yield PlainText("", id="rule", classes="rule")
                yield TextPane(id="detail")

    def on_mount(self) -> None:
        """Make the plan, in a thread; once a second say how long it has taken."""
        self.query_one("#tabs").can_focus = False
        self.set_interval(1.0, self._tick)
        self.action_refresh()

    def on_resize(self, event: events.Resize) -> None:
        """The line between list and detail is as long as the screen is wide."""
        self.query_one("#rule", Static).update(self.glyphs.rule * event.size.width)

    def action_refresh(self) -> None:
        """Make the plan again with the same choices."""
        if self._starting:
            return
        self._plan, self._began = None, time.monotonic()
        self.query_one("#parts").add_class("hidden")
        self.query_one("#making").remove_class("hidden")
        self._tick()
        self.errand("Making the plan", self.make, self._made)
        # It may have stopped, or been started, since the overview looked.
        look = partial(self.bridge.server, self.rescue.place.cluster)
        self.errand("Looking at the server", look, self._server_seen)

    def _server_seen(self, server: Server) -> None:
        self.rescue.set_place(replace(self.rescue.place, server=server))

    def action_execute(self) -> None:
        """Ask for confirmation; a plan that a check forbids is not offered at all."""
        plan = self._plan
        if plan is None or self._starting:
            self.say("The plan is not ready yet.")
        elif plan.blockers:
            self.say(f"This plan cannot run: {plan.blockers[0].message}", warn=True)
        else:
            self.app.push_screen(ConfirmScreen(self.confirmation(plan)), self._confirmed)

    def action_tab(self, number: int) -> None:
        """Show one of the parts."""
        self.query_one("#tabs", Choice).value = self.TABS[number - 1]
        self._show()

    def action_next_tab(self) -> None:
        """Show the next part."""
        self.query_one("#tabs", Choice).action_step(1)

    def action_previous_tab(self) -> None:
        """Show the previous part."""
        self.query_one("#tabs", Choice).action_step(-1)

    def action_write(self) -> None:
        """Write the plan to a file."""
        if (plan := self._plan) is not None:
            self.errand(
                "Writing the plan",
                lambda: self.bridge.save_plan(plan),
                lambda path: self.say(f"Written to {path}"),
            )

    def action_explain(self) -> None:
        """What is under the cursor in full, and the command that makes this plan."""
        text = f"{self._detail()}\n\nThis plan from the command line:\n  {self._command}"
        self.rescue.show_page(f"Plan: {self._tab}", text)

    @on(DataTable.RowHighlighted)
    def _moved(self) -> None:
        self._show_detail()

    @property
    def _tab(self) -> str:
        return self.query_one("#tabs", Choice).value.partition(" ")[2]

    def _tick(self) -> None:
        if self._plan is None:
            seconds = clock(time.monotonic() - self._began)
            self.query_one("#making", Static).update(
                f"Making the plan. Nothing is changed by it.\n{self.LOOKING_AT} ... {seconds}"
            )

    def _made(self, plan: P) -> None:
        self._plan = plan
        self.query_one("#headline", Static).update(self.headline(plan))
        self.query_one("#verdict", Static).update(self.verdict(plan))
        self.query_one("#checks", NavTable).show_rows(
            (finding.code + str(index), plan_text.finding_cells(finding, self.glyphs))
            for index, finding in enumerate(plan_text.findings_of(plan))
        )
        self.query_one("#steps", NavTable).show_rows(
            (step.id, plan_text.step_cells(number, step, self.step_note(plan, step.id)))
            for number, step in enumerate(plan.steps, 1)
        )
        self.query_one("#making").add_class("hidden")
        self.query_one("#parts").remove_class("hidden")
        needs_eye = any(finding.status != "ok" for finding in plan.preflight)
        self.action_tab(1 if needs_eye else 2)

    def _show(self) -> None:
        for name in _LISTS:
            self.query_one(f"#{name}").set_class(self._tab != name, "hidden")
        self.query_one("#rule").set_class(self._tab not in _LISTS, "hidden")
        self._show_detail()
        self.query_one(f"#{self._tab}" if self._tab in _LISTS else "#detail").focus()

    def _show_detail(self) -> None:
        plan = self._plan
        if plan is None:
            return
        self.query_one("#detail", TextPane).show(self._detail())

    def _detail(self) -> str | Text:
        plan = self._plan
        if plan is None:
            return ""
        match self._tab:
            case "checks":
                row = self.query_one("#checks", NavTable).cursor_row
                findings = plan_text.findings_of(plan)
                return plan_text.finding_text(findings[row]) if row < len(findings) else ""
            case "steps":
                row = self.query_one("#steps", NavTable).cursor_row
                return plan_text.step_text(plan.steps[row]) if row < len(plan.steps) else ""
            case tab:
                return self.part(plan, tab)

    def _confirmed(self, said_yes: bool | None) -> None:
        plan = self._plan
        if not said_yes or plan is None:
            return
        self._starting = True
        self.query_one("#verdict", Static).update("Starting the run ...")
        self.errand("Starting the run", lambda: self.bridge.start(plan), self.rescue.open_run)

    def failed(self, name: str, error: PgRescueError) -> None:
        """Without a plan there is nothing to look at here: back to the choices, with the reason."""
        self._starting = False
        if self._plan is None:
            self.rescue.pop_screen()
        else:
            self.query_one("#verdict", Static).update(self.verdict(self._plan))
        super().failed(name, error)
