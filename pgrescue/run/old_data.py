"""Setting the old data aside by rename, and putting it back.

The only place in the program that moves anything of a cluster; what is set aside is deleted in
`deletion`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.layout import STAYS, retired_name
from pgrescue.plan.model import Move, Work
from pgrescue.plan.paths import is_inside
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import server_processes
from pgrescue.run.deletion import remove_emptied, remove_empty_parents
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import Execution, RestoreExecution
from pgrescue.run.own_links import keep_together, lead_back, links_in
from pgrescue.run.places import check_places
from pgrescue.run.records import Moved, MovedBack, Moving, Retired, Retiring
from pgrescue.run.state import RunState, SetAside
from pgrescue.run.still_there import (
    check_nobody_uses_it,
    check_still_there,
    check_way_back,
    check_what_was_made,
    has_returned,
)
from pgrescue.survey.filesystem import is_mount_point


def set_aside(execution: RestoreExecution) -> str:
    """Rename the old data directory, linked pg_wal and tablespace directories away."""
    data = execution.work.data_directory
    left = server_processes(Path(data))
    if left and not is_away(execution.state(), data):
        raise StepFailed(
            "A server runs on the data directory.",
            f"Process {left[0]} works in {data}: somebody has started it since it was stopped.",
            next_steps=(f"pgrescue resume {execution.directory.id}   stops it again",),
        )
    check_places(execution)
    for move in execution.work.moves:
        move_away(execution, move)
    if (aside := _asides(execution.work).get(execution.work.data_directory)) is not None:
        keep_together(Path(aside), execution.work.old_links, _asides(execution.work))
    return f"{len(execution.work.moves)} set aside"


def is_away(state: RunState, path: str) -> bool:
    """Whether that is known to be set aside: only then is nobody at work on it any more."""
    return any(item.path == path and item.done for item in state.asides)


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
        if os.path.lexists(aside):
            raise _is_taken(aside)
        status = path.lstat()
        execution.journal.append(
            Moving(
                path=move.path,
                aside=move.aside,
                contents_only=move.contents_only,
                device=None if move.contents_only else status.st_dev,
                inode=None if move.contents_only else status.st_ino,
            )
        )
    # An earlier try may have died between the rename and its record.
    if move.contents_only or not os.path.lexists(aside):
        _rename(execution, path, aside, contents_only=move.contents_only, names=names)
    elif execution.state().is_another(move.aside):
        raise _is_taken(aside)
    status = aside.lstat()
    execution.journal.append(
        Moved(path=move.path, aside=move.aside, device=status.st_dev, inode=status.st_ino)
    )


def _is_taken(aside: Path) -> StepFailed:
    return StepFailed(f"{aside} exists already.", "Its name was to hold the old data.")


def put_back(execution: RestoreExecution) -> str:
    """Undo `set_aside`: what was restored makes way, the old data returns to its place."""
    asides = execution.state().asides
    check_still_there(execution)
    check_what_was_made(execution, old_may_be_back=True)
    check_nobody_uses_it(execution, is_stopped=True)
    _make_way(execution, asides)
    _lead_back(execution.work)
    for item in reversed(asides):  # the data directory last: by then its server finds all of it
        _return(execution, item)
    _remove_what_is_empty(execution)
    return f"{len(asides)} put back"


def _make_way(execution: RestoreExecution, asides: Sequence[SetAside]) -> None:
    """Retire all that was restored before any of the old returns, the data directory first.

    A server that somebody starts meanwhile, or init after a reboot, would otherwise write into the
    old tablespaces and the old WAL. What is there afterwards is the old data coming back.
    """
    work, state = execution.work, execution.state()
    ways = [
        (item.path, item.contents_only)
        for item in asides
        if item.done and Path(item.aside).exists() and not _has_made_way(work, state, item)
    ]
    # What is at the others has been set aside, and returns in this try or has in an earlier one.
    others = (work.staging, *(move.path for move in work.moves))
    for path in state.made:
        if not any(is_inside(path, place) for place in others):
            stays = is_mount_point(Path(path)) or not os.access(Path(path).parent, os.W_OK)
            ways.append((path, stays))
    for path, stays in sorted(ways, key=lambda way: way[0] != work.data_directory):
        _clear_away(execution, path, contents_only=stays)
    _keep_retired_together(work, state)


def _keep_retired_together(work: Work, state: RunState) -> None:
    """What was restored is looked at, too, before it is discarded."""
    moved = {}
    for path in (*(item.path for item in state.asides), *state.made):
        for inside in (False, True):
            retired = retired_name(work.tag, path, contents_only=inside)
            if os.path.lexists(retired):
                moved[path] = retired
    if (data := moved.get(work.data_directory)) is not None:
        keep_together(Path(data), links_in(Path(data), moved), moved)


def _remove_what_is_empty(execution: RestoreExecution) -> None:
    """Directories of ours inside of one that stays: of what never came to be, or has returned."""
    staging = Path(execution.work.staging)
    if not staging.exists():
        remove_empty_parents(staging)
    for move in execution.work.moves:
        aside = Path(move.aside)
        if move.contents_only and aside.is_dir() and not os.listdir(aside):
            aside.rmdir()  # an earlier try may have died between the record and this
            remove_empty_parents(aside)


def return_all(
    execution: Execution[SealedPlan], names: Mapping[str, Sequence[str]], *, begun_before: bool
) -> str:
    """Undo of `move_away` for what nothing was put in the place of; overwrites nothing.

    `names`: the entries that were moved, by where they were set aside; `begun_before`: an earlier
    try died, so that some of it may be back already. Raises `StepFailed`, before anything is
    renamed, if a place is taken or something is gone.
    """
    asides = execution.state().asides
    for item in asides:
        returned = begun_before and has_returned(execution.state(), item, names.get(item.aside))
        check_way_back(execution, item, returned=returned)
    for item in reversed(asides):
        _return(execution, item)
    remove_emptied(execution)
    return f"{len(asides)} put back"


def _return(execution: Execution[SealedPlan], item: SetAside) -> None:
    path, aside = Path(item.path), Path(item.aside)
    if aside.exists():
        if item.contents_only:
            _rename_entries(aside, path)
        else:
            _remove_empty(path)
            os.rename(aside, path)
            _sync_parents(path, aside)
    execution.journal.append(MovedBack(path=item.path, aside=item.aside))
    # Last: of nothing but this directory it can be told that nothing was in it.
    if item.contents_only and aside.exists():
        aside.rmdir()


def _has_made_way(work: Work, state: RunState, item: SetAside) -> bool:
    retired = retired_name(work.tag, item.path, contents_only=item.contents_only)
    return retired in state.retired_whole


def _clear_away(execution: RestoreExecution, path: str, *, contents_only: bool) -> None:
    """Retire what is at a path. Also of nothing it is told that it is done with: what comes there
    from now on makes way no more, however often the undo is tried."""
    if _holds_something(Path(path), contents_only):
        _retire(execution, path, contents_only=contents_only)
        return
    retired = retired_name(execution.work.tag, path, contents_only=contents_only)
    # An earlier try may have died between the rename and its record.
    status = os.lstat(retired) if os.path.lexists(retired) else None
    execution.journal.append(
        Retired(
            path=path,
            retired=retired,
            device=status.st_dev if status else None,
            inode=status.st_ino if status else None,
        )
    )


def _retire(execution: RestoreExecution, path: str, *, contents_only: bool = False) -> None:
    """Rename what this run restored, so that it can still be looked at until it is discarded."""
    retired = retired_name(execution.work.tag, path, contents_only=contents_only)
    execution.journal.append(Retiring(path=path, retired=retired))
    _rename(execution, Path(path), Path(retired), contents_only=contents_only)
    status = os.lstat(retired)
    execution.journal.append(
        Retired(path=path, retired=retired, device=status.st_dev, inode=status.st_ino)
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
        _check_way_inside(path, aside)
        execution.make_parents(aside)
        aside.mkdir(mode=0o700, exist_ok=True)
        execution.give_to_owner(aside, execution.plan.directory_mode)
        _rename_entries(path, aside, names)
        return
    os.rename(path, aside)
    _sync_parents(aside, path)


def _check_way_inside(path: Path, aside: Path) -> None:
    """What stays in a directory must not leave it by a link that somebody has planted there."""
    if not is_inside(os.path.realpath(aside), os.path.realpath(path)):
        raise StepFailed(
            f"{aside} is not in {path}.",
            f"A link on the way there leads to {os.path.realpath(aside)}.",
            next_steps=(f"see who has put it there: ls -la {path}",),
        )


def _rename_entries(source: Path, destination: Path, names: Sequence[str] | None = None) -> None:
    wanted = None if names is None else set(names)
    for name in sorted(os.listdir(source)):
        if name not in STAYS and (wanted is None or name in wanted):
            os.rename(source / name, destination / name)
    sync_directory(destination)
    sync_directory(source)


def _sync_parents(new: Path, old: Path) -> None:
    """A rename is safe once both directories are on disk; the new name first."""
    sync_directory(new.parent)
    if old.parent != new.parent:
        sync_directory(old.parent)


def _holds_something(path: Path, contents_only: bool) -> bool:
    return path.exists() and not (contents_only and set(os.listdir(path)) <= STAYS)


def _remove_empty(path: Path) -> None:
    if path.exists():
        path.rmdir()


def _lead_back(work: Work) -> None:
    """Also where somebody has brought the old data back by hand."""
    data, asides = work.data_directory, _asides(work)
    for place in (asides.get(data), data):
        if place is not None:
            lead_back(Path(place), work.old_links, asides)


def _asides(work: Work) -> dict[str, str]:
    return {move.path: move.aside for move in work.moves}
