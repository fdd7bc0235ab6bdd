"""The directory of a run: its plan, journal, tool output and report; and finding runs."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pgrescue.codec import dumps
from pgrescue.config.state import private_directory, state_directory
from pgrescue.errors import PgRescueError, Refused, UsageError
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import is_alive, start_time
from pgrescue.run import journal
from pgrescue.run.durable import sync_directory, write_file
from pgrescue.run.fold import fold
from pgrescue.run.plan_file import kept_at, load_plan
from pgrescue.run.records import Created, Started
from pgrescue.run.state import RunState
from pgrescue.survey.host import boot_id, operator

_STAMP = "%Y%m%d-%H%M%S"


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
    def plan_path(self) -> Path:
        """The sealed plan."""
        return self.path / "plan.json"

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
        return load_plan(self.plan_path)

    def created(self) -> Created | None:
        """What its journal begins with: what the run is about; None if that cannot be read."""
        try:
            first = next(iter(journal.read_journal(self.journal_path)), None)
        except OSError:
            return None
        return first if isinstance(first, Created) else None

    def check_plan(self) -> None:
        """Raise `Refused` if the plan is not the very file that the run was made with."""
        created = self.created()
        if created is not None and created.plan_digest not in ("", _digest(self.plan_path)):
            kept = kept_at(created.plan)
            raise Refused(
                f"The plan of the run {self.id} was altered after the run was made.",
                f"{self.plan_path} is not what was written then.",
                next_steps=(f"if nobody touched that one: cp {kept} {self.plan_path}",),
            )

    def state(self) -> RunState:
        """The run's state now."""
        found = journal.read_closely(self.journal_path)
        return self.as_seen(fold(self.plan(), found.records), found)

    def as_seen(self, state: RunState, found: journal.Reading) -> RunState:
        """What the journal tells, unless its runner is gone without a word.

        What a runner said that could not write its journal any more is among the notes, and that
        the journal is damaged.
        """
        state = state if state.run else replace(state, run=self.id)
        if found.damaged is not None:
            told = f"Its journal is damaged at line {found.damaged}: what came after is not told."
            state = replace(state, notes=(*state.notes, told))
        if state.state == "running" and not is_runner_alive(state):
            state = state.with_state("interrupted")
        if state.state == "interrupted" and (said := self.last_words()):
            return replace(state, notes=(*state.notes, f"The runner's last words: {said}"))
        return state

    def last_words(self) -> str:
        """What the last runner said beside its journal, its last 2 KiB; empty as a rule."""
        try:
            return self.runner_errors.read_text(errors="replace")[-2048:].strip()
        except FileNotFoundError:
            return ""


def is_runner_alive(state: RunState) -> bool:
    """Whether the process that the journal names is still the same one."""
    runner = state.runner
    return (
        runner is not None
        and runner.boot_id == boot_id()
        and is_alive(runner.pid)
        and start_time(runner.pid) == runner.process_start
    )


def create_run(plan: SealedPlan) -> RunDirectory:
    """A new run for a plan, with its name only once it is whole; nothing is executed yet."""
    runs = private_directory("runs")
    run = RunDirectory(runs / _name_for(plan))
    unfinished = RunDirectory(runs / f".{run.id}.{os.getpid()}")
    try:
        unfinished.path.mkdir(mode=0o700)
        _fill(unfinished, run.id, plan)
        unfinished.path.rename(run.path)
        sync_directory(runs)
    except OSError as error:
        shutil.rmtree(unfinished.path, ignore_errors=True)
        if run.path.exists():
            raise PgRescueError(
                "This plan was started a moment ago.", f"The run {run.id} exists already."
            ) from error
        raise PgRescueError(
            f"The run cannot be prepared: {error.strerror}.",
            f"It happened in {runs}, where every run keeps its journal.",
            next_steps=(f"make room: df -h {runs}", "or name another place in PGRESCUE_STATE"),
        ) from error
    return run


