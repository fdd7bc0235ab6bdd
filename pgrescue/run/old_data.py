"""Setting the old data aside by rename, putting it back, and deleting it for good.

The only place in the program that moves or deletes anything of a cluster.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.checks.context import is_inside
from pgrescue.plan.layout import INSIDE
from pgrescue.plan.model import Move
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import server_processes
from pgrescue.run.execution import Execution, RestoreExecution
from pgrescue.run.records import Deleted, Moved, MovedBack, Moving, Retired, Retiring
from pgrescue.run.run_directory import sync_directory
from pgrescue.run.state import RunState, SetAside
from pgrescue.survey.cluster import used_elsewhere
from pgrescue.survey.filesystem import is_mount_point, mount_points

_STAYS = frozenset({INSIDE, "lost+found"})


def set_aside(execution: RestoreExecution) -> str:
    """Rename the old data directory, linked pg_wal and tablespace directories away."""
    left = server_processes(Path(execution.work.data_directory))
    if left and not _has_begun(execution):
        raise StepFailed(
            "A server runs on the data directory.",
            f"Process {left[0]} works in {execution.work.data_directory}: somebody has started it "
            "since it was stopped.",
            next_steps=(f"pgrescue resume {execution.directory.id}   stops it again",),
        )
    _refuse_what_others_use(execution)
    for move in execution.work.moves:
        move_away(execution, move)
    _point_link(execution, to_aside=True)
    return f"{len(execution.work.moves)} set aside"


def _refuse_what_others_use(execution: RestoreExecution) -> None:
    """Another server's tablespace must not be pulled away from under it."""
    work = execution.work
    paths = [move.path for move in work.moves if move.path != work.data_directory]
    for path, other in used_elsewhere(paths, work.data_directory).items():
        raise StepFailed(
            f"{path} is used by another server.",
            f"The server that runs in {other} keeps files there; it has been started since the "
            "plan was made.",
            next_steps=("make a new plan with the same options and look at it again",),
        )


def _has_begun(execution: RestoreExecution) -> bool:
    return bool(execution.state().asides)


def move_away(
    execution: Execution[SealedPlan], move: Move, names: Sequence[str] | None = None
) -> None:
    """Rename something away, once, however often it is tried; announced before, confirmed after.

    `names`: only these entries of a directory that stays, those that are there. Raises `StepFailed`
    if the place for it is taken.
    """
    known = next((item for item in execution.state().asides if item.aside == move.aside), None)
    if known is not None and known.done:
        return
    path, aside = Path(move.path), Path(move.aside)
    if known is None:
        if aside.exists():
            raise StepFailed(f"{aside} exists already.", "Its name was to hold the old data.")
        execution.journal.append(
            Moving(path=move.path, aside=move.aside, contents_only=move.contents_only)
        )
    # An earlier try may have died between the rename and its record.
    if move.contents_only or not aside.exists():
        _rename(execution, path, aside, contents_only=move.contents_only, names=names)
    execution.journal.append(Moved(path=move.path, aside=move.aside))


def put_back(execution: RestoreExecution) -> str:
    """Undo `set_aside`: what was restored makes way, the old data returns to its place."""
    asides = execution.state().asides
    check_still_there(execution)
    _point_link(execution, to_aside=False)
    for item in reversed(asides):
        if item.done and Path(item.aside).exists():
            _make_way(execution, item)
        _return(execution, item)
    returned = (execution.work.staging, *(item.path for item in asides))
    for path in execution.state().made:
        if Path(path).exists() and not any(is_inside(path, place) for place in returned):
            stays = is_mount_point(Path(path)) or not os.access(Path(path).parent, os.W_OK)
            _retire(execution, path, contents_only=stays)
    return f"{len(asides)} put back"


def return_all(execution: Execution[SealedPlan], *, begun_before: bool) -> str:
    """Undo of `move_away` for what nothing was put in the place of; overwrites nothing.

    `begun_before`: an earlier try died, so that some of it may be back already. Raises
    `StepFailed`, before anything is renamed, if a place is taken or something is gone.
    """
    asides = execution.state().asides
    for item in asides:
        _check_way_back(execution, item, begun_before=begun_before)
    for item in reversed(asides):
        _return(execution, item)
    remove_emptied(execution)
    return f"{len(asides)} put back"


