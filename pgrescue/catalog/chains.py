"""Incremental backups and the backups that they build upon.

A child's `INCREMENTAL FROM LSN` and timeline equal its parent's start, in the same cluster
(`check_backup_label_files` in `src/bin/pg_combinebackup/pg_combinebackup.c`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

from pgrescue.catalog.model import Backup, Problem


def link_chains(backups: Sequence[Backup]) -> list[Backup]:
    """The same backups, each incremental one with its parent's id or with the lack of one.

    A chain with a member that cannot be used is of no use from there on.
    """
    linked: dict[str, Backup] = {}
    by_start = sorted(backups, key=lambda backup: backup.start_lsn or 0)
    for backup in by_start:  # parents start before their children
        linked[backup.path] = _link(backup, list(linked.values()))
    return [linked[backup.path] for backup in backups]


def _link(backup: Backup, earlier: Sequence[Backup]) -> Backup:
    details = backup.details
    if details is None or details.incremental_from_lsn is None:
        return backup
    matching = [other for other in earlier if _is_parent(other, backup)]
    if not matching:
        return backup.with_problem(
            Problem(
                "parent_missing",
                f"It builds on a backup that starts at {details.incremental_from_lsn}, "
                "which is in none of the backup directories.",
            )
        )
    parent = min(matching, key=lambda other: (not other.usable, _distance(other, backup), other.id))
    backup = replace(backup, parent=parent.id)
    if parent.usable:
        return backup
    why = next(problem.code for problem in parent.problems if problem.fatal)
    return backup.with_problem(
        Problem("parent_unusable", f"It builds on {parent.id}, which cannot be used: {why}.")
    )


def _is_parent(other: Backup, child: Backup) -> bool:
    details = child.details
    if details is None or other.details is None:
        return False
    same_cluster = None in (other.system_identifier, child.system_identifier) or (
        other.system_identifier == child.system_identifier
    )
    same_timeline = details.incremental_from_timeline in (None, other.timeline)
    return same_cluster and same_timeline and other.start_lsn == details.incremental_from_lsn


def _distance(one: Backup, other: Backup) -> int:
    """How far apart two directories are: copies of a parent may lie in several places."""
    shared = os.path.commonpath((one.path, other.path))
    return -len(shared)
