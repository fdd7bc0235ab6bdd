"""Runs that have not ended and need a backup."""

from __future__ import annotations

import os
from collections.abc import Sequence

from pgrescue.backup.model import BackupPlan
from pgrescue.plan.facts import UnfinishedRun
from pgrescue.plan.model import Plan
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


def _unfinished(run: RunDirectory) -> str | None:
    """The state of a run that is at work or has left something half-done; None for others."""
    state = run.state()
    if state.state in ENDED:
        return None
    half_done = state.asides or state.made
    return state.state if state.state == "running" or half_done else None


def _needs(plan: SealedPlan, backup: str, path: str) -> bool:
    if isinstance(plan, Plan):
        return any(os.path.realpath(part.path) == path for part in plan.work.chain)
    return isinstance(plan, BackupPlan) and plan.work.parent == backup
