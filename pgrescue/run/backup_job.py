"""Taking a base backup step by step, and removing what was left of one."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from pgrescue.errors import PgRescueError
from pgrescue.run.backup_place import was_renamed
from pgrescue.run.deletion import clear_own, delete_tree
from pgrescue.run.execution import BackupExecution, is_vacant
from pgrescue.run.executors.basebackup import EXECUTORS
from pgrescue.run.failures import failure_of
from pgrescue.run.job import Job
from pgrescue.run.records import Deleted, Failure, FinalState, Purpose
from pgrescue.run.state import RunState
from pgrescue.survey.filesystem import is_mount_point


class BackupJob(Job[BackupExecution]):
    """A backup, or the removal of what an interrupted one has left."""

    def work(self, purpose: Purpose, before: RunState) -> FinalState:
        """Do what the runner was started for."""
        execution = self.execution
        if purpose == "undo":
            self._remove()
            return "undone"
        if before.step is None:
            # What it rests on shows at its end: which server answered, whether the name is free.
            self.open_plan(lambda: [])
        # What was taken before the directory was emptied again is not there any more.
        is_there = Path(execution.work.partial).exists() or was_renamed(execution.work, before)
        whole = before.done("take") and is_there
        for step in execution.plan.steps:
            if before.done(step.id) and (whole or before.done("publish")):
                continue
            try:
                execution.do(step.id, step.title, partial(EXECUTORS[step.id], execution))
            except (PgRescueError, OSError):
                if step.id in ("prepare", "take"):
                    self._remove()
                raise
        return "succeeded"

    def after_abort(self) -> Failure | None:
        """What was taken so far is worth nothing."""
        try:
            self._remove()
        except PgRescueError as problem:
            return failure_of(problem)
        return None

    @property
    def ways_on(self) -> tuple[str, ...]:
        """Once more, or away with it."""
        run = self.execution.directory.id
        return (f"pgrescue resume {run}", f"pgrescue undo {run}")

    def _remove(self) -> None:
        """Delete what this run has made, unless it has become a backup."""
        execution = self.execution
        state = execution.state()
        if state.done("publish") or state.backup is not None or was_renamed(execution.work, state):
            return
        for path in reversed(state.made):
            place = Path(path)
            # One whose making was announced last may not be known yet; it has nothing in it.
            if place.exists() and not is_vacant(place):
                clear_own(execution, path)
            if is_mount_point(place):
                execution.journal.append(Deleted(path=path))
            else:
                delete_tree(execution, path)