def _check_way_back(
    execution: Execution[SealedPlan], item: SetAside, *, begun_before: bool
) -> None:
    path, aside = Path(item.path), Path(item.aside)
    run = execution.directory.id
    if not aside.exists():
        if item.done and not begun_before:
            raise StepFailed(
                f"What was set aside is not at {aside} any more.",
                "Somebody has moved or deleted it since.",
                next_steps=(f"bring it back to {aside}, then: pgrescue undo {run}",),
            )
        return
    places = [path / name for name in os.listdir(aside)] if item.contents_only else [path]
    taken = [place for place in places if os.path.lexists(place)]
    if taken:
        raise StepFailed(
            f"{taken[0]} exists again.",
            f"Something has been put there since the run {run} set it aside, and is not "
            "overwritten.",
            next_steps=(f"move it away, then: pgrescue undo {run}",),
        )


def remove_emptied(execution: Execution[SealedPlan]) -> None:
    """Remove the directories that this run has made for others and that nothing is left in."""
    for path in reversed(execution.state().made):
        place = Path(path)
        if place.is_dir() and not place.is_symlink() and not os.listdir(place):
            place.rmdir()
            sync_directory(place.parent)
            execution.journal.append(Deleted(path=path))


def _return(execution: Execution[SealedPlan], item: SetAside) -> None:
    path, aside = Path(item.path), Path(item.aside)
    if aside.exists():
        if item.contents_only:
            _rename_entries(aside, path)
            aside.rmdir()
        else:
            _remove_empty(path)
            os.rename(aside, path)
            _sync_parents(path, aside)
    execution.journal.append(MovedBack(path=item.path, aside=item.aside))


def check_still_there(execution: RestoreExecution) -> None:
    """Raise `StepFailed` if something that was set aside is gone: there is nothing to put back."""
    state = execution.state()
    for item in state.asides:
        begun = any(path.startswith(item.path) for path in state.retired)
        if item.done and not begun and not Path(item.aside).exists() and _is_ours(state, item.path):
            raise StepFailed(
                f"The old data is not at {item.aside} any more.",
                "It was set aside there; somebody has moved or deleted it since.",
                next_steps=(
                    f"bring it back to {item.aside}, then: pgrescue undo {execution.directory.id}",
                ),
            )


def _is_ours(state: RunState, path: str) -> bool:
    """Whether what is at a path is this run's own, or nothing."""
    try:
        status = os.stat(path)
    except OSError:
        return True
    return (path, status.st_dev, status.st_ino) in state.identities


def _make_way(execution: RestoreExecution, item: SetAside) -> None:
    """Retire what was restored, once: what is there afterwards is the old data coming back."""
    retired = _retired_name(execution, item.path, contents_only=item.contents_only)
    if retired in execution.state().retired_whole:
        return
    if _holds_something(Path(item.path), item.contents_only):
        _retire(execution, item.path, contents_only=item.contents_only)


def _retired_name(execution: RestoreExecution, path: str, *, contents_only: bool) -> str:
    tag = execution.work.tag
    return f"{path}/{INSIDE}/{tag}/undone" if contents_only else f"{path}.{tag}-undone"


def _retire(execution: RestoreExecution, path: str, *, contents_only: bool = False) -> None:
    """Rename what this run restored, so that it can still be looked at until it is discarded."""
    retired = _retired_name(execution, path, contents_only=contents_only)
    execution.journal.append(Retiring(path=path, retired=retired))
    _rename(execution, Path(path), Path(retired), contents_only=contents_only)
    execution.journal.append(Retired(path=path, retired=retired))


def delete_tree(execution: Execution[SealedPlan], path: str) -> str:
    """Delete something this run set aside or made, never across a mount or through a link."""
    place = Path(path)
    if place.is_symlink():
        raise StepFailed(f"{path} is a link.", "It was a directory when it was set aside.")
    if place.exists():
        inside = [mount for mount in mount_points() if is_inside(mount, str(place))]
        if inside:
            raise StepFailed(
                f"{inside[0]} is a mount point.",
                "Something is mounted inside what was to be deleted.",
                next_steps=(f"umount {inside[0]}",),
            )
        shutil.rmtree(place)
        sync_directory(place.parent)
    _remove_empty_parents(place)
    execution.journal.append(Deleted(path=path))
    return "deleted"


