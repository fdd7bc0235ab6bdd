"""The live run: a view of its journal. Leaving it leaves the run alone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from pgrescue.backup.model import BackupPlan
from pgrescue.errors import PgRescueError
from pgrescue.run.state import StepStatus
from pgrescue.tui import backup_meter, backup_plan_text, meter, plan_text
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.messages import Answered, RunChanged
from pgrescue.tui.outcome import outcome_text, verbs_of
from pgrescue.tui.screens.base import RescueScreen
from pgrescue.tui.screens.confirm import IRREVERSIBLE, Confirmation, ConfirmScreen
from pgrescue.tui.screens.page import PageScreen
from pgrescue.tui.screens.palette import MenuScreen
from pgrescue.tui.verb import Verb
from pgrescue.tui.view import Place, RunView
from pgrescue.tui.widgets.cells import state_cell
from pgrescue.tui.widgets.frame import BACKUP_STAGES, STAGES, crumb_text
from pgrescue.tui.widgets.log_tail import LogTail
from pgrescue.tui.widgets.nav_table import NavTable
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.widgets.text_pane import TextPane
from pgrescue.tui.words import clock

_POLL_SECONDS = 0.5


class RunScreen(RescueScreen):
    """A function of the latest snapshot; repainted once a second."""

    KIND = "run"
    STAGE = "run"
    CSS_PATH = "run.tcss"
    BINDINGS = bindings_of("run")

    def __init__(self, run: str) -> None:
        super().__init__()
        self._run_id = run
        self._view: RunView | None = None
        self._left = threading.Event()
        self._way: tuple[str, ...] = STAGES

    def crumb(self) -> str:
        """The way that this run lies on, as soon as it is known."""
        return crumb_text(self.STAGE, "", self.glyphs.arrow, self._way)

    def compose_body(self) -> ComposeResult:
        """Steps; below them either what is going on or how it ended."""
        yield PlainText("", id="headline")
        columns = (("", 2), ("state", 10), ("step", 54), ("time", 7))
        yield NavTable(columns, id="steps", header=False)
        with Vertical(id="live"):
            yield PlainText("", id="meter")
            yield PlainText("", id="rate")
            yield PlainText("", id="progress")
            yield PlainText("", id="notes")
            yield PlainText("", id="rule", classes="rule")
            yield LogTail(id="log")
        yield TextPane(id="outcome")

    def on_mount(self) -> None:
        """Begin to watch."""
        self.add_class("-running")
        self.query_one(NavTable).focus()
        self.set_interval(1.0, self._paint)
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def on_unmount(self) -> None:
        """Nobody looks any more; the run does not mind."""
        self._left.set()

    def action_actions(self) -> None:
        """What can be done with this run now."""
        view = self._view
        if view is not None:
            title = f"Run {self._run_id}: {view.state.state}"
            self.app.push_screen(MenuScreen(title, verbs_of(view)), self._chosen)

    def action_explain(self) -> None:
        """The step under the cursor."""
        view = self._view
        current = self.query_one(NavTable).current
        if view is None or current is None:
            return
        step = next((step for step in view.plan.steps if step.id == current), None)
        status = next(step for step in view.state.steps if step.id == current)
        text = plan_text.step_text(step) if step is not None else status.title
        result = f"\n\nresult: {status.result}" if status.result else ""
        self.rescue.show_page(f"Step: {status.title}", text + result)

    def action_log(self) -> None:
        """The programs' output, as it grows."""
        self.errand("Reading the log", partial(self.bridge.tool_log, self._run_id), self._show_log)

    def action_report(self) -> None:
        """The report, once there is one."""
        self.errand(
            "Reading the report", partial(self.bridge.report, self._run_id), self._show_report
        )

    def action_back(self) -> None:
        """Leave the screen, not the run."""
        if self._view is not None and self._view.state.state == "running":
            self.say("The run goes on. Open it again from the list.")
        super().action_back()

    @on(RunChanged)
    def _changed(self, message: RunChanged) -> None:
        before, self._view = self._view, message.view
        if before is None:
            self._way = way_of(message.view)
            self.query_one("#crumb", Static).update(self.crumb())
        if before is None or _shape(before) != _shape(message.view):
            self._paint()
            # How much of the steps is in sight is known only then.
            self.call_after_refresh(self._follow, message.view)

    def _follow(self, view: RunView) -> None:
        """Keep the step at work, or the last one that was, in sight."""
        names = [step.id for step in view.state.steps]
        if view.state.step in names:
            row = names.index(view.state.step)
            self.query_one(NavTable).move_cursor(row=row, animate=False)

    def _watch(self) -> None:
        """In a thread: look at the run until the screen is left."""
        try:
            watch = self.bridge.watch(self._run_id)
            seen: RunView | None = None
            while not self._left.is_set():
                view = watch.look()
                if view != seen:
                    seen = view
                    self.tell(RunChanged(view))
                self._left.wait(_POLL_SECONDS)
        except (PgRescueError, OSError) as problem:
            error = problem
            if not isinstance(error, PgRescueError):
                error = PgRescueError(f"The run {self._run_id} cannot be watched.", str(error))
            self._serials["watch"] = 1
            self.tell(Answered("watch", 1, lambda _: None, None, error))

    def _paint(self) -> None:
        view = self._view
        if view is None:
            return
        state = view.state
        is_running = state.state == "running"
        self.set_class(is_running, "-running")
        self.set_class(not is_running, "-ended")
        self.query_one("#headline", Static).update(headline(view, self.bridge.operator))
        numbered = list(enumerate(state.steps, 1))
        self.query_one(NavTable).show_rows(
            (step.id, step_cells(number, step, self.glyphs)) for number, step in numbered
        )
        if is_running:
            self._paint_live(view)
        else:
            self.query_one("#outcome", TextPane).show(outcome_text(view))
        place = place_of(view, self.rescue.place)
        if place != self.rescue.place:
            self.rescue.place = place
            self.show_place(place)

    def _paint_live(self, view: RunView) -> None:
        state = view.state
        self.query_one(LogTail).show(view.log)
        texts = {
            **progress_texts(view, self.size.width - 2, self.glyphs, datetime.now(UTC)),
            "notes": "\n".join(f"! {note}" for note in state.notes[-2:]),
            "rule": f"{self.glyphs.rule * 2} tool.log, l shows all ".ljust(
                self.size.width, self.glyphs.rule
            ),
        }
        if state.abort_requested:
            texts["rate"] = "Stopping at the next safe place.   " + texts["rate"]
        for name, text in texts.items():
            widget = self.query_one(f"#{name}", Static)
            if str(widget.content) != text:
                widget.update(text)

    def _chosen(self, verb: Verb | None) -> None:
        view = self._view
        if verb is None or view is None:
            return
        if verb.id == "log":
            self.action_log()
        elif verb.id == "report":
            self.action_report()
        else:
            asked = confirmation(verb, view, self.bridge.operator)
            taking_over = view.state.owner != self.bridge.operator
            self.app.push_screen(ConfirmScreen(asked), partial(self._confirmed, verb, taking_over))

    def _confirmed(self, verb: Verb, taking_over: bool, said_yes: bool | None) -> None:
        if not said_yes:
            return
        acts = {
            "resume": self.bridge.resume,
            "undo": self.bridge.undo,
            "discard": self.bridge.discard,
            "abort": self.bridge.abort,
        }
        act = partial(acts[verb.id], self._run_id, taking_over=taking_over)
        self.errand(verb.label, act, lambda _: self.say(f"{verb.label}: under way."))

    def _show_log(self, answer: tuple[str, str]) -> None:
        path, text = answer
        source = partial(self.bridge.tool_log, self._run_id)
        self.app.push_screen(PageScreen("Log", text, path=path, source=source))

    def _show_report(self, answer: tuple[str, str]) -> None:
        path, text = answer
        self.app.push_screen(PageScreen("Report", text, path=path, stage="report", way=self._way))


