"""A bridge to a hand-made world, which remembers what it was asked to do."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.errors import PgRescueError
from pgrescue.plan.model import Plan
from pgrescue.plan.request import RestoreRequest
from pgrescue.tui.view import ClusterGlance, RunRow, RunView
from tests.tui import snapshots


@dataclass
class FakeBridge:
    """Answers at once with what the test put into it."""

    glances: tuple[ClusterGlance, ...] = (snapshots.GLANCE, snapshots.GONE)
    rows: tuple[RunRow, ...] = (snapshots.ROW,)
    planned: Plan | PgRescueError = field(default_factory=snapshots.plan)
    view: RunView = field(default_factory=snapshots.extracting)
    at_work: str | None = None
    operator: str = "anna"
    host: str = "db1"
    zone: str | None = "Europe/Berlin"
    config: str = "/etc/pgrescue/pgrescue.toml"
    asked: list[RestoreRequest] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def clusters(self) -> tuple[str, ...]:
        return tuple(glance.name for glance in self.glances)

    def glance(self, cluster: str) -> ClusterGlance:
        return next(glance for glance in self.glances if glance.name == cluster)

    def runs(self) -> tuple[RunRow, ...]:
        return self.rows

    def running(self) -> str | None:
        return self.at_work

    def backups(self, cluster: str) -> tuple[Backup, ...]:
        return self.glance(cluster).backups

    def plan(self, cluster: str, request: RestoreRequest) -> Plan:
        self.asked.append(request)
        if isinstance(self.planned, PgRescueError):
            raise self.planned
        return self.planned

    def save_plan(self, plan: Plan) -> Path:
        self.done.append("save")
        return Path(f"/var/lib/pgrescue/plans/{plan.id}.txt")

    def start(self, plan: Plan) -> str:
        self.done.append(f"start {plan.id}")
        return snapshots.RUN

    def watch(self, run: str) -> FakeBridge:
        return self

    def look(self) -> RunView:
        return self.view

    def resume(self, run: str) -> None:
        self.done.append(f"resume {run}")

    def undo(self, run: str) -> None:
        self.done.append(f"undo {run}")

    def discard(self, run: str) -> None:
        self.done.append(f"discard {run}")

    def abort(self, run: str) -> None:
        self.done.append(f"abort {run}")

    def report(self, run: str) -> tuple[str, str]:
        return f"/var/lib/pgrescue/runs/{run}/report.md", "# Restore of db1/main: succeeded\n"

    def tool_log(self, run: str) -> tuple[str, str]:
        return f"/var/lib/pgrescue/runs/{run}/tool.log", "\n".join(self.view.log)
