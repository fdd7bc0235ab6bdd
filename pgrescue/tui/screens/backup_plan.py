"""The plan of a backup."""

from __future__ import annotations

from rich.text import Text

from pgrescue.backup.model import BackupPlan
from pgrescue.backup.text import command_lines, summary
from pgrescue.config.backup_request import BackupRequest
from pgrescue.tui import backup_plan_text
from pgrescue.tui.keys import bindings_of
from pgrescue.tui.screens.confirm import Confirmation
from pgrescue.tui.screens.plan import PlanScreen
from pgrescue.tui.widgets.frame import BACKUP_STAGES


class BackupPlanScreen(PlanScreen[BackupPlan]):
    """Beside checks and steps: the command as it will be run."""

    KIND = "backup_plan"
    WAY = BACKUP_STAGES
    BINDINGS = bindings_of("backup_plan")
    TABS = ("1 checks", "2 steps", "3 command")
    LOOKING_AT = "Asking the server, looking at the place for the backup"

    def __init__(self, cluster: str, request: BackupRequest, command: str) -> None:
        super().__init__(command)
        self._cluster = cluster
        self._request = request

    def make(self) -> BackupPlan:
        """The plan of a backup."""
        return self.bridge.backup_plan(self._cluster, self._request)

    def headline(self, plan: BackupPlan) -> str:
        """What it makes, where and of which server."""
        return backup_plan_text.headline(plan)

    def verdict(self, plan: BackupPlan) -> Text:
        """Whether it can run, how big it will be and how long it will take."""
        return backup_plan_text.verdict(plan, self.glyphs)

    def step_note(self, plan: BackupPlan, step_id: str) -> Text:
        """How long the step takes."""
        return backup_plan_text.step_note(plan, step_id)

    def part(self, plan: BackupPlan, tab: str) -> str | Text:
        """The choices and the command."""
        return f"{summary(plan)}\n\n{command_lines(plan)}"

    def confirmation(self, plan: BackupPlan) -> Confirmation:
        """What a backup costs the server; nothing of it has to be undone."""
        return Confirmation(
            title=f"Take a backup on host {plan.host}: cluster {plan.cluster}",
            lines=backup_plan_text.consequences(plan),
            verb="Take the backup",
        )

    def action_copy(self) -> None:
        """Offer the command to the terminal's clipboard; the third tab shows it."""
        if (plan := self._plan) is None:
            self.say("The plan is not ready yet.")
            return
        self.app.copy_to_clipboard(command_lines(plan))
        self.say("Copied, where the terminal allows it (OSC 52).")
