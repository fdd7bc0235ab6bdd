"""Finding backups below the configured directories, and one of them by its id."""

from __future__ import annotations

import contextlib
import difflib
import os
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.chains import link_chains
from pgrescue.catalog.contents import VERSION_DIRECTORY
from pgrescue.catalog.extent import NOT_WHOLE
from pgrescue.catalog.layout import Layout, read_layout
from pgrescue.catalog.look import unreadable
from pgrescue.catalog.model import Backup
from pgrescue.catalog.stamp import stamp_of
from pgrescue.catalog.unusable import not_a_backup
from pgrescue.catalog.windows import WAL_PROBLEMS, with_window
from pgrescue.errors import UsageError
from pgrescue.postgres.data_directory import LOST_AND_FOUND
from pgrescue.wal.archive import WalArchive

MAX_DEPTH = 6
"""Levels of directories below a root that are searched."""

_NOT_KEPT = ("unreadable", "path_not_utf8", NOT_WHOLE)
"""Problems that end without the stamp showing it, and names that JSON cannot hold."""


def list_backups(
    roots: Sequence[Path],
    cache: CatalogCache | None,
    archive: WalArchive | None = None,
) -> list[Backup]:
    """Every backup below the roots (or at one), oldest first, usable or not; never raises OSError.

    Symbolic links to directories and hidden directories are not followed.
    """
    backups: dict[str, Backup] = {}
    try:
        for root in roots:
            for found in _walk(Path(os.path.abspath(root)), MAX_DEPTH, inside=False):
                place = os.path.realpath(found.path)
                if place not in backups:
                    backups[place] = (
                        found if isinstance(found, Backup) else _look_enough(found, cache, archive)
                    )
    finally:
        if cache is not None:
            # A cache that cannot be written costs time, no facts.
            with contextlib.suppress(OSError):
                cache.save()
    linked = link_chains(list(backups.values()))
    return sorted((with_window(backup, archive) for backup in linked), key=_by_time)


def find_backup(backups: Sequence[Backup], id_or_prefix: str) -> Backup:
    """The backup with this id or unique prefix of one; raises `UsageError` for any other."""
    for backup in backups:
        if backup.id == id_or_prefix:
            return backup
    matching = [backup for backup in backups if id_or_prefix and backup.id.startswith(id_or_prefix)]
    if len(matching) == 1:
        return matching[0]
    if matching:
        raise UsageError(
            f"'{id_or_prefix}' is the beginning of {len(matching)} backups.",
            f"They are {', '.join(backup.id for backup in matching)}.",
            next_steps=("give more of the id",),
        )
    ids = [backup.id for backup in backups]
    nearest = difflib.get_close_matches(id_or_prefix, ids, n=3, cutoff=0.3)
    raise UsageError(
        f"There is no backup '{id_or_prefix}'.",
        f"The nearest are {', '.join(nearest)}." if nearest else f"There are {len(ids)} in all.",
        next_steps=("pgrescue catalog",),
    )


def _walk(path: Path, depth: int, inside: bool) -> Iterator[Layout | Backup]:
    """Layouts of what may be backups, and lines for what cannot be one.

    `inside` a tar backup's directory, odd files and folders are its owner's notes.
    """
    try:
        layout = read_layout(path)
    except OSError as error:
        yield not_a_backup(path, unreadable(path, error))
        return
    if layout.kind in ("plain", "no_label"):
        yield layout
        return
    is_foreign = layout.kind == "other" and not inside and _holds_only_files(layout)
    if layout.kind == "tar" or is_foreign:
        yield layout
    if depth == 0:
        return
    for name in layout.directories:
        skipped = name.startswith(".") or name == LOST_AND_FOUND
        if not skipped and not VERSION_DIRECTORY.fullmatch(name):
            yield from _walk(path / name, depth - 1, inside or layout.kind == "tar")


def _holds_only_files(layout: Layout) -> bool:
    return not layout.directories and any(not name.startswith(".") for name in layout.files)


def _look_enough(layout: Layout, cache: CatalogCache | None, archive: WalArchive | None) -> Backup:
    """Look quickly unless only the whole reading can tell if the WAL is inside after all.

    `-X fetch` puts it behind everything else in `base.tar`, and without a manifest nothing says so.
    """
    backup = _look(layout, cache, whole=False)
    details = backup.details
    if details is None or details.read_whole or details.wal_inside != "none" or backup.has_manifest:
        return backup
    problems = with_window(backup, archive).problems
    lacks_wal = any(problem.code in WAL_PROBLEMS for problem in problems)
    return _look(layout, cache, whole=True) if lacks_wal else backup


def _look(layout: Layout, cache: CatalogCache | None, *, whole: bool) -> Backup:
    if layout.kind not in ("tar", "plain") or cache is None:
        return read_backup(layout.path, whole)
    path, stamp = str(layout.path), stamp_of(layout)
    backup = cache.get(path, stamp)
    if backup is None or (whole and not (backup.details and backup.details.read_whole)):
        backup = read_backup(layout.path, whole)
        if not any(problem.code in _NOT_KEPT for problem in backup.problems):
            cache.put(path, stamp, backup)
    return cache.judged(backup, path, stamp)


def _by_time(backup: Backup) -> tuple[bool, datetime, int, str]:
    started = backup.started_at or datetime.min.replace(tzinfo=UTC)
    return (backup.started_at is None, started, backup.start_lsn or 0, backup.path)
