"""The WAL that runs have rescued: for a while theirs may be the only copy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from shlex import quote

from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.plan.work import tail_directory
from pgrescue.run.run_directory import list_runs
from pgrescue.run.state import RunState
from pgrescue.survey.wal_tail import look_at_tail
from pgrescue.wal.archive import scan_archive


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

    @property
    def way_out(self) -> tuple[str, ...]:
        """What makes it unneeded."""
        if self.is_certain:
            return ("take a base backup: pgrescue backup",)
        return (f"once a newer base backup is there, delete it by hand: rm -r {quote(self.place)}",)


def rescued_places(cluster: str) -> tuple[Path, ...]:
    """Where runs keep WAL of a cluster that they have rescued, newest first."""
    plans = [run.plan() for run in reversed(list_runs())]
    found = (
        Path(tail_directory(plan.work))
        for plan in plans
        if isinstance(plan, Plan) and plan.cluster == cluster and plan.work.wal_sources
    )
    return tuple(place for place in found if place.is_dir())


def only_copy(plan: SealedPlan, state: RunState) -> OnlyCopy | None:
    """What of the rescued WAL recovery from the backups that there are still needs.

    Whatever timeline it leads to, it goes through that WAL, unless a base backup has been completed
    behind it: that has left its history file in the archive. A clone leaves the original's WAL
    where it is, and so does an undo.
    """
    if not isinstance(plan, Plan) or plan.mode != "in_place" or state.done("undo_move"):
        return None
    work, place = plan.work, Path(tail_directory(plan.work))
    try:
        archive = scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    except OSError:
        archive = None
    names = look_at_tail([place], archive, work.system_identifier).names
    if archive is None and plan.wal_tail is not None:
        names = tuple(name for name in names if name in plan.wal_tail.segments)
    elif archive is not None:
        # Names without their timeline: what is completed on a newer one counts.
        newest = max((name[8:24] for name in archive.backup_histories), default="")
        names = tuple(name for name in names if name[8:24] >= newest)
    return OnlyCopy(str(place), names, archive is not None) if names else None
