"""The runner: executes a sealed plan step by step, or takes it back, journaling as it goes.

A process of its own, without a terminal: started by `launch`, watched through its journal.
"""

from __future__ import annotations

import os
import signal
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

from pgrescue.errors import NOTHING_CHANGED, ExitCode, PgRescueError, Refused
from pgrescue.plan.model import check_seal
from pgrescue.postgres.postmaster import find_postmaster, start_time
from pgrescue.run import old_data
from pgrescue.run.execution import Aborted, Execution
from pgrescue.run.executors.service import await_start_command, start, stop
from pgrescue.run.executors.table import EXECUTORS
from pgrescue.run.executors.verify import is_paused
from pgrescue.run.journal import Journal
from pgrescue.run.leftover_tools import end_leftover_tools
from pgrescue.run.lock import locked
from pgrescue.run.records import (
    AbortRequested,
    Failure,
    FinalState,
    Finished,
    Purpose,
    Started,
    StepBegan,
    StepEnded,
)
from pgrescue.run.report import write_report
from pgrescue.run.run_directory import RunDirectory, boot_id
from pgrescue.run.state import RunState
from pgrescue.survey.seen import differences, seen_again

_SERVER_STEPS = ("start", "replay")


def run(directory: RunDirectory, purpose: Purpose) -> None:
    """Do the work of one runner's life; every outcome ends up in the journal."""
    plan = directory.plan()
    with locked(plan.work.data_directory, directory.id):
        journal = Journal(directory.journal_path)
        execution = Execution(plan, directory, journal)
        before = execution.state()
        end_leftover_tools(before)
        _take_signals(execution)
        pid = os.getpid()
        journal.append(
            Started(
                purpose=purpose,
                pid=pid,
                process_start=start_time(pid) or 0,
                boot_id=boot_id(),
            )
        )
        _finish(execution, _WORK[purpose], before)


def _finish(
    execution: Execution, work: Callable[[Execution, RunState], FinalState], before: RunState
) -> None:
    error: Failure | None = None
    try:
        state = work(execution, before)
    except Aborted:
        state, error = "aborted", _after_abort(execution)
    except PgRescueError as problem:
        state, error = "failed", failure_of(problem, step_begun=bool(execution.step))
    except OSError as problem:
        state, error = "failed", _os_failure(execution, problem)
    except Exception:  # the journal must tell of a defect too, whatever it is
        state, error = "failed", _defect(execution, traceback.format_exc())
    execution.journal.append(Finished(state=state, error=error))
    write_report(execution.directory)


def _after_abort(execution: Execution) -> Failure | None:
    """Leave no half-recovered server running behind an aborted run; never stop the old one."""
    execution.journal.append(AbortRequested())
    state = execution.state()
    if state.purpose != "restore" or not state.begun("start"):
        return None
    try:
        await_start_command(execution)
        stop(execution)
    except PgRescueError as problem:
        return failure_of(problem)
    return None


def _restore(execution: Execution, before: RunState) -> FinalState:
    if before.step is None:
        check_seal(execution.plan)
        _check_facts(execution)
        for finding in execution.plan.preflight:
            # Whether its transaction is there the run itself will tell.
            if finding.status == "warning" and finding.code != "target.xid":
                execution.note(f"Known before the start: {finding.message}")
    goes_on = before.state == "waiting"
    replayed = before.done("replay") and not _must_run_again(execution)
    for step in execution.plan.steps:
        again = (step.id in _SERVER_STEPS and not replayed) or (
            step.id == "stop" and not before.asides and not before.begun("extract")
        )
        if before.done(step.id) and not again:
            continue
        if step.id == "promote" and not goes_on and is_paused(execution):
            return "waiting"
        _do(execution, step.id, step.title, partial(EXECUTORS[step.id], execution))
    return "succeeded"


def _must_run_again(execution: Execution) -> bool:
    """Whether the restored server should be up and is not: stopped by an abort, or by a reboot."""
    work = execution.work
    down = find_postmaster(Path(work.data_directory)) is None
    return down and work.settings["recovery_target_action"] != "shutdown"


