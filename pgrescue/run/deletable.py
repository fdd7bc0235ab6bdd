"""What `discard` would delete, shown before it does; and what forbids to delete it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from humanize import intcomma, naturaldelta, naturalsize

from pgrescue.plan.layout import INSIDE
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import servers_below
from pgrescue.run.rescued_wal import OnlyCopy, only_copy
from pgrescue.run.state import RunState
from pgrescue.survey.filesystem import mounts_inside


@dataclass(frozen=True, slots=True)
class Deletable:
    """Something that a run set aside or made, and that is still there."""

    path: str
    since: datetime | None
    """When the run put it there."""
    files: int | None = None
    size_bytes: int | None = None
    """What deleting it would give back; None until it has been counted."""

    def described(self, now: datetime) -> str:
        """Size and age in words."""
        size = "its size is being counted"
        if self.size_bytes is not None and self.files is not None:
            size = f"{naturalsize(self.size_bytes, binary=True)} in {intcomma(self.files)} files"
        if self.since is None:
            return size
        age = f"set aside {naturaldelta(now - self.since)} ago ({self.since:%Y-%m-%d %H:%M} UTC)"
        return f"{size}, {age}"


@dataclass(frozen=True, slots=True)
class Obstacle:
    """Why something is not deleted, and what to do about it."""

    title: str
    cause: str
    next_steps: tuple[str, ...] = ()


def discardable_paths(plan: SealedPlan, state: RunState) -> tuple[str, ...]:
    """What `discard` deletes: all that was set aside, and what nothing will be fetched from.

    Not the staging directory while what was rescued to it is the only copy.
    """
    paths = [*(item.aside for item in state.asides), *state.retired]
    staging = _staging_to_delete(plan, state)
    if staging is not None and only_copy(plan, state) is None:
        paths.append(staging)
    return tuple(paths)


def kept_wal(plan: SealedPlan, state: RunState) -> OnlyCopy | None:
    """For which WAL the staging directory stays that would otherwise be deleted, too."""
    return None if _staging_to_delete(plan, state) is None else only_copy(plan, state)


def _staging_to_delete(plan: SealedPlan, state: RunState) -> str | None:
    """Until its settings are taken out again, the restored server fetches WAL from there."""
    needed_no_more = any(map(state.done, ("tidy", "stream", "undo_move")))
    if isinstance(plan, Plan) and needed_no_more and plan.work.staging in state.made:
        return plan.work.staging
    return None


def counted(item: Deletable) -> Deletable:
    """With its size and number of files; links are not followed, and what is gone is left out."""
    files = size = 0
    if os.path.islink(item.path):  # which is not deleted
        return replace(item, files=files, size_bytes=size)
    for where, _, names in os.walk(item.path):
        for name in names:
            try:
                status = os.lstat(os.path.join(where, name))
            except OSError:
                continue  # it is gone
            files, size = files + 1, size + status.st_blocks * 512
    return replace(item, files=files, size_bytes=size)


def _set_aside_inside(place: Path) -> Path | None:
    """What another run has set aside in a directory that could not be renamed then."""
    inside = [one for one in (place / INSIDE).glob("*/*") if one.is_dir() and any(one.iterdir())]
    return min(inside, default=None)


def obstacle(state: RunState, path: str) -> Obstacle | None:
    """What forbids to delete something that a run made or set aside; None for what is gone, too."""
    place = Path(path)
    if place.is_symlink():
        return Obstacle(f"{path} is a link.", "It was a directory when it was set aside.")
    if not place.exists():
        return None
    if state.is_another(path):
        return Obstacle(
            f"{path} is not what the run {state.run} has put there.",
            "Another directory has taken its place since; nothing in it is touched.",
            (f"look at it; once it is moved away: pgrescue discard {state.run}",),
        )
    real = os.path.realpath(place)
    if not state.is_known(path) and real != path:
        return Obstacle(
            f"{path} is reached through a link.",
            f"It leads to {real}, and the journal does not tell whether that is the directory "
            "which was set aside.",
            ("look at it, and delete it by hand",),
        )
    if is_kept := _set_aside_inside(place):
        return Obstacle(
            f"{is_kept} is inside of it.",
            "An earlier run has set that aside there, and its own journal is what tells of it.",
            ("pgrescue runs", f"once it is moved away: pgrescue discard {state.run}"),
        )
    if mounted := mounts_inside(real, itself=True):
        return Obstacle(
            f"{mounted[0]} is a mount point.",
            "Something is mounted inside what was to be deleted.",
            (f"umount {mounted[0]}",),
        )
    if servers := servers_below(place):
        pid, where = next(iter(servers.items()))
        return Obstacle(
            f"A server runs in {where}.",
            f"Process {pid} works there: somebody has started a server on what was set aside.",
            (f"stop it, then: pgrescue discard {state.run}",),
        )
    return None
