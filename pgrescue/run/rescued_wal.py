"""The WAL that runs have rescued: for a while theirs may be the only copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from pgrescue.config.state import catalog_cache_file
from pgrescue.plan.choose import is_on_branch
from pgrescue.plan.model import Plan
from pgrescue.plan.paths import is_inside
from pgrescue.plan.sealed import SealedPlan
from pgrescue.plan.work import held_directory, tail_directory
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.run_directory import list_runs
from pgrescue.run.state import RunState
from pgrescue.survey.wal_tail import RescuedWal, archived_by_status, is_shorter, look_at_tail
from pgrescue.wal.archive import WalArchive, scan_archive
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.segment import SegmentId
from pgrescue.wal.summarize import summarize


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

    Also of those that were undone, or have replaced nothing yet: what the stop has removed from the
    old `pg_wal` does not come back there. Of what the old cluster has gone on with since, its own
    is the longer copy. The original of a clone has lost nothing.
    """
    found = []
    for run in reversed(list_runs()):
        plan = run.plan()
        if not (isinstance(plan, Plan) and plan.cluster == cluster and plan.work.rescues):
            continue
        if plan.mode == "in_place":
            made = set(map(Path, run.state().made))
            places = (place for place in _places(plan) if place in made)
            found += [RescuedWal(place, plan.work.system_identifier) for place in places]
    return tuple(found)


def _places(plan: Plan) -> list[Path]:
    """Where a run has WAL of the old cluster; if it ended in the midst of it, still held."""
    return [Path(tail_directory(plan.work)), Path(held_directory(plan.work))]


def only_copy(plan: SealedPlan, state: RunState) -> OnlyCopy | None:
    """What of the rescued WAL recovery from the backups that there are still needs.

    The way to where the cluster is now goes through that WAL up to where it has left its timeline,
    unless a base backup was taken since, on a timeline that the run or a later one has begun; what
    comes behind counts for the commits in it. A clone leaves the original's WAL where it is; after
    an undo most of it is in the old `pg_wal`.
    """
    if not isinstance(plan, Plan) or plan.mode != "in_place":
        return None
    archive = _archive_of(plan)
    found = look_at_tail(_places(plan), archive, plan.work.system_identifier)
    names = {*found.names, *(Path(item.path).name for item in found.unreadable)}
    if state.is_undone:
        own = _also_in(Path(plan.work.old_wal or ""), found.files)
        # Where no archive can be looked at, what the cluster has let go since counts as archived.
        names = set() if archive is None else names - own
    elif plan.work.wal_archive is None:
        names &= _unarchived_by_account(plan, state)
    histories = {**(archive.histories if archive else {}), **_own_histories(plan)}
    line = _way_to_now(plan, histories)
    files = {Path(item.path).name: Path(item.path) for item in found.unreadable} | {**found.files}
    of_use = _of_use({name: files[name] for name in sorted(names)}, plan, line)
    if not of_use:
        return None
    if line is not None and any(
        _covers(backup, of_use, plan) and is_on_branch(backup, line.timeline, histories)
        for backup in _backups_of(plan, archive)
    ):
        return None
    return OnlyCopy(str(files[of_use[0]].parent), of_use, archive is not None)


def _unarchived_by_account(plan: Plan, state: RunState) -> set[str]:
    """What the plan counts on and the old server has not archived by its own account."""
    counted = set(plan.wal_tail.segments) if plan.wal_tail is not None else set()
    for item in state.asides:
        old = plan.work.old_wal
        if old is not None and is_inside(old, item.path):
            counted -= set(archived_by_status(Path(item.aside + old.removeprefix(item.path))))
    return counted


def _also_in(pg_wal: Path, files: Mapping[str, Path]) -> set[str]:
    """Which of the segments the cluster has itself, as far or further."""
    own = look_at_tail([pg_wal], None, None).files
    return {name for name in own.keys() & files.keys() if not is_shorter(own[name], files[name])}


def _of_use(files: Mapping[str, Path], plan: Plan, line: TimelineHistory | None) -> tuple[str, ...]:
    """Without what is beyond the way to the cluster as it is, unless that has commits.

    What comes before the fork in a segment is in the new timeline's of that number, too
    (`XLogInitNewTimeline` in `src/backend/access/transam/xlog.c`).
    """
    if line is None:
        return tuple(files)
    size, on_the_way, beyond, has_commits = plan.work.wal_segment_size, [], [], False
    for name, path in files.items():
        segment = SegmentId.parse(name, size)
        is_now = segment.timeline == line.timeline
        left = None if is_now else line.left_at(segment.timeline) or Lsn(0)
        if left is None or segment.end(size) <= left:
            on_the_way.append(name)
            continue
        beyond.append(name)
        has_commits = has_commits or _has_commits(str(path), segment, segment.start(size), left)
    return tuple([*on_the_way, *beyond] if has_commits else on_the_way)


def _has_commits(file: str, segment: SegmentId, start: Lsn, since: Lsn) -> bool:
    """Whether there may be any from a position on."""
    summary = summarize(SegmentFile(file), start, segment.timeline)
    last = summary.found.commits.last
    is_unread = summary.end_kind in ("unreadable", "short")
    return is_unread or (last is not None and last.position >= since)


def _own_histories(plan: Plan) -> dict[int, TimelineHistory]:
    try:
        return scan_archive(Path(plan.work.data_directory, "pg_wal")).histories
    except OSError:
        return {}


def _way_to_now(plan: Plan, histories: Mapping[int, TimelineHistory]) -> TimelineHistory | None:
    """The history of the cluster's timeline; None if that cannot be told."""
    control, _ = read_control_file(Path(plan.work.data_directory))
    if control is None or control.system_identifier != plan.work.system_identifier:
        return None
    timeline = control.current_timeline
    return TimelineHistory(1, ()) if timeline == 1 else histories.get(timeline)


def _archive_of(plan: Plan) -> WalArchive | None:
    work = plan.work
    try:
        return scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    except OSError:
        return None


def _backups_of(plan: Plan, archive: WalArchive | None) -> list[Backup]:
    roots = [Path(root) for root in plan.work.backup_roots]
    return list_backups(roots, CatalogCache(catalog_cache_file()), archive)


def _covers(backup: Backup, names: Sequence[str], plan: Plan) -> bool:
    """Whether recovery from a backup never gets to these segments.

    A timeline's number can be given twice: then only what was taken since is of this one.
    """
    work, start, timeline = plan.work, backup.start_lsn, backup.timeline
    if not backup.usable or backup.system_identifier != work.system_identifier:
        return False
    if start is None or timeline is None or backup.started_at is None:
        return False
    size = work.wal_segment_size
    segments = [SegmentId.parse(name, size) for name in names]
    return backup.started_at >= plan.created_at and all(
        segment.timeline < timeline or (segment.timeline == timeline and segment.end(size) <= start)
        for segment in segments
    )
