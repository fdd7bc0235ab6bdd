"""The WAL that runs have rescued: for a while theirs may be the only copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from pgrescue.config.state import catalog_cache_file
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.plan.work import tail_directory
from pgrescue.run.run_directory import list_runs
from pgrescue.run.state import RunState
from pgrescue.survey.wal_tail import RescuedWal, look_at_tail
from pgrescue.wal.archive import WalArchive, scan_archive


@dataclass(frozen=True, slots=True)
class OnlyCopy:
    """Segments that a run has rescued and that are nowhere else."""

    place: str
    segments: tuple[str, ...]
    is_certain: bool
    """Whether the archive could be looked at."""

    def __str__(self) -> str:
        count = len(self.segments)
        what = self.segments[0] if count == 1 else f"{count} segments from {self.segments[0]} on"
        how = "the archive lacks" if self.is_certain else "may be nowhere else"
        return f"{self.place} holds WAL that {how}: {what}."


def rescued_wal(cluster: str) -> tuple[RescuedWal, ...]:
    """What runs have rescued of a cluster whose WAL that was, newest first.

    Of runs that stand: after an undo, and where nothing was replaced yet, the old cluster may have
    gone on with it, as may the original of a clone.
    """
    found = []
    for run in reversed(list_runs()):
        plan = run.plan()
        if not (isinstance(plan, Plan) and plan.cluster == cluster and plan.work.rescues):
            continue
        state = run.state()
        if plan.mode == "in_place" and state.has_begun_to_fill and not state.is_undone:
            found.append(RescuedWal(Path(tail_directory(plan.work)), plan.work.system_identifier))
    return tuple(found)


def only_copy(plan: SealedPlan, state: RunState) -> OnlyCopy | None:
    """What of the rescued WAL recovery from the backups that there are still needs.

    Whatever timeline it leads to, it goes through that WAL, unless a base backup was taken since,
    on a timeline that the run or a later one has begun. A clone leaves the original's WAL where it
    is, and so does an undo.
    """
    if not isinstance(plan, Plan) or plan.mode != "in_place" or state.is_undone:
        return None
    archive, place = _archive_of(plan), Path(tail_directory(plan.work))
    names = look_at_tail([place], archive, plan.work.system_identifier).names
    if archive is None and plan.wal_tail is not None:
        names = tuple(name for name in names if name in plan.wal_tail.segments)
    if not names or _is_covered(names, plan, _backups_of(plan, archive)):
        return None
    return OnlyCopy(str(place), names, archive is not None)


def _archive_of(plan: Plan) -> WalArchive | None:
    work = plan.work
    try:
        return scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    except OSError:
        return None


def _backups_of(plan: Plan, archive: WalArchive | None) -> list[Backup]:
    roots = [Path(root) for root in plan.work.backup_roots]
    return list_backups(roots, CatalogCache(catalog_cache_file()), archive)


def _is_covered(names: Sequence[str], plan: Plan, backups: Sequence[Backup]) -> bool:
    newest = max(int(name[:8], 16) for name in names)
    return any(
        backup.usable
        and backup.system_identifier == plan.work.system_identifier
        and (backup.timeline or 0) > newest
        and backup.started_at is not None
        and backup.started_at >= plan.created_at
        for backup in backups
    )
