"""The plan of a restore."""

from __future__ import annotations

from rich.text import Text

from pgrescue.plan.model import Plan
from pgrescue.plan.render_shell import render_shell
from pgrescue.plan.request import RestoreRequest
from pgrescue.tui import plan_text
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.confirm import Confirmation
from pgrescue.tui.screens.plan import PlanScreen


class RestorePlanScreen(PlanScreen[Plan]):
    """Beside checks and steps: settings, space, and all of it as a script."""

    KIND = "plan"
    BINDINGS = bindings_of("plan")
    TABS = ("1 checks", "2 steps", "3 settings", "4 space", "5 commands")
    LOOKING_AT = "Reading the backup, the WAL archive and the cluster"

    def __init__(self, cluster: str, request: RestoreRequest, command: str) -> None:
        super().__init__(command)
        self._cluster = cluster
        self._request = request

    def make(self) -> Plan:
        """The plan of a restore."""
        return self.bridge.plan(self._cluster, self._request)

    def headline(self, plan: Plan) -> str:
        """Where, and to which target."""
        return plan_text.headline(plan)

    def verdict(self, plan: Plan) -> Text:
        """Whether it can run and be taken back."""
        return plan_text.verdict(plan, self.glyphs)

    def step_note(self, plan: Plan, step_id: str) -> Text:
        """What cannot be undone, and what waits for a word."""
        return plan_text.step_note(plan, step_id)

    def part(self, plan: Plan, tab: str) -> str | Text:
        """Settings, space or script."""
        match tab:
            case "settings":
                return plan_text.settings_text(plan)
            case "space":
                return plan_text.space_text(plan)
            case _:
                return render_shell(plan)

    def confirmation(self, plan: Plan) -> Confirmation:
        """What a restore does to the cluster; typed where there is no way back."""
        verb = "Restore in place" if plan.mode == "in_place" else "Restore into the clone"
        return Confirmation(
            title=f"{verb} on host {plan.host}: cluster {plan.cluster}",
            lines=plan_text.consequences(plan),
            verb=verb,
            typed=None if plan.reversible else plan.identity,
        )
