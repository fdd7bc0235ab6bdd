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

_NOTHING: Mapping[str, str] = {}


def observe(
    backups: Sequence[Backup],
    archive: WalArchive | None,
    removed: Sequence[str],
    files: Mapping[str, Sequence[str]],
    elsewhere: Sequence[Backup],
    *,
    moved: Mapping[str, str] = _NOTHING,
) -> dict[str, str]:
    """What must still be the same when the plan runs.

    A backup that appeared since may build upon one that goes; one that vanished may have been the
    reason why another may go. `removed` are directories, `files` those of the archive by directory,
    `elsewhere` backups outside the catalog that hold WAL. `moved` tells where directories are that
    the run itself has set aside.
    """
    seen = {"the catalog": ", ".join(sorted(backup.id for backup in backups))}
    seen["backups elsewhere"] = ", ".join(sorted(backup.path for backup in elsewhere)) or "none"
    seen |= {
        _key(backup.id): f"{'usable' if backup.usable else 'not usable'}, {_stamp(backup)}"
        for backup in backups
        if backup.details is not None
    }
    for path in removed:
        facts = path_facts(Path(moved.get(path, path)))
        seen[f"directory {path}"] = f"{facts.device}:{facts.inode}" if facts.exists else "missing"
    if archive is not None:
        lines = sorted(archive.histories)
        seen["timelines in the archive"] = ", ".join(map(str, lines)) or "no history files"
    for directory, names in files.items():
        places = filter(os.path.isdir, (directory, moved.get(directory, directory)))
        present = {name for place in places for name in os.listdir(place)}
        there = sum(name in present for name in names)
        seen[f"WAL in {directory}"] = f"{there} of {len(names)} files"
    return seen


def observe_again(plan: PrunePlan, moved: Mapping[str, str]) -> dict[str, str]:
    """The same facts for a plan that is about to run, or to go on; what it has moved is `moved`.

    Raises OSError if the archive is gone.
    """
    work = plan.work
    gone = {name for name, path in zip(work.backups, work.paths, strict=True) if path in moved}
    archive = scan_archive(Path(work.archive)) if work.archive is not None else None
    cache = CatalogCache(Path(work.catalog_cache))
    backups = list_backups([Path(root) for root in work.roots], cache, archive)
    others = backups_at(work.elsewhere, backups, cache, archive)
    files = {group.directory: group.names for group in work.wal}
    seen = observe(backups, archive, work.paths, files, others, moved=moved)
    seen["the catalog"] = ", ".join(sorted({*gone, *(backup.id for backup in backups)}))
    return seen | {key: plan.seen[key] for key in plan.seen if key in map(_key, gone)}


def backups_at(
    places: Sequence[str],
    catalog: Sequence[Backup],
    cache: CatalogCache,
    archive: WalArchive | None,
) -> tuple[Backup, ...]:
    """The backups at or below these places that are not in the catalog."""
    known = {os.path.realpath(backup.path) for backup in catalog}
    found = list_backups([Path(place) for place in places], cache, archive)
    return tuple(b for b in found if os.path.realpath(b.path) not in known)


def _key(backup: str) -> str:
    return f"backup {backup}"


def _stamp(backup: Backup) -> str:
    try:
        return fingerprint(stamp_of(read_layout(Path(backup.path))))[:12]
    except OSError as error:
        return error.strerror or "unreadable"
