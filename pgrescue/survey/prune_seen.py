"""The facts that a removal rests on, in words that can be compared: taken when planning, and again
under the run's lock before anything is moved."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.layout import read_layout
from pgrescue.catalog.model import Backup
from pgrescue.catalog.stamp import stamp_of
from pgrescue.codec import fingerprint
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.survey.filesystem import path_facts
from pgrescue.wal.archive import WalArchive, scan_archive


def observe(
    backups: Sequence[Backup],
    archive: WalArchive | None,
    removed: Sequence[str],
    files: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """What must still be the same when the plan runs.

    A backup that appeared since may build upon one that goes; one that vanished may have been the
    reason why another may go. `removed` are directories, `files` those of the archive by directory.
    """
    seen = {"the catalog": ", ".join(sorted(backup.id for backup in backups))}
    seen |= {
        f"backup {backup.id}": f"{'usable' if backup.usable else 'not usable'}, {_stamp(backup)}"
        for backup in backups
        if backup.details is not None
    }
    for path in removed:
        facts = path_facts(Path(path))
        seen[f"directory {path}"] = f"{facts.device}:{facts.inode}" if facts.exists else "missing"
    if archive is not None:
        lines = sorted(archive.histories)
        seen["timelines in the archive"] = ", ".join(map(str, lines)) or "no history files"
    for directory, names in files.items():
        present = set(os.listdir(directory)) if os.path.isdir(directory) else set()
        there = sum(name in present for name in names)
        seen[f"WAL in {directory}"] = f"{there} of {len(names)} files"
    return seen


def observe_again(plan: PrunePlan) -> dict[str, str]:
    """The same facts for a plan that is about to run; raises OSError if the archive is gone."""
    work = plan.work
    archive = scan_archive(Path(work.archive)) if work.archive is not None else None
    roots = [Path(root) for root in work.roots]
    backups = list_backups(roots, CatalogCache(Path(work.catalog_cache)), archive)
    files = {group.directory: group.names for group in work.wal}
    return observe(backups, archive, work.paths, files)


def _stamp(backup: Backup) -> str:
    try:
        return fingerprint(stamp_of(read_layout(Path(backup.path))))[:12]
    except OSError as error:
        return error.strerror or "unreadable"
