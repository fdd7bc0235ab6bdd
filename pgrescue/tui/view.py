"""What crosses from the bridge to the screens: frozen snapshots; screens are functions of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal, Protocol

from pgrescue.backup.model import BackupPlan
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.history.model import CursorView, Incident, SegmentGlance, TimelinePicture
from pgrescue.plan.facts import HostFacts
from pgrescue.plan.model import Plan, Transaction
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.deletable import Deletable
from pgrescue.run.state import RunState
from pgrescue.verify.model import Verification

Server = Literal["running", "stopped", "gone", "unknown"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one is: the first row of every screen."""

    operator: str
    host: str
    cluster: str = ""
    data_directory: str = ""
    server: Server = "unknown"
    run: str = ""


@dataclass(frozen=True, slots=True)
class ClusterGlance:
    """One cluster in the overview."""

    name: str
    data_directory: str
    version: str
    server: Server
    server_detail: str
    backup_places: tuple[str, ...]
    backups: tuple[Backup, ...]
    archive: str | None
    segments: int | None
    problem: str | None
    """What is wrong with the configured places, in words."""

    @property
    def newest(self) -> Backup | None:
        """The newest backup that can be restored."""
        usable = [backup for backup in self.backups if backup.usable and backup.started_at]
        return max(usable, key=lambda backup: str(backup.started_at), default=None)


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run in the overview."""

    id: str
    cluster: str
    state: str
    purpose: str
    target: str
    created_at: datetime | None
    set_aside: str | None
    is_backup: bool = False
    """Whether it takes a backup: then there is no old data."""


@dataclass(frozen=True, slots=True)
class BackupSetting:
    """What the choices of a backup begin with, before the server has been asked."""

    configured: BackupRequest
    host: HostFacts
    root: str | None
    """The first configured directory for backups."""
    program: str
    """pg_basebackup, with its directory where that is known."""
    major: int | None
    """The version that the data directory or the configured programs say."""
    conninfo: str | None
    """The cluster's own server; None where it does not run."""
    run_as: str | None
    """The account that pg_basebackup is started under, if not ours."""


@dataclass(frozen=True, slots=True)
class RunView:
    """Everything the run screen shows."""

    plan: SealedPlan
    state: RunState
    directory: str
    log: tuple[str, ...]
    """The last lines of tool.log."""
    server: Server
    discardable: tuple[Deletable, ...]
    kept_wal: str
    """For which WAL a part stays that would otherwise be deleted, too; as a rule nothing."""
    report: str | None
    """Path of the report, once there is one."""


class RunWatch(Protocol):
    """A run under observation."""

    def look(self) -> RunView:
        """How it stands now."""


class HistoryBridge(Protocol):
    """What the screens can ask about the past. Everything may block and raise `PgRescueError`."""

    def timeline(self, cluster: str) -> TimelinePicture:
        """The archive by its names; opens next to nothing."""

    def read_segments(
        self, cluster: str, timeline: int, numbers: Sequence[int]
    ) -> tuple[SegmentGlance, ...]:
        """Read these segments of one timeline; asked for in small portions."""

    def transactions(self, cluster: str, timeline: int, number: int) -> tuple[Transaction, ...]:
        """Every commit in the file of one segment, in the order of the WAL."""

    def at_position(self, cluster: str, timeline: int, lsn: Lsn) -> CursorView:
        """What a recovery to just before a position keeps and loses."""

    def incidents(self, cluster: str, progress: Callable[[int, int], None]) -> tuple[Incident, ...]:
        """Transactions that destroyed data. May take long: `progress` is told how many segments
        have been read and of how many; what it raises gives the search up."""

    def locate(self, cluster: str, timeline: int, moment: datetime) -> Lsn:
        """The position of the first commit after a time."""


class BackupBridge(Protocol):
    """What can be asked about backups that are to be taken, or looked through."""

    def backup_setting(self, cluster: str) -> BackupSetting:
        """What the choices of a backup begin with; asks no server."""

    def backup_plan(self, cluster: str, request: BackupRequest) -> BackupPlan:
        """A sealed plan of a backup; raises `Refused` where the server cannot be asked."""

    def verify(
        self, cluster: str, backup: str, progress: Callable[[int, str], None]
    ) -> Verification:
        """Read a backup to its end. May take long: `progress` is told how many bytes have been
        read, and of which file; what it raises gives the reading up."""


class Bridge(HistoryBridge, BackupBridge, Protocol):
    """What the screens can ask for or have done. Everything may block and raise `PgRescueError`."""

    operator: str
    host: str
    zone: str | None
    config: str

    def clusters(self) -> tuple[str, ...]: ...
    def server(self, cluster: str) -> Server: ...
    def glance(self, cluster: str) -> ClusterGlance: ...
    def runs(self) -> tuple[RunRow, ...]: ...
    def running(self) -> str | None: ...
    def backups(self, cluster: str) -> tuple[Backup, ...]: ...
    def plan(self, cluster: str, request: RestoreRequest) -> Plan: ...
    def save_plan(self, plan: SealedPlan) -> Path: ...
    def start(self, plan: SealedPlan) -> str: ...
    def watch(self, run: str) -> RunWatch: ...
    def resume(self, run: str, *, taking_over: bool = False) -> None: ...
    def undo(self, run: str, *, taking_over: bool = False) -> None: ...
    def discard(self, run: str, *, taking_over: bool = False) -> None: ...
    def abort(self, run: str, *, taking_over: bool = False) -> None: ...
    def report(self, run: str) -> tuple[str, str]: ...
    def tool_log(self, run: str) -> tuple[str, str]: ...
