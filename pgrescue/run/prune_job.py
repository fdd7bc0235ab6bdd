"""Removing backups and WAL step by step, putting them back, and deleting them for good."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.errors import Refused
from pgrescue.run import old_data
from pgrescue.run.backup_users import backups_at_work, users_of
from pgrescue.run.deletable import discardable_paths
from pgrescue.run.deletion import check_deletable, discard, remove_emptied
from pgrescue.run.execution import PruneExecution
from pgrescue.run.executors.prune import EXECUTORS
from pgrescue.run.job import Job
from pgrescue.run.records import Failure, FinalState, Purpose
from pgrescue.run.state import RunState
from pgrescue.survey.prune_seen import observe_again
from pgrescue.survey.seen import differences
from pgrescue.wal.archive import scan_archive


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
        moved = _moved(before)
        if before.step is None:
            self.open_plan(lambda: self._changed(moved))
        elif before.deletion_begun:
            self._check_something_stays(before)
        else:
            self._check_the_rest(moved)
        for step in execution.plan.steps:
            if not before.done(step.id):
                execution.do(step.id, step.title, partial(EXECUTORS[step.id], execution))
        return "succeeded"

    def _changed(self, moved: Mapping[str, str]) -> list[str]:
        """What is not as it was planned, but for what this run itself has moved."""
        plan, work = self.execution.plan, self.execution.work
        try:
            changed = differences(plan.seen, observe_again(plan, moved))
        except OSError as error:
            changed = [f"{error.filename} cannot be read any more: {error.strerror}"]
        for backup, runs in users_of(work.backups, work.paths).items():
            changed += [f"{backup} is in use by the run {run.run}, {run.state}" for run in runs]
        if work.wal:
            changed += backups_at_work(work.system_identifier, work.archive)
        return changed

    def _check_the_rest(self, moved: Mapping[str, str]) -> None:
        """A run that goes on, maybe days later, checks all again as one that begins."""
        if changed := self._changed(moved):
            run = self.execution.directory.id
            raise Refused(
                "The rest of the plan is out of date.",
                "Since it was made, this changed: " + "; ".join(changed),
                unchanged="What was set aside is still there, and nothing else was moved.",
                next_steps=(
                    f"pgrescue undo {run}   puts back what was set aside",
                    "make a new plan with the same options and look at it again",
                ),
            )

    def _check_something_stays(self, before: RunState) -> None:
        """What stayed when it was set aside may have been lost since: this may be all there is."""
        work = self.execution.work
        if not work.backups:
            return
        archive = scan_archive(Path(work.archive)) if work.archive is not None else None
        cache = CatalogCache(Path(work.catalog_cache))
        backups = list_backups([Path(root) for root in work.roots], cache, archive)
        own = [b for b in backups if b.system_identifier in (None, work.system_identifier)]
        if not any(backup.usable and backup.kind == "full" for backup in own):
            undo = f"pgrescue undo {self.execution.directory.id}"
            raise Refused(
                "There is no other usable full backup.",
                f"None is left in {', '.join(work.roots)}: what was set aside may be all there is.",
                unchanged="Nothing more was deleted.",
                next_steps=("pgrescue backup",) if before.deletion_begun else (undo,),
            )

    def _undo(self, before: RunState) -> FinalState:
        begun = before.begun("undo_move")
        names = {group.aside: group.names for group in self.execution.work.wal}
        put_back = partial(old_data.return_all, self.execution, names, begun_before=begun)
        self.execution.do("undo_move", "Put back what was set aside", put_back)
        return "undone"

    def _discard(self, before: RunState) -> FinalState:
        execution = self.execution
        paths = discardable_paths(execution.plan, before)
        check_deletable(execution, paths)
        self._check_something_stays(before)
        discard(execution, paths)
        remove_emptied(execution)
        return "succeeded"


def _moved(before: RunState) -> dict[str, str]:
    """Where the directories are that the run has renamed, or taken some WAL out of.

    The rename that a runner died in may have been done or not: the directories tell.
    """
    return {
        item.path: item.aside
        for item in before.asides
        if item.contents_only or item.done or not os.path.lexists(item.path)
    }