def confirmation(verb: Verb, view: RunView, operator: str) -> Confirmation:
    """What is asked before something is done; a run of somebody else's is taken over by name."""
    typed, lines, why = verb.typed, verb.asks, IRREVERSIBLE
    if (owner := view.state.owner) != operator:
        lines = (f"The run belongs to {owner}: you take it over, and that is written down.", *lines)
        if typed is None:
            typed, why = owner, f"Does {owner} know?"
    return Confirmation(
        title=f"On host {view.plan.host}: cluster {view.state.cluster}",
        lines=lines,
        verb=verb.label.partition(":")[0],
        typed=typed,
        typed_why=why,
    )


def headline(view: RunView, operator: str) -> str:
    """What this run is about, how far it is, and whose it is if not the operator's own."""
    done = sum(step.state == "done" for step in view.state.steps)
    subject, undo = view.plan.subject, "Undo: "
    if isinstance(view.plan, BackupPlan):
        subject, undo = backup_plan_text.headline(view.plan), "Removal: "
    purpose = {"undo": undo, "discard": "Discard after: "}.get(view.state.purpose, "")
    owner = "" if view.state.owner == operator else f"{view.state.owner}'s run: you watch.  "
    return f"{done}/{len(view.state.steps)} steps  {owner}{purpose}{subject}"


def way_of(view: RunView) -> tuple[str, ...]:
    """The stages that lead to a run."""
    return BACKUP_STAGES if isinstance(view.plan, BackupPlan) else STAGES


def place_of(view: RunView, before: Place) -> Place:
    """Where one is; a backup's own directory is not the cluster's."""
    state = view.state
    place = replace(before, cluster=state.cluster, run=f"run {state.state.upper()}")
    if not isinstance(view.plan, BackupPlan):
        return replace(place, data_directory=state.data_directory, server=view.server)
    if before.cluster == state.cluster:
        return place
    return replace(place, data_directory="", server="unknown")


def progress_texts(view: RunView, width: int, glyphs: Glyphs, now: datetime) -> dict[str, str]:
    """The lines about the step at work, by the widgets that show them."""
    state = view.state
    if isinstance(view.plan, BackupPlan):
        return {
            "meter": backup_meter.bar(state, view.plan, width, glyphs),
            "rate": backup_meter.rate_line(state, now),
            "progress": backup_meter.detail_lines(state, view.plan),
        }
    return {
        "meter": meter.bar(state.progress, width, glyphs) if state.progress else "",
        "rate": meter.rate_line(state, now),
        "progress": meter.detail_lines(state.progress),
    }


def step_cells(number: int, step: StepStatus, glyphs: Glyphs) -> list[Text]:
    """One row of the steps."""
    return [
        Text(f"{number:>2}"),
        state_cell(step.state, glyphs) if step.state != "pending" else Text(""),
        Text(step.title),
        Text(clock(step.seconds), justify="right"),
    ]


def _shape(view: RunView) -> object:
    """What is worth painting at once, before the second is over."""
    return (view.state.state, view.state.step, view.report, view.discardable)
