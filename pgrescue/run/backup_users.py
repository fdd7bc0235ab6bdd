"""Runs that have not ended and need a backup."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from pgrescue.backup.model import BackupPlan
from pgrescue.plan.facts import UnfinishedRun
from pgrescue.plan.model import Plan
from pgrescue.plan.paths import is_inside
from pgrescue.plan.sealed import SealedPlan
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.run_directory import RunDirectory, list_runs
from pgrescue.run.state import ENDED


def users_of(ids: Sequence[str], paths: Sequence[str]) -> dict[str, tuple[UnfinishedRun, ...]]:
    """By a backup's id: the runs that read it or build upon it, and may go on.

    `paths` are the backups' directories, resolved, in the order of `ids`.
    """
    found: dict[str, tuple[UnfinishedRun, ...]] = {}
    for run in list_runs():
        if (state := _unfinished(run)) is None:
            continue
        plan = run.plan()
        for backup, path in zip(ids, paths, strict=True):
            if _needs(plan, backup, path):
                found[backup] = (*found.get(backup, ()), UnfinishedRun(run.id, state))
    return found


def unfinished_removals(roots: Sequence[str]) -> list[UnfinishedRun]:
    """Removals from one of these directories that stopped half-way, or are at work."""
    real = {os.path.realpath(root) for root in roots}
    found = []
    for run in list_runs():
        plan = run.plan()
        if isinstance(plan, PrunePlan) and real & set(map(os.path.realpath, plan.work.roots)):
            state = _unfinished(run)
            if state is not None:
                found.append(UnfinishedRun(run.id, state))
    return found


def backups_outside(system_identifier: str | None, archive: str | None) -> list[str]:
    """Where backups are that earlier runs have taken of this cluster, or with this archive.

    A backup's place can be named for once (`--destination`), outside the configured directories.
    """
    found = []
    for run, plan in _backup_runs(system_identifier, archive):
        taken = run.state().backup
        if taken is not None and os.path.isdir(plan.work.destination):
            found.append(plan.work.destination)
    return found


def backups_at_work(system_identifier: str | None, archive: str | None) -> list[str]:
    """In words: the runs that take a backup of this cluster, or have left one half-done."""
    return [
        f"the run {run.id}, which is {state}, takes a backup in {plan.work.partial}"
        for run, plan in _backup_runs(system_identifier, archive)
        if (state := _unfinished(run)) is not None
    ]


def backups_set_aside() -> list[str]:
    """Where the directories are that removals have set aside and that can still be put back."""
    return [
        item.aside
        for run in list_runs()
        if isinstance(run.plan(), PrunePlan)
        for item in run.state().asides
        if not item.contents_only and os.path.isdir(item.aside)
    ]


def _backup_runs(
    system_identifier: str | None, archive: str | None
) -> Iterator[tuple[RunDirectory, BackupPlan]]:
    for run in list_runs():
        plan = run.plan()
        if isinstance(plan, BackupPlan):
            theirs = plan.work.wal_archive
            shared = None not in (theirs, archive) and same_place(str(theirs), str(archive))
            if shared or plan.work.system_identifier == system_identifier:
                yield run, plan


def same_place(one: str, other: str) -> bool:
    """Whether two directories are the same, or one lies in the other."""
    real, theirs = os.path.realpath(one), os.path.realpath(other)
    return is_inside(real, theirs) or is_inside(theirs, real)


def _unfinished(run: RunDirectory) -> str | None:
    """The state of a run that is at work or has left something half-done; None for others."""
    state = run.state()
    if state.state in ENDED:
        return None
    return state.state if state.state == "running" or state.has_left_something else None


def _needs(plan: SealedPlan, backup: str, path: str) -> bool:
    if isinstance(plan, Plan):
        return any(os.path.realpath(part.path) == path for part in plan.work.chain)
    return isinstance(plan, BackupPlan) and plan.work.parent == backup
