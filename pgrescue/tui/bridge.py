"""The one way from the screens to the rest of pgrescue; everything here may block."""

from __future__ import annotations

from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from pgrescue.backup.model import BackupPlan
from pgrescue.catalog.model import Backup
from pgrescue.config.model import Config
from pgrescue.config.state import private_directory
from pgrescue.errors import PgRescueError, Refused, UsageError
from pgrescue.plan.facts import ClusterFacts
from pgrescue.plan.model import Plan
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.printable import printable_lines
from pgrescue.run import acts
from pgrescue.run.deletable import Deletable, counted, kept_wal
from pgrescue.run.durable import write_file
from pgrescue.run.fold import fold
from pgrescue.run.journal import Reading
from pgrescue.run.later_runs import replaced_by
from pgrescue.run.records import Progress
from pgrescue.run.run_directory import RunDirectory, find_run, is_runner_alive, list_runs
from pgrescue.run.state import ENDED, RunState
from pgrescue.survey.archive import look_at_archive
from pgrescue.survey.host import host_name, operator
from pgrescue.tui.backup_bridge import TakingBridge, plan_as_text
from pgrescue.tui.history_bridge import PastBridge
from pgrescue.tui.view import ClusterGlance, RunRow, RunView, RunWatch, Server

_TAIL_BYTES = 8192
_LOG_BYTES = 256 * 1024
_SHOWN_RUNS = 20


class DeskBridge(PastBridge, TakingBridge):
    """The bridge to the real world."""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.operator = operator()
        self.host = host_name()
        self.zone = config.time_zone
        self.config = str(config.path or "")

    def clusters(self) -> tuple[str, ...]:
        """The configured clusters' names."""
        return tuple(self._config.clusters)

    def server(self, cluster: str) -> Server:
        """Whether its server runs: a quick look, which reads no backups."""
        return _server_in(self._config.cluster(cluster).data_directory)

    def glance(self, cluster: str) -> ClusterGlance:
        """The cluster, its backups and its archive as they stand now."""
        work = self._desk(cluster)
        facts = work.facts()
        archive, _ = look_at_archive(work.cluster, facts.owner)
        backups: tuple[Backup, ...] = ()
        problem = archive.problem and f"{archive.path}: {archive.problem}"
        try:
            backups = tuple(work.backups())
        except PgRescueError as error:
            problem = f"{error.title} {error.cause}".strip()
        server, detail = _server(facts)
        return ClusterGlance(
            name=cluster,
            data_directory=facts.directory.path,
            version=str(facts.pg_version or "-"),
            server=server,
            server_detail=detail,
            backup_places=tuple(map(str, work.cluster.backups)),
            backups=backups,
            archive=archive.path or archive.restore_command,
            segments=archive.segment_count if archive.listed else None,
            problem=problem,
        )

    def runs(self) -> tuple[RunRow, ...]:
        """The last runs, newest first."""
        return tuple(_row(run) for run in reversed(list_runs()[-_SHOWN_RUNS:]))

    def running(self) -> str | None:
        """The run at work, if there is one."""
        run = acts.running_run()
        return None if run is None else run.id

    def backups(self, cluster: str) -> tuple[Backup, ...]:
        """The catalog."""
        return tuple(self._desk(cluster).backups())

    def plan(self, cluster: str, request: RestoreRequest) -> Plan:
        """A sealed plan."""
        return self._desk(cluster).plan(request)

    def save_plan(self, plan: SealedPlan) -> Path:
        """Write the plan as text beside its JSON; returns where."""
        path = private_directory("plans") / f"{plan.id}.txt"
        write_file(path, plan_as_text(plan))
        return path

    def start(self, plan: SealedPlan) -> str:
        """Start executing the plan; returns the run's id."""
        return acts.start(plan).id

    def watch(self, run: str) -> RunWatch:
        """Begin to observe a run."""
        return JournalWatch(find_run(run))

    def resume(self, run: str, *, taking_over: bool = False) -> None:
        """Go on with a run."""
        acts.resume_run(find_run(run), taking_over=taking_over)

    def undo(self, run: str, *, taking_over: bool = False) -> None:
        """Put back what a run set aside."""
        acts.undo_run(find_run(run), taking_over=taking_over)

    def discard(self, run: str, *, taking_over: bool = False) -> None:
        """Delete what a run set aside."""
        acts.discard_run(find_run(run), taking_over=taking_over)

    def abort(self, run: str, *, taking_over: bool = False) -> None:
        """Ask a run to stop at the next safe place."""
        if not acts.abort_run(find_run(run), taking_over=taking_over):
            raise Refused(f"The run {run} is not at work.", "There is nothing to stop.")

    def report(self, run: str) -> tuple[str, str]:
        """The report's path and text."""
        path = find_run(run).path / "report.md"
        try:
            return str(path), path.read_text()
        except OSError as error:
            raise UsageError(
                "There is no report yet.", "It is written when the runner ends."
            ) from error

    def tool_log(self, run: str) -> tuple[str, str]:
        """Path and last part of what the run's programs said."""
        path = find_run(run).tool_log
        return str(path), "\n".join(_last_lines(path, _LOG_BYTES))


