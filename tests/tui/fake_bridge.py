"""A bridge to a hand-made world, which remembers what it was asked to do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pgrescue.backup.model import BackupPlan
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import PgRescueError
from pgrescue.history.model import CursorView, Incident, SegmentGlance, TimelinePicture
from pgrescue.plan.model import Plan, Transaction
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.lsn import Lsn
from pgrescue.tui.view import BackupSetting, ClusterGlance, RunRow, RunView, Server
from pgrescue.verify.model import Verification
from tests.tui import archives, backups, snapshots


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
    archive: TimelinePicture | PgRescueError = archives.ONE
    commits: int = 5
    """In every segment, evenly."""
    destroyed: tuple[Incident, ...] | PgRescueError = (archives.incident(20.5),)
    position_error: PgRescueError | None = None
    why_not: str | None = None
    wait: Callable[[str], None] = lambda what: None
    """Called in the errand's thread before an answer about the past."""
    steps: int = 3
    """Segments that a search for incidents speaks of."""
    setting: BackupSetting | PgRescueError = backups.SETTING
    backup_planned: BackupPlan | PgRescueError = field(default_factory=backups.plan)
    verified: Verification | PgRescueError = backups.WHOLE
    seen_server: Server | None = None
    """What a later look than the glance sees."""
    asked: list[RestoreRequest] = field(default_factory=list)
    asked_backups: list[BackupRequest] = field(default_factory=list)
    done: list[str] = field(default_factory=list)

    def clusters(self) -> tuple[str, ...]:
        return tuple(glance.name for glance in self.glances)

    def server(self, cluster: str) -> Server:
        known = {glance.name: glance.server for glance in self.glances}
        return self.seen_server or known.get(cluster, "unknown")

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

    def save_plan(self, plan: SealedPlan) -> Path:
        self.done.append("save")
        return Path(f"/var/lib/pgrescue/plans/{plan.id}.txt")

    def start(self, plan: SealedPlan) -> str:
        self.done.append(f"start {plan.id}")
        return snapshots.RUN

    def watch(self, run: str) -> FakeBridge:
        return self

    def look(self) -> RunView:
        return self.view

    def resume(self, run: str, *, taking_over: bool = False) -> None:
        self.done.append(f"resume {run}{', taking over' * taking_over}")

    def undo(self, run: str, *, taking_over: bool = False) -> None:
        self.done.append(f"undo {run}{', taking over' * taking_over}")

    def discard(self, run: str, *, taking_over: bool = False) -> None:
        self.done.append(f"discard {run}{', taking over' * taking_over}")

    def abort(self, run: str, *, taking_over: bool = False) -> None:
        self.done.append(f"abort {run}{', taking over' * taking_over}")

    def report(self, run: str) -> tuple[str, str]:
        return f"/var/lib/pgrescue/runs/{run}/report.md", "# Restore of db1/main: succeeded\n"

    def tool_log(self, run: str) -> tuple[str, str]:
        return f"/var/lib/pgrescue/runs/{run}/tool.log", "\n".join(self.view.log)

    def backup_setting(self, cluster: str) -> BackupSetting:
        if isinstance(self.setting, PgRescueError):
            raise self.setting
        return self.setting

    def backup_plan(self, cluster: str, request: BackupRequest) -> BackupPlan:
        self.asked_backups.append(request)
        if isinstance(self.backup_planned, PgRescueError):
            raise self.backup_planned
        return self.backup_planned

    def verify(
        self, cluster: str, backup: str, progress: Callable[[int, str], None]
    ) -> Verification:
        for step in range(1, self.steps + 1):
            progress(step * snapshots.GIB, f"base/16384/{step}")
            self.wait("verify")
        if isinstance(self.verified, PgRescueError):
            raise self.verified
        self.done.append(f"verified {backup}")
        return self.verified

    def timeline(self, cluster: str) -> TimelinePicture:
        self.wait("timeline")
        if isinstance(self.archive, PgRescueError):
            raise self.archive
        return self.archive

    def read_segments(
        self, cluster: str, timeline: int, numbers: Sequence[int]
    ) -> tuple[SegmentGlance, ...]:
        self.wait("segments")
        self.done.append(f"read {len(numbers)} of {timeline}")
        return tuple(
            glance
            for number in numbers
            for glance in archives.glances(timeline, [self.commits], number)
        )

    def transactions(self, cluster: str, timeline: int, number: int) -> tuple[Transaction, ...]:
        self.wait("transactions")
        self.done.append(f"commits of {timeline}:{number}")
        return tuple(archives.commit(number + n / self.commits) for n in range(self.commits))

    def at_position(self, cluster: str, timeline: int, lsn: Lsn) -> CursorView:
        self.wait("position")
        self.done.append(f"at {timeline}:{lsn}")
        if self.position_error is not None:
            raise self.position_error
        return CursorView(
            timeline=timeline,
            lsn=lsn,
            last_kept=archives.commit(lsn / archives.SIZE - 0.01, 63885),
            first_lost=archives.commit(lsn / archives.SIZE, 63886),
            lost=12,
            lost_is_exact=True,
            backup=None if self.why_not else snapshots.GOOD.id,
            why_not=self.why_not,
            arguments=("--to-lsn", str(lsn), "--exclusive", "--timeline", str(timeline)),
        )

    def incidents(self, cluster: str, progress: Callable[[int, int], None]) -> tuple[Incident, ...]:
        for done in range(1, self.steps + 1):
            progress(done, self.steps)
            self.wait("incidents")
        if isinstance(self.destroyed, PgRescueError):
            raise self.destroyed
        return self.destroyed

    def locate(self, cluster: str, timeline: int, moment: datetime) -> Lsn:
        self.wait("locate")
        return archives.at((moment - archives.NOON) / archives.A_MINUTE)
