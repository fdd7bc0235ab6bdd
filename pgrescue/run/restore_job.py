"""Executing a restore step by step, taking it back, and deleting what it had set aside."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from pgrescue.errors import PgRescueError
from pgrescue.plan.model import Work
from pgrescue.plan.sealed import Step
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.run import old_data, still_there
from pgrescue.run.deletable import discardable_paths, kept_wal
from pgrescue.run.deletion import check_deletable, discard
from pgrescue.run.execution import Aborted, RestoreExecution
from pgrescue.run.executors.configure import sync_everything
from pgrescue.run.executors.service import await_start_command, start, stop
from pgrescue.run.executors.table import EXECUTORS
from pgrescue.run.executors.verify import is_paused
from pgrescue.run.failures import failure_of
from pgrescue.run.job import Job, check_facts
from pgrescue.run.later_runs import check_no_later_run
from pgrescue.run.old_data_whereabouts import old_data_now
from pgrescue.run.places import check_places
from pgrescue.run.records import Failure, FinalState, Purpose
from pgrescue.run.room import OutOfRoom, watched
from pgrescue.run.shortfall import ended_early
from pgrescue.run.source_slot import drop_slot, see_source
from pgrescue.run.state import RunState
from pgrescue.survey.seen import SERVER, differences, seen_again, shortages

_SERVER_STEPS = ("start", "replay")
_FILLING_STEPS = ("extract", "combine", "receive", "place_wal")
_BEFORE_IT_MOVES = ("stop", "rescue_wal")


class RestoreJob(Job[RestoreExecution]):
    """A restore, its undo, or the deletion of what it had set aside."""

    def work(self, purpose: Purpose, before: RunState) -> FinalState:
        """Do what the runner was started for."""
        if purpose == "discard":
            return self._discard(before)
        if before.step is not None:
            check_no_later_run(before)
        return self._undo(before) if purpose == "undo" else self._restore(before)

    def after_abort(self) -> Failure | None:
        """Leave no half-recovered server running behind an aborted run; never stop the old one.

        Nor one that has recovered: it has clients by now, whose commits count.
        """
        state = self.execution.state()
        if state.purpose != "restore" or not state.begun("start"):
            return None
        try:
            await_start_command(self.execution)
            if state.done("replay") and self._is_open():
                self.execution.note("The restored server has recovered and is open: it runs on.")
                return None
            stop(self.execution)
        except PgRescueError as problem:
            return failure_of(problem, kept=self.kept())
        return None

    def _is_open(self) -> bool:
        """Whether the server that has replayed has gone on to production.

        Until it has begun to, `pg_control` is that of the backup, and says the same.
        """
        data = Path(self.execution.work.data_directory)
        control, _ = read_control_file(data)
        is_in_production = control is not None and control.state == "in production"
        return is_in_production and find_postmaster(data) is not None

    def kept(self) -> str:
        """As the journal has it, if that can be read."""
        try:
            state = self.execution.state()
        except OSError:
            return ""
        if not all(Path(item.aside).exists() for item in state.asides if item.done):
            return ""  # somebody has deleted it, or its disk is not there
        return old_data_now(self.execution.work, state)

    @property
    def ways_on(self) -> tuple[str, ...]:
        """Forwards or backwards."""
        run = self.execution.directory.id
        return (f"pgrescue resume {run}", f"pgrescue undo {run}")

    def _restore(self, before: RunState) -> FinalState:
        execution = self.execution
        if before.step is None:
            self.open_plan(self._changed_before_the_start, untold=("target.xid",))
        elif not _has_changed_anything(before, execution.work):
            # Our own attempt to stop the server is no reason to refuse.
            check_facts([fact for fact in self._changed() if not fact.startswith(f"{SERVER}: ")])
        if not before.has_begun_to_fill:
            check_places(execution)
        if not before.deletion_begun:
            still_there.check_old_data_is_known(execution)
        still_there.check_what_was_made(execution, old_may_be_back=False)
        if execution.work.seed is not None and not before.asides:
            see_source(execution, execution.work.seed)
        execution.accepts_less = ended_early(before)
        goes_on = before.state == "waiting" or before.past_pause
        replayed = before.done("replay") and not self._must_run_again()
        for step in execution.plan.steps:
            again = (step.id in _SERVER_STEPS and not replayed) or (
                step.id in _BEFORE_IT_MOVES and self._old_server_may_have_run(before)
            )
            if before.done(step.id) and not again:
                continue
            if step.id == "promote" and not goes_on and is_paused(execution):
                return "waiting"
            self._do(step)
        return "succeeded"

    def _old_server_may_have_run(self, before: RunState) -> bool:
        """Until it is away, somebody may have started it while no runner was at work.

        Then it has written more WAL, too, unless its `pg_wal` had moved.
        """
        work = self.execution.work
        has_moved = work.old_wal is not None and not Path(work.old_wal).is_dir()
        return not (
            before.has_begun_to_fill or has_moved or old_data.is_away(before, work.data_directory)
        )

    def _do(self, step: Step) -> None:
        execution = self.execution
        try:
            with watched(execution, step.id):
                execution.do(step.id, step.title, partial(_executed, execution, step.id))
        except OutOfRoom:
            if step.id in _SERVER_STEPS:
                self.after_abort()  # a server that recovers would go on filling it
            raise

    def _must_run_again(self) -> bool:
        """Whether the restored server should be up and is not: stopped by an abort or a reboot."""
        work = self.execution.work
        down = find_postmaster(Path(work.data_directory)) is None
        return down and work.at_the_end != "shutdown"

    def _changed(self) -> list[str]:
        plan = self.execution.plan
        return differences(plan.seen, seen_again(plan))

    def _changed_before_the_start(self) -> list[str]:
        return [*self._changed(), *shortages(self.execution.plan.space)]

    def _undo(self, before: RunState) -> FinalState:
        execution = self.execution
        still_there.check_still_there(execution)
        still_there.check_what_was_made(execution, old_may_be_back=True)
        still_there.check_nobody_uses_it(execution, is_stopped=False)
        if before.asides or before.begun("start"):
            execution.do("undo_stop", "Stop the restored server", partial(stop, execution))
        put_back = partial(old_data.put_back, execution)
        execution.do("undo_move", "Put the old data back", put_back)
        if execution.work.seed is not None and before.slots:
            drop = partial(drop_slot, execution, execution.work.seed)
            execution.do("undo_slot", "Drop the replication slot at the source", drop)
        if execution.work.start_again and before.step is not None:
            execution.do("undo_start", "Start the old cluster", self._start_old)
        return "undone"

    def _start_old(self) -> str:
        """Start the old cluster; it may have been broken before, so a failure is only told."""
        execution = self.execution
        try:
            result = start(execution)
        except Aborted:
            raise
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

    def _discard(self, before: RunState) -> FinalState:
        execution = self.execution
        paths = discardable_paths(execution.plan, before)
        check_deletable(execution, paths)
        if kept := kept_wal(execution.plan, before):
            execution.note(f"It stays: {kept}")
        discard(execution, paths)
        return "undone" if before.done("undo_move") else "succeeded"


def _executed(execution: RestoreExecution, step: str) -> str:
    """Do a step. That one is done may be said of what is on disk only: it is not done again."""
    result = EXECUTORS[step](execution)
    if step in _FILLING_STEPS:
        sync_everything(execution)
    return result


def _has_changed_anything(state: RunState, work: Work) -> bool:
    """Whether the run has begun with what it restores into; a copy of WAL beside it is nothing."""
    begun = state.begun("set_aside") or state.has_begun_to_fill
    return begun or bool(state.asides) or work.data_directory in state.made