class JournalWatch:
    """Follows a run's journal; only what was added since the last look is read."""

    def __init__(self, run: RunDirectory) -> None:
        self._run = run
        self._plan = run.plan()
        self._found = Reading()
        self._offset = 0
        self._to_discard: tuple[Deletable, ...] = ()
        self._kept_wal = ""
        self._replaced_by = ""

    def look(self) -> RunView:
        """The run as its journal, its runner and its server stand now."""
        before = self._offset
        self._read()
        state = self._state()
        if self._offset != before and state.state != "running":
            self._replaced_by = replaced_by(state)
        state = replace(state, replaced_by=self._replaced_by)
        if self._offset != before and state.state in ENDED:
            self._to_discard = tuple(acts.discardable(self._run))
            self._kept_wal = str(kept_wal(self._plan, state) or "")
        elif any(item.size_bytes is None for item in self._to_discard):
            # Counting may take a while: the end of the run is shown first.
            self._to_discard = tuple(map(counted, self._to_discard))
        report = self._run.path / "report.md"
        ended = state.state != "running"
        return RunView(
            plan=self._plan,
            state=state,
            directory=str(self._run.path),
            log=tuple(_last_lines(self._run.tool_log, _TAIL_BYTES)),
            server=_server_on(self._plan),
            discardable=self._to_discard if ended else (),
            kept_wal=self._kept_wal if ended else "",
            report=str(report) if ended and report.exists() else None,
        )

    def _state(self) -> RunState:
        state = fold(self._plan, self._found.records)
        if state.state == "running" and not is_runner_alive(state):
            # Its last words may have been written between reading and looking for it.
            self._read()
            state = fold(self._plan, self._found.records)
        return self._run.as_seen(state, self._found)

    def _read(self) -> None:
        path = self._run.journal_path
        if path.stat().st_size < self._offset or self._found.is_torn:  # it has been written anew
            self._found, self._offset = Reading(), 0
        with path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        self._found.feed(whole)
        told = self._found.records
        # Of progress only the newest counts; a run of days has many thousands of them.
        self._found.records = [
            record
            for record, after in zip_longest(told, told[1:])
            if not (isinstance(record, Progress) and isinstance(after, Progress))
        ]


def _server(facts: ClusterFacts) -> tuple[Server, str]:
    postmaster = facts.postmaster
    if postmaster is not None:
        port = f", port {postmaster.port}" if postmaster.port else ""
        return "running", f"pid {postmaster.pid}{port}, {postmaster.status or 'state unknown'}"
    if not facts.directory.exists:
        return "gone", "the data directory does not exist"
    if facts.pg_version is None:
        return "gone", "there is no PG_VERSION: the directory holds no cluster"
    return "stopped", facts.control.state if facts.control else facts.control_problem or ""


def _server_on(plan: SealedPlan) -> Server:
    """The server that a run is about, where it is about one of this machine."""
    if not isinstance(plan, Plan):
        return "unknown"
    return _server_in(Path(plan.place))


def _server_in(data_directory: Path) -> Server:
    if find_postmaster(data_directory) is not None:
        return "running"
    return "stopped" if (data_directory / "PG_VERSION").exists() else "gone"


def _row(run: RunDirectory) -> RunRow:
    state, plan = run.state(), run.plan()
    return RunRow(
        id=run.id,
        cluster=state.cluster,
        state=state.state,
        purpose=state.purpose,
        target=plan.subject,
        created_at=state.created_at,
        set_aside=state.set_aside,
        is_backup=isinstance(plan, BackupPlan),
    )


def _last_lines(path: Path, count: int) -> list[str]:
    """The whole lines among the last bytes of a file, fit for a terminal."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(size - count, 0))
            data = file.read()
    except FileNotFoundError:
        return []
    lines = data.decode(errors="replace").splitlines()
    return [printable_lines(line).expandtabs(8) for line in (lines[1:] if size > count else lines)]
