"""The plan: the dry run of a restore, and the only place from which one is started."""

from __future__ import annotations

import time

from textual import events, on
from textual.app import ComposeResult
from textual.containers import Container, Vertical
from textual.widgets import DataTable, Static

from pgrescue.errors import PgRescueError
from pgrescue.plan.model import Plan
from pgrescue.plan.render_shell import render_shell
from pgrescue.plan.request import RestoreRequest
from pgrescue.tui import plan_text
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.screens.confirm import Confirmation, ConfirmScreen
from pgrescue.tui.widgets.choice import Choice
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane
from pgrescue.tui.words import clock

_TABS = ("1 checks", "2 steps", "3 settings", "4 space", "5 commands")
_LISTS = ("checks", "steps")


class PlanScreen(RescueScreen):
    """Checks first, then steps with their commands, settings, space, and all of it as a script."""

    KIND = "plan"
    STAGE = "plan"
    CSS_PATH = "plan.tcss"
    BINDINGS = bindings_of("plan")

    def __init__(self, cluster: str, request: RestoreRequest, command: str) -> None:
        super().__init__()
        self._cluster = cluster
        self._request = request
        self._command = command
        self._plan: Plan | None = None
        self._began = time.monotonic()
        self._starting = False

    def compose_body(self) -> ComposeResult:
        """A line on what it is about, the tabs, and the part that is chosen."""
        yield PlainText("", id="headline")
        yield PlainText("", id="verdict")
        yield PlainText("", id="making")
        with Vertical(id="parts", classes="hidden"):
            yield Choice(_TABS, id="tabs", changed=self._show)
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
        cluster, request = self._cluster, self._request
        self.errand("Making the plan", lambda: self.bridge.plan(cluster, request), self._made)

    def action_execute(self) -> None:
        """Ask for confirmation; a plan that a check forbids is not offered at all."""
        plan = self._plan
        if plan is None or self._starting:
            self.say("The plan is not ready yet.")
        elif plan.blockers:
            self.say(f"This plan cannot run: {plan.blockers[0].message}", warn=True)
        else:
            self.app.push_screen(ConfirmScreen(confirmation(plan)), self._confirmed)

    def action_tab(self, number: int) -> None:
        """Show one of the parts."""
        self.query_one("#tabs", Choice).value = _TABS[number - 1]
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
                "Making the plan. Nothing is changed by it.\n"
                f"Reading the backup, the WAL archive and the cluster ... {seconds}"
            )

    def _made(self, plan: Plan) -> None:
        self._plan = plan
        self.query_one("#headline", Static).update(plan_text.headline(plan))
        self.query_one("#verdict", Static).update(plan_text.verdict(plan, self.glyphs))
        self.query_one("#checks", NavTable).show_rows(
            (finding.code + str(index), plan_text.finding_cells(finding, self.glyphs))
            for index, finding in enumerate(plan_text.findings_of(plan))
        )
        self.query_one("#steps", NavTable).show_rows(
            (step.id, plan_text.step_cells(number, step, plan))
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
        pane = self.query_one("#detail", TextPane)
        pane.show(plan_text.settings_text(plan) if self._tab == "settings" else self._detail())

    def _detail(self) -> str:
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
            case "settings":
                return plan.settings_diff
            case "space":
                return plan_text.space_text(plan)
            case _:
                return render_shell(plan)

    def _confirmed(self, said_yes: bool | None) -> None:
        plan = self._plan
        if not said_yes or plan is None:
            return
        self._starting = True
        self.query_one("#verdict", Static).update("Starting the run ...")
        self.errand("Starting the run", lambda: self.bridge.start(plan), self.rescue.open_run)

    def failed(self, name: str, error: PgRescueError) -> None:
        """Without a plan there is nothing to look at here: back to the target, with the reason."""
        self._starting = False
        if self._plan is None:
            self.rescue.pop_screen()
        else:
            self.query_one("#verdict", Static).update(plan_text.verdict(self._plan, self.glyphs))
        super().failed(name, error)


def confirmation(plan: Plan) -> Confirmation:
    """The question that comes before the first change."""
    verb = "Restore in place" if plan.mode == "in_place" else "Restore into the clone"
    return Confirmation(
        title=f"{verb} on host {plan.host}: cluster {plan.cluster}",
        lines=plan_text.consequences(plan),
        verb=verb,
        typed=None if plan.reversible else plan.identity,
    )
