"""What can be done with plans and runs: start, go on, take back, delete."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from pgrescue.backup.model import BackupPlan
from pgrescue.errors import PgRescueError, Refused, UsageError
from pgrescue.plan.facts import UnfinishedRun
from pgrescue.plan.sealed import SealedPlan, check_seal
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.backup_place import was_renamed
from pgrescue.run.deletable import Deletable, discardable_paths, kept_wal, obstacle
from pgrescue.run.journal import read_journal
from pgrescue.run.later_runs import check_no_later_run
from pgrescue.run.launch import launch, request_abort
from pgrescue.run.owner import ask_to_abort, check_owner
from pgrescue.run.records import MakingDirectory, Moved, Moving, Purpose, Retired, Retiring
from pgrescue.run.run_directory import RunDirectory, create_run, list_runs, withdraw
from pgrescue.run.state import ENDED, RunState

_NOTHING_DELETED = "Nothing was deleted."


def unfinished_runs(data_directory: str) -> list[UnfinishedRun]:
    """Runs on this directory that are at work, wait, or stopped half-way."""
    wanted = str(Path(data_directory).resolve())
    found = []
    for run in list_runs():
        state = run.state()
        changed_nothing = state.state == "failed" and not state.has_left_something
        if state.data_directory == wanted and state.state not in ENDED and not changed_nothing:
            found.append(UnfinishedRun(run.id, state.state, wanted in state.made))
    return found


def running_run() -> RunDirectory | None:
    """The newest run that is at work now: what the UI opens on."""
    return next((run for run in reversed(list_runs()) if run.state().state == "running"), None)


def start(plan: SealedPlan) -> RunDirectory:
    """Start executing exactly this plan; raises `Refused` if a check forbids it."""
    check_seal(plan)
    if plan.blockers:
        first = plan.blockers[0]
        raise Refused(
            first.message,
            "; ".join(finding.message for finding in plan.blockers[1:]),
            next_steps=tuple(finding.fix for finding in plan.blockers if finding.fix),
        )
    run = create_run(plan)
    try:
        launch(run, _purpose_of(plan))
    except PgRescueError:
        withdraw(run)
        raise
    return run


def _purpose_of(plan: SealedPlan) -> Purpose:
    """What a runner is started for to do what a plan says."""
    if isinstance(plan, PrunePlan):
        return "prune"
    return "backup" if isinstance(plan, BackupPlan) else "restore"


def resume_run(run: RunDirectory, *, taking_over: bool = False) -> None:
    """Go on: after an interruption or failure, or past the pause at the target.

    This and all that follows raises `Refused` for a run of another operator, unless it is taken
    over.
    """
    state = run.state()
    check_owner(state, taking_over=taking_over)
    if state.state == "running":
        raise Refused(f"The run {run.id} is at work.", next_steps=(f"pgrescue attach {run.id}",))
    if state.state in ENDED:
        raise UsageError(
            f"The run {run.id} has ended: {state.state}.",
            next_steps=("pgrescue runs lists those that go on",),
        )
    if state.purpose != "discard":
        check_no_later_run(state)
    launch(run, state.purpose)


def abort_run(run: RunDirectory, *, taking_over: bool = False) -> bool:
    """Ask a run's runner to stop where it is safe; False if none is at work."""
    check_owner(run.state(), taking_over=taking_over)
    ask_to_abort(run)
    return request_abort(run)


def undo_run(run: RunDirectory, *, taking_over: bool = False) -> None:
    """Put back what the run set aside; raises `Refused` while it is at work."""
    state = run.state()
    check_owner(state, taking_over=taking_over)
    _check_it_can_be_undone(run, state)
    check_no_later_run(state)
    launch(run, "undo")


def _check_it_can_be_undone(run: RunDirectory, state: RunState) -> None:
    if state.state == "running":
        raise Refused(
            f"The run {run.id} is at work.",
            "Stop it first, then put the old data back.",
            next_steps=(f"pgrescue abort {run.id}", f"pgrescue undo {run.id}"),
        )
    if state.is_undone and (state.state == "undone" or state.deletion_begun):
        how = "resume" if state.deletion_begun and state.state != "undone" else "discard"
        raise UsageError(
            f"The run {run.id} has been undone already.",
            next_steps=(f"pgrescue {how} {run.id}   deletes what it had restored",),
        )
    if state.deletion_begun:
        raise UsageError(
            f"The run {run.id} cannot be undone.",
            "What it had set aside was deleted, or its deletion was begun.",
            next_steps=("look what the backups lead to: pgrescue plan",),
        )
    if state.backup is not None:
        raise UsageError(
            f"The run {run.id} cannot be undone.",
            f"It has taken the backup {state.backup.id}; that is deleted by a plan of its own.",
            next_steps=("pgrescue retention",),
        )
    plan = run.plan()
    if isinstance(plan, BackupPlan) and was_renamed(plan.work, state):
        raise Refused(
            f"It has become a backup already: {plan.work.destination}.",
            "The run ended between the renaming and the entry in its journal.",
            next_steps=(f"pgrescue resume {run.id}   completes it",),
        )


def discard_run(run: RunDirectory, *, taking_over: bool = False) -> None:
    """Delete for good what an ended run has set aside; raises `Refused` for one that may go on."""
    state = run.state()
    check_owner(state, taking_over=taking_over)
    if state.state not in ENDED:
        raise Refused(
            f"The run {run.id} has not ended: {state.state}.",
            "What it set aside may still be needed.",
            next_steps=(f"pgrescue resume {run.id}", f"pgrescue undo {run.id}"),
        )
    listed = discardable(run)
    if not listed and (kept := kept_wal(run.plan(), state)):
        raise Refused(
            f"What is left of the run {run.id} may be the only copy of some WAL.",
            f"{kept} Restores from the backups that there are need it.",
            unchanged=_NOTHING_DELETED,
            next_steps=("take a base backup: pgrescue backup", f"then: pgrescue discard {run.id}"),
        )
    if not listed:
        raise UsageError(
            f"The run {run.id} has nothing set aside.",
            "It set nothing aside, or that was deleted or put back.",
        )
    for item in listed:
        if found := obstacle(state, item.path):
            raise Refused(
                found.title, found.cause, unchanged=_NOTHING_DELETED, next_steps=found.next_steps
            )
    launch(run, "discard")


def discardable(run: RunDirectory) -> list[Deletable]:
    """What `discard` would delete, and since when it has been there; not counted yet."""
    paths = discardable_paths(run.plan(), run.state())
    since = _put_there(run)
    return [Deletable(path, since.get(path)) for path in paths if Path(path).exists()]


def _put_there(run: RunDirectory) -> dict[str, datetime]:
    """When each path got what the run put there, as its journal tells."""
    times: dict[str, datetime] = {}
    for record in read_journal(run.journal_path):
        match record:
            case Moving() | Moved():
                path = record.aside
            case Retiring() | Retired():
                path = record.retired
            case MakingDirectory():
                path = record.path
            case _:
                continue
        if record.at is not None:
            times[path] = record.at
    return times
