"""Removing backups and WAL step by step, putting them back, and deleting them for good."""

from __future__ import annotations

from functools import partial

from pgrescue.run import old_data
from pgrescue.run.backup_users import users_of
from pgrescue.run.execution import PruneExecution
from pgrescue.run.executors.prune import EXECUTORS
from pgrescue.run.job import Job
from pgrescue.run.records import Failure, FinalState, Purpose
from pgrescue.run.state import RunState
from pgrescue.survey.prune_seen import observe_again
from pgrescue.survey.seen import differences


class PruneJob(Job[PruneExecution]):
    """A removal, its undo, or the deletion of what it had set aside."""

    def work(self, purpose: Purpose, before: RunState) -> FinalState:
        """Do what the runner was started for."""
        match purpose:
            case "undo":
                return self._undo(before)
            case "discard":
                return self._discard(before)
            case _:
                return self._prune(before)

    def after_abort(self) -> Failure | None:
        """Whatever is set aside can be put back; nothing is left half-done."""
        return None

    @property
    def ways_on(self) -> tuple[str, ...]:
        """Forwards or, until something is deleted, backwards."""
        run = self.execution.directory.id
        if self.execution.state().deletion_begun:
            return (f"pgrescue resume {run}",)
        return (f"pgrescue resume {run}", f"pgrescue undo {run}")

    def _prune(self, before: RunState) -> FinalState:
        execution = self.execution
        if before.step is None:
            self.open_plan(self._changed)
        for step in execution.plan.steps:
            if not before.done(step.id):
                execution.do(step.id, step.title, partial(EXECUTORS[step.id], execution))
        return "succeeded"

    def _changed(self) -> list[str]:
        plan = self.execution.plan
        try:
            changed = differences(plan.seen, observe_again(plan))
        except OSError as error:
            changed = [f"{error.filename} cannot be read any more: {error.strerror}"]
        for backup, runs in users_of(plan.work.backups, plan.work.paths).items():
            changed += [f"{backup} is in use by the run {run.run}, {run.state}" for run in runs]
        return changed

    def _undo(self, before: RunState) -> FinalState:
        begun = before.begun("undo_move")
        put_back = partial(old_data.return_all, self.execution, begun_before=begun)
        self.execution.do("undo_move", "Put back what was set aside", put_back)
        return "undone"

    def _discard(self, before: RunState) -> FinalState:
        execution = self.execution
        old_data.check_deletable(execution, [item.aside for item in before.asides])
        for item in before.asides:
            delete = partial(old_data.delete_tree, execution, item.aside)
            execution.do(f"discard {item.aside}", f"Delete {item.aside}", delete)
        old_data.remove_emptied(execution)
        return "succeeded"