def _remove_empty_parents(place: Path) -> None:
    """What was set aside inside a directory that stays leaves empty directories of ours."""
    if INSIDE not in place.parts:
        return
    for parent in place.parents:
        if INSIDE not in parent.parts or (parent.exists() and os.listdir(parent)):
            return
        if parent.exists():  # an earlier try may have died on its way up
            parent.rmdir()


def delete_old(execution: Execution[SealedPlan]) -> str:
    """Delete what was set aside; asked for when the plan was made."""
    asides = execution.state().asides
    for item in asides:
        delete_tree(execution, item.aside)
    return f"{len(asides)} deleted"


def clear_own(execution: Execution[SealedPlan], path: str) -> None:
    """Empty a directory that this run has made, to fill it anew."""
    if path not in execution.state().made:
        raise StepFailed(f"{path} was not made by this run and is not emptied.")
    _check_identity(execution, path)
    for name in os.listdir(path):
        entry = Path(path, name)
        if name in _STAYS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _check_identity(execution: Execution[SealedPlan], path: str) -> None:
    """Raise `StepFailed` unless the directory is the very one that the run made, with no server."""
    place = Path(path)
    known = next((item for item in execution.state().identities if item[0] == path), None)
    status = place.lstat()
    if place.is_symlink() or known != (path, status.st_dev, status.st_ino):
        raise StepFailed(
            f"{path} is not the directory that this run has made.",
            "Somebody has put another one in its place; nothing in it is touched.",
            next_steps=(f"pgrescue undo {execution.directory.id}",),
        )
    if processes := server_processes(place):
        raise StepFailed(
            f"A server runs in {path}.",
            f"Process {processes[0]} works there; its data is not touched.",
            next_steps=(
                f"stop it, then: pgrescue resume {execution.directory.id}",
                "or leave it as it is, if you went on by hand",
            ),
        )


def _rename(
    execution: Execution[SealedPlan],
    path: Path,
    aside: Path,
    *,
    contents_only: bool,
    names: Sequence[str] | None = None,
) -> None:
    if contents_only:
        execution.make_parents(aside)
        aside.mkdir(mode=0o700, exist_ok=True)
        execution.give_to_owner(aside, execution.plan.directory_mode)
        _rename_entries(path, aside, names)
        return
    os.rename(path, aside)
    _sync_parents(aside, path)


def _rename_entries(source: Path, destination: Path, names: Sequence[str] | None = None) -> None:
    wanted = None if names is None else set(names)
    for name in sorted(os.listdir(source)):
        if name not in _STAYS and (wanted is None or name in wanted):
            os.rename(source / name, destination / name)
    sync_directory(destination)
    sync_directory(source)


def _sync_parents(new: Path, old: Path) -> None:
    """A rename is safe once both directories are on disk; the new name first."""
    sync_directory(new.parent)
    if old.parent != new.parent:
        sync_directory(old.parent)


def _holds_something(path: Path, contents_only: bool) -> bool:
    if not contents_only:
        return path.exists()
    return bool(set(os.listdir(path)) - _STAYS)


def _remove_empty(path: Path) -> None:
    if path.exists():
        path.rmdir()


def _point_link(execution: RestoreExecution, *, to_aside: bool) -> None:
    """Keep the old data directory's `pg_wal` link on its own WAL while both are set aside."""
    work = execution.work
    data = next((move for move in work.moves if move.path == work.data_directory), None)
    wal = next((move for move in work.moves if move.path == work.wal_link), None)
    if data is None or wal is None or work.wal_link_text is None:
        return
    link = Path(data.aside, "pg_wal")
    if link.is_symlink():
        replacement = link.with_name("pg_wal.pgrescue-new")
        replacement.unlink(missing_ok=True)
        replacement.symlink_to(wal.aside if to_aside else work.wal_link_text)
        os.replace(replacement, link)
        sync_directory(link.parent)
