"""Deleting what a run has made or set aside, for good; `deletable` says what forbids it."""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.layout import INSIDE, STAYS
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.control_file import RELATIVE_PATH as PG_CONTROL
from pgrescue.postgres.postmaster import server_processes
from pgrescue.run.deletable import obstacle
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import Execution, RestoreExecution
from pgrescue.run.records import Deleted, Deleting
from pgrescue.survey.filesystem import mounts_inside


def check_deletable(execution: Execution[SealedPlan], paths: Sequence[str]) -> None:
    """Raise `StepFailed` if something forbids to delete any of these, before one of them is."""
    state = execution.state()
    for path in paths:
        if found := obstacle(state, path):
            raise StepFailed(found.title, found.cause, next_steps=found.next_steps)


def delete_tree(execution: Execution[SealedPlan], path: str) -> str:
    """Delete something this run set aside or made, and nothing that is in its place by now.

    Never across a mount or through a link, never under a server: raises `StepFailed` for those.
    """
    check_deletable(execution, (path,))
    place = Path(path)
    if place.exists():
        execution.journal.append(Deleting(path=path))
        shutil.rmtree(place)
        sync_directory(place.parent)
    remove_empty_parents(place)
    execution.journal.append(Deleted(path=path))
    return "deleted"


def discard(execution: Execution[SealedPlan], paths: Sequence[str]) -> None:
    """Delete one after the other, each as a step of its own: the journal tells how far it came."""
    for path in paths:
        execution.do(f"discard {path}", f"Delete {path}", partial(delete_tree, execution, path))


def remove_empty_parents(place: Path) -> None:
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
    check_deletable(execution, [item.aside for item in asides])
    for item in asides:
        delete_tree(execution, item.aside)
    return f"{len(asides)} deleted"


def clear_own(execution: Execution[SealedPlan], path: str) -> None:
    """Empty a directory that this run has made, to fill it anew."""
    if path not in execution.state().made:
        raise StepFailed(f"{path} was not made by this run and is not emptied.")
    _check_identity(execution, path)
    if mounted := mounts_inside(path):
        raise StepFailed(
            f"{mounted[0]} is a mount point.",
            f"Somebody has mounted something inside {path}, which is emptied to be filled anew.",
            next_steps=(f"umount {mounted[0]}", f"pgrescue resume {execution.directory.id}"),
        )
    for name in os.listdir(path):
        entry = Path(path, name)
        if name in STAYS:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def make_anew(execution: Execution[SealedPlan], path: str) -> None:
    """An empty directory of this run's own; what an interrupted try left in it goes."""
    execution.make_directory(path)
    clear_own(execution, path)


def make_data_directory_anew(execution: RestoreExecution) -> None:
    """The same for the data directory, which is no whole one before its `pg_control` is there.

    Roots of file systems have the same number on every disk: it does not tell whose they are.
    """
    path = execution.work.data_directory
    if os.path.lexists(Path(path, PG_CONTROL)):
        raise StepFailed(
            f"{path} holds a whole data directory.",
            f"This run puts its {PG_CONTROL} there last, and has not done so: it is another "
            "cluster's, or was completed by hand. Nothing in it is touched.",
            next_steps=(
                f"see what is mounted, and whose it is: findmnt -T {shlex.quote(path)}",
                f"once it is moved away: pgrescue resume {execution.directory.id}",
            ),
        )
    make_anew(execution, path)


def _check_identity(execution: Execution[SealedPlan], path: str) -> None:
    """Raise `StepFailed` unless the directory is the very one that the run made, with no server."""
    place = Path(path)
    if place.is_symlink() or not execution.state().has_come_from(path, path):
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


def remove_emptied(execution: Execution[SealedPlan]) -> None:
    """Remove the directories that this run has made for others and that nothing is left in."""
    for path in reversed(execution.state().made):
        place = Path(path)
        if place.is_dir() and not place.is_symlink() and not os.listdir(place):
            place.rmdir()
            sync_directory(place.parent)
            execution.journal.append(Deleted(path=path))
