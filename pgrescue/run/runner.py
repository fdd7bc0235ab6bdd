"""The runner: does what a sealed plan says, or takes it back, journaling as it goes.

A process of its own, without a terminal: started by `launch`, watched through its journal.
"""

from __future__ import annotations

import os
import signal
import sys
import traceback
from contextlib import suppress

from pgrescue.backup.model import BackupPlan
from pgrescue.errors import PgRescueError
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import start_time
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.execution import (
    Aborted,
    BackupExecution,
    Execution,
    PruneExecution,
    RestoreExecution,
)
from pgrescue.run.failures import defect, failure_of, refusal_of_the_system
from pgrescue.run.job import Job
from pgrescue.run.journal import Journal
from pgrescue.run.leftover_tools import end_leftover_tools
from pgrescue.run.lock import locked
from pgrescue.run.notify import notify
from pgrescue.run.owner import asked_by, forget_request, take_over
from pgrescue.run.records import AbortRequested, Finished, Purpose, Started
from pgrescue.run.report import write_report
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.state import RunState
from pgrescue.survey.host import boot_id, operator


def run(directory: RunDirectory, purpose: Purpose) -> None:
    """Do the work of one runner's life; every outcome ends up in the journal.

    Raises `Refused`, or OSError where there can be no journal, before anything is done.
    """
    plan = directory.plan()
    directory.check_plan()
    with locked(plan.places, directory.id):
        takes_back = purpose in ("undo", "discard")
        journal = Journal(directory.journal_path, may_use_reserve=takes_back)
        job = _job(plan, directory, journal)
        before = job.execution.state()
        end_leftover_tools(before)
        _take_signals(job.execution)
        pid = os.getpid()
        forget_request(directory)
        take_over(journal, before.owner, operator())
        journal.append(
            Started(
                purpose=purpose,
                pid=pid,
                process_start=start_time(pid) or 0,
                boot_id=boot_id(),
                operator=operator(),
            )
        )
        _finish(job, purpose, before)


def _job(plan: SealedPlan, directory: RunDirectory, journal: Journal) -> Job[Execution[SealedPlan]]:
    """Only what this kind of plan needs is loaded."""
    if isinstance(plan, Plan):
        from pgrescue.run.restore_job import RestoreJob

        return RestoreJob(RestoreExecution(plan, directory, journal))
    if isinstance(plan, PrunePlan):
        from pgrescue.run.prune_job import PruneJob

        return PruneJob(PruneExecution(plan, directory, journal))
    assert isinstance(plan, BackupPlan)
    from pgrescue.run.backup_job import BackupJob

    return BackupJob(BackupExecution(plan, directory, journal))


def _finish(job: Job[Execution[SealedPlan]], purpose: Purpose, before: RunState) -> None:
    """Work, and tell how it ended, each way of telling for itself: none may keep out the next."""
    execution = job.execution
    finished = _outcome(job, purpose, before)
    told = "" if finished.error is None else f" {finished.error.title} {finished.error.cause}"
    try:
        execution.journal.append(finished)
    except OSError as problem:
        _say(f"The run ended: {finished.state}.{told} Its journal could not be written", problem)
    try:
        write_report(execution.directory)
    except OSError as problem:
        _say("The report could not be written", problem)
    try:
        notify(execution, finished)
    except OSError as problem:
        _say("Nobody could be notified", problem)


def _outcome(job: Job[Execution[SealedPlan]], purpose: Purpose, before: RunState) -> Finished:
    execution = job.execution
    try:
        try:
            return Finished(state=job.work(purpose, before))
        except Aborted:
            execution.journal.may_use_reserve = True
            take_over(execution.journal, execution.state().owner, asked_by(execution.directory))
            execution.journal.append(AbortRequested())
            return Finished(state="aborted", error=job.after_abort())
    except PgRescueError as problem:
        error = failure_of(problem, kept=job.kept(), step_begun=bool(execution.step))
    except OSError as problem:
        error = refusal_of_the_system(problem, execution.step, job.ways_on, job.kept())
    except Exception:  # the journal must tell of a defect too, whatever it is
        place = str(execution.directory.path)
        error = defect(traceback.format_exc(), execution.step, job.ways_on, job.kept(), place)
    return Finished(state="failed", error=error)


def _say(what: str, problem: OSError) -> None:
    """The last resort: runner.err, which `status` shows."""
    with suppress(OSError):  # there is no other place left
        sys.stderr.write(f"{what}: {problem.strerror or problem}.\n")
        sys.stderr.flush()


def _take_signals(execution: Execution[SealedPlan]) -> None:
    """Losing the terminal means nothing to a runner; SIGTERM asks it to stop where it is safe."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda _signal, _frame: execution.request_abort())