def _check_facts(execution: Execution) -> None:
    changed = differences(execution.plan.seen, seen_again(execution.plan))
    if changed:
        raise Refused(
            "The plan is out of date.",
            "Since it was made, this changed: " + "; ".join(changed),
            next_steps=("make a new plan with the same options and look at it again",),
        )


def _undo(execution: Execution, before: RunState) -> FinalState:
    work = execution.work
    old_data.check_still_there(execution)
    if before.asides or before.begun("start"):
        _do(execution, "undo_stop", "Stop the restored server", partial(stop, execution))
    _do(execution, "undo_move", "Put the old data back", partial(old_data.put_back, execution))
    if work.start_again:
        _do(execution, "undo_start", "Start the old cluster", partial(_start_old, execution))
    return "undone"


def _start_old(execution: Execution) -> str:
    """Start the old cluster; it may have been broken before, so a failure is told, not raised."""
    try:
        result = start(execution)
    except PgRescueError as error:
        execution.note(f"The old data is back, but its server did not start: {error.cause}")
        return "it did not start"
    data = Path(execution.work.data_directory)
    deadline = time.monotonic() + execution.work.start_timeout
    while time.monotonic() < deadline:
        postmaster = find_postmaster(data)
        if postmaster is None:
            execution.note("The old data is back, but its server went down again.")
            return "it went down again"
        if postmaster.status == "ready":
            return result
        execution.wait(0.2)
    return "it is still starting"


def _discard(execution: Execution, before: RunState) -> FinalState:
    paths = [item.aside for item in before.asides] + list(before.retired)
    staging, undone = execution.work.staging, before.done("undo_move")
    # Until its settings are taken out again, the restored server fetches WAL from there.
    if staging in before.made and (undone or before.done("tidy")):
        paths.append(staging)
    for path in paths:
        delete = partial(old_data.delete_tree, execution, path)
        _do(execution, f"discard {path}", f"Delete {path}", delete)
    return "undone" if undone else "succeeded"


_WORK: dict[Purpose, Callable[[Execution, RunState], FinalState]] = {
    "restore": _restore,
    "undo": _undo,
    "discard": _discard,
}


def _do(execution: Execution, step: str, title: str, act: Callable[[], str]) -> None:
    execution.check_abort()
    execution.begin_step(step)
    execution.journal.append(StepBegan(step=step, title=title))
    began = time.monotonic()
    result = act()
    seconds = round(time.monotonic() - began, 3)
    execution.journal.append(StepEnded(step=step, seconds=seconds, result=result))


def _take_signals(execution: Execution) -> None:
    """Losing the terminal means nothing to a runner; SIGTERM asks it to stop where it is safe."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: execution.request_abort())


def failure_of(problem: PgRescueError, *, step_begun: bool = True) -> Failure:
    """An error as the journal keeps it; once a step was begun, "nothing changed" is not said."""
    untrue = step_begun and problem.unchanged == NOTHING_CHANGED
    return Failure(
        title=problem.title,
        cause=problem.cause,
        evidence="" if untrue else problem.unchanged,
        next=problem.next_steps,
        exit_code=int(problem.exit_code),
    )


def _os_failure(execution: Execution, problem: OSError) -> Failure:
    run = execution.directory.id
    where = f" at {problem.filename}" if problem.filename else ""
    return Failure(
        title=f"The step '{execution.step}' failed: {problem.strerror or problem}.",
        cause=f"The operating system refused{where}.",
        evidence=str(problem),
        next=(f"mend the cause, then: pgrescue resume {run}", f"pgrescue undo {run}"),
        exit_code=int(ExitCode.STEP_FAILED),
    )


def _defect(execution: Execution, trace: str) -> Failure:
    run = execution.directory.id
    return Failure(
        title=f"The step '{execution.step}' failed by a defect in pgrescue.",
        cause=trace.strip().splitlines()[-1],
        evidence=trace,
        next=(f"pgrescue undo {run}", f"report it with {execution.directory.path}"),
        exit_code=int(ExitCode.STEP_FAILED),
    )