def _name_for(plan: SealedPlan) -> str:
    """By the clock; behind the last run's if that has been set back: names tell their order."""
    name = f"{datetime.now(UTC):{_STAMP}}-{plan.id[:4]}"
    last = max((run.id for run in _all_runs() if _moment(run.id)), default="")
    moment = _moment(last)
    if moment is None or last <= name:
        return name
    return f"{moment + timedelta(seconds=1):{_STAMP}}-{plan.id[:4]}"


def _moment(name: str) -> datetime | None:
    """The time in a run's name; None if it is no name of a run."""
    try:
        return datetime.strptime(name[:15], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _fill(directory: RunDirectory, run: str, plan: SealedPlan) -> None:
    write_file(directory.plan_path, dumps(plan, indent=2), mode=0o400)
    for path in (directory.tool_log, directory.runner_errors):
        path.touch(mode=0o600)
    log = journal.Journal(directory.journal_path)
    log.append(
        Created(
            run=run,
            plan=plan.id,
            cluster=plan.cluster,
            data_directory=plan.place,
            host=plan.host,
            operator=operator(),
            plan_digest=_digest(directory.plan_path),
        )
    )
    log.close()
    sync_directory(directory.path)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def withdraw(run: RunDirectory) -> None:
    """Take away a run that no runner has taken over: it has done nothing, and never will."""
    records = journal.read_journal(run.journal_path)
    if any(isinstance(record, Started) for record in records):
        return
    shutil.rmtree(run.path, ignore_errors=True)


def list_runs() -> list[RunDirectory]:
    """Every run whose plan can be read, oldest first."""
    return [run for run in _all_runs() if run.is_readable]


def unreadable_runs() -> list[RunDirectory]:
    """The runs that `list_runs` leaves out: of another version, or damaged; oldest first."""
    return [run for run in _all_runs() if not run.is_readable]


def _all_runs() -> list[RunDirectory]:
    root = state_directory() / "runs"
    try:
        if not root.is_dir():
            return []
        found = [RunDirectory(entry) for entry in root.iterdir() if not entry.name.startswith(".")]
    except OSError as error:
        raise Refused(
            f"The runs in {root} cannot be read: {error.strerror}.",
            "Whether there are any, and what they are about, is not known.",
            next_steps=(
                f"as the owner of {state_directory()}, or root: the same command",
                "or name another state directory in PGRESCUE_STATE",
            ),
        ) from error
    return sorted(found, key=lambda run: run.id)


def find_run(name: str | None) -> RunDirectory:
    """A run by its name or a unique beginning of it; the last one if None.

    Raises `UsageError` if there is none, and `Refused` if it is one whose plan cannot be read: what
    is meant by the last run is never an earlier one.
    """
    runs = _all_runs()
    if not runs:
        raise UsageError(
            "There is no run.",
            f"None was found in {state_directory()}.",
            next_steps=("if they are elsewhere: name that place in PGRESCUE_STATE",),
        )
    if name is None:
        return _readable(runs[-1])
    matching = [run for run in runs if run.id == name] or [
        run for run in runs if run.id.startswith(name)
    ]
    if len(matching) == 1:
        return _readable(matching[0])
    known = ", ".join(run.id for run in (matching or runs)[-5:])
    title = f"'{name}' fits several runs." if matching else f"There is no run '{name}'."
    raise UsageError(
        title,
        f"Among them: {known}." if matching else f"The last ones: {known}.",
        next_steps=("pgrescue runs   lists them",),
    )


def _readable(run: RunDirectory) -> RunDirectory:
    try:
        run.plan()
    except UsageError as error:
        created = run.created()
        kept = None if created is None else kept_at(created.plan)
        mend = (f"if it was damaged: cp {kept} {run.plan_path}",) if kept else ()
        raise Refused(
            f"The plan of the run {run.id} cannot be read.",
            " ".join((error.title, error.cause)),
            next_steps=(
                *mend,
                "if another version of pgrescue made it: use that one",
                "if you mean another run: name it; pgrescue runs lists them",
            ),
        ) from error
    return run
