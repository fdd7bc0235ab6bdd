"""The directory of a run: its plan, journal, tool output and report; and finding runs."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from pgrescue.backup.model import BackupPlan
from pgrescue.codec import dumps, from_plain, loads
from pgrescue.config.state import state_directory
from pgrescue.errors import PgRescueError, UsageError
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import is_alive, start_time
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run import journal
from pgrescue.run.records import Created
from pgrescue.run.state import RunState, fold
from pgrescue.survey.host import operator

_KINDS: dict[str, type[SealedPlan]] = {"backup": BackupPlan, "prune": PrunePlan}
_HOW_TO_PLAN = "make a plan: pgrescue plan --json >plan.json"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """One run's files."""

    path: Path

    @property
    def id(self) -> str:
        """The run's name."""
        return self.path.name

    @property
    def journal_path(self) -> Path:
        """The journal."""
        return self.path / journal.NAME

    @property
    def tool_log(self) -> Path:
        """Output of every program the run started."""
        return self.path / "tool.log"

    @property
    def runner_errors(self) -> Path:
        """What a runner said that could not even write its journal."""
        return self.path / "runner.err"

    @property
    def is_readable(self) -> bool:
        """Whether its plan can be read: a run of another version must not block the others."""
        try:
            self.plan()
        except UsageError:
            return False
        return True

    def plan(self) -> SealedPlan:
        """The sealed plan that the run executes."""
        return load_plan(self.path / "plan.json")

    def state(self) -> RunState:
        """The run's state now: the journal's, unless its runner is gone without a word."""
        state = fold(self.plan(), journal.read_journal(self.journal_path))
        if state.state == "running" and not is_runner_alive(state):
            return state.with_state("interrupted")
        return state


def is_runner_alive(state: RunState) -> bool:
    """Whether the process that the journal names is still the same one."""
    runner = state.runner
    return (
        runner is not None
        and runner.boot_id == boot_id()
        and is_alive(runner.pid)
        and start_time(runner.pid) == runner.process_start
    )


def boot_id() -> str:
    """Which boot of the machine this is."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def private_directory(*names: str) -> Path:
    """A directory below the state directory, for our eyes only; raises `PgRescueError`."""
    path = state_directory()
    try:
        # One by one: parents that mkdir makes on the way would get the umask's mode.
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
        for name in names:
            path = path / name
            path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise PgRescueError(
            f"{path} cannot be made: {error.strerror}.",
            "pgrescue keeps plans, runs and caches there.",
            next_steps=("name another directory in PGRESCUE_STATE",),
        ) from error
    return path


def create_run(plan: SealedPlan) -> RunDirectory:
    """A new run for a plan; nothing is executed yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    run = RunDirectory(private_directory("runs") / f"{stamp}-{plan.id[:4]}")
    try:
        run.path.mkdir(mode=0o700)
    except FileExistsError as error:
        raise PgRescueError(
            "This plan was started a moment ago.", f"The run {run.id} exists already."
        ) from error
    write_file(run.path / "plan.json", dumps(plan, indent=2), mode=0o400)
    log = journal.Journal(run.journal_path)
    log.append(
        Created(
            run=run.id,
            plan=plan.id,
            cluster=plan.cluster,
            data_directory=plan.place,
            host=plan.host,
            operator=operator(),
        )
    )
    log.close()
    return run


def list_runs() -> list[RunDirectory]:
    """Every run, oldest first."""
    root = state_directory() / "runs"
    if not root.is_dir():
        return []
    found = [RunDirectory(entry) for entry in root.iterdir()]
    return sorted((run for run in found if run.is_readable), key=lambda run: run.id)


def find_run(name: str | None) -> RunDirectory:
    """A run by its name or a unique beginning of it; the last one if None."""
    runs = list_runs()
    if not runs:
        raise UsageError("There is no run.", f"None was found in {state_directory()}.")
    if name is None:
        return runs[-1]
    matching = [run for run in runs if run.id == name] or [
        run for run in runs if run.id.startswith(name)
    ]
    if len(matching) == 1:
        return matching[0]
    known = ", ".join(run.id for run in (matching or runs)[-5:])
    title = f"'{name}' fits several runs." if matching else f"There is no run '{name}'."
    raise UsageError(title, f"Among them: {known}." if matching else f"The last ones: {known}.")


def load_plan(path: Path) -> SealedPlan:
    """Read a plan of any kind from a file; raises `UsageError` if it is none."""
    try:
        plain = loads(path.read_bytes())
        return from_plain(plain, _kind_of(plain))
    except OSError as error:
        raise UsageError(
            f"{path} cannot be read: {error.strerror}.", next_steps=(_HOW_TO_PLAN,)
        ) from error
    except msgspec.MsgspecError as error:
        raise UsageError(
            f"{path} is no plan of pgrescue.", str(error), next_steps=(_HOW_TO_PLAN,)
        ) from error


def _kind_of(plain: object) -> type[SealedPlan]:
    """The class of a plan: those of restores, which came first, do not name theirs."""
    named = plain.get("kind") if isinstance(plain, dict) else None
    return _KINDS.get(named, Plan) if isinstance(named, str) else Plan


def write_file(path: Path, text: str, mode: int = 0o600) -> None:
    """Write a whole file or none: under another name, synced, then renamed."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.rename(path)
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and new names in a directory survive a power failure."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
