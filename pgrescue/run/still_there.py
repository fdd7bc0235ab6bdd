"""Whether what a run has set aside, and what it has made, is still where its journal says.

Asked before anything is done with either; nothing is moved here, see `old_data`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

from pgrescue.errors import StepFailed
from pgrescue.plan.layout import STAYS, retired_name
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.postmaster import server_processes
from pgrescue.run.execution import Execution, RestoreExecution, is_foreign
from pgrescue.run.state import RunState, SetAside
from pgrescue.survey.filesystem import existing_ancestor


def check_what_was_made(execution: RestoreExecution, *, old_may_be_back: bool) -> None:
    """Raise `StepFailed` if something else is where this run has restored: it is not touched.

    `old_may_be_back`: unless it is the old data, which somebody has brought back by hand.
    """
    state, run = execution.state(), execution.directory.id
    returned = {move.path for move in execution.work.moves} - {item.path for item in state.asides}
    for path in state.made:
        if path in returned or not os.path.lexists(path) or not is_foreign(state, path):
            continue
        by_hand = any(state.has_come_from(item.aside, path) for item in state.asides)
        if by_hand and old_may_be_back:
            continue
        raise StepFailed(
            f"{path} is not what the run {run} has restored there.",
            "Another directory has taken its place since; nothing in it is touched, and no server "
            "that runs on it is stopped.",
            next_steps=(
                f"look at it, and where the old data is: pgrescue status {run}",
                f"once it is moved away: pgrescue undo {run}",
            ),
        )


def check_still_there(execution: RestoreExecution) -> None:
    """Raise `StepFailed` if something that was set aside is gone: there is nothing to put back."""
    state = execution.state()
    for item in state.asides:
        if not item.done or Path(item.aside).exists():
            continue
        # Entries return to a directory that stays only after all that was restored is out of it.
        retired = retired_name(execution.work.tag, item.path, contents_only=item.contents_only)
        names = os.listdir(item.path) if retired in state.retired_whole else ()
        if not has_returned(state, item, names):
            raise StepFailed(
                f"The old data is not at {item.aside} any more.",
                "It was set aside there; somebody has moved or deleted it since.",
                next_steps=(
                    f"bring it back to {item.aside}, then: pgrescue undo {execution.directory.id}",
                ),
            )


def check_nobody_uses_it(execution: RestoreExecution, *, is_stopped: bool) -> None:
    """Raise `StepFailed` if a server works in what an undo is about to rename.

    Somebody may have started the old data, to look at it; or the restored server, once that
    `is_stopped`.
    """
    work, state = execution.work, execution.state()
    data = work.data_directory
    for item in state.asides:
        if item.path != data:
            continue
        retired = retired_name(work.tag, data, contents_only=item.contents_only)
        must_be_down = is_stopped and retired not in state.retired_whole
        for place in (item.aside, *([data] if must_be_down else [])):
            if left := server_processes(Path(place)):
                raise StepFailed(
                    f"A server runs in {place}.",
                    f"Process {left[0]} works there: to be renamed under it would break it.",
                    next_steps=(
                        f"stop it: {work.bin_directory}/pg_ctl stop -m fast -D {quote(place)}",
                        f"then: pgrescue undo {execution.directory.id}",
                    ),
                )


def check_old_data_is_known(execution: RestoreExecution) -> None:
    """Before a run goes on: raise `StepFailed` if the disk with its old data may not be there.

    That somebody has deleted the old data from it, to make room, is noted.
    """
    state, run = execution.state(), execution.directory.id
    for item in state.asides:
        if not item.done or Path(item.aside).exists():
            continue
        if _is_its_disk_there(state, item, execution.work.staging):
            execution.note(f"The old data is not at {item.aside} any more: there is no way back.")
            continue
        raise StepFailed(
            f"The old data is not at {item.aside} any more.",
            "The disk that it was on may not be mounted, or another one is mounted there.",
            next_steps=(
                "see what is mounted: findmnt",
                f"once it is there: pgrescue resume {run}, or pgrescue undo {run}",
                "if it was deleted on purpose: restore again, with a new plan",
            ),
        )


def _is_its_disk_there(state: RunState, item: SetAside, staging: str) -> bool:
    """Whether what something was set aside on is mounted where it was.

    Known by what the run has made on it, and that is still there: numbers of disks change from
    boot to boot, and mounts of one file system share theirs.
    """
    known = {identity.path: identity for identity in state.identities}
    aside = known.get(item.aside)
    here = existing_ancestor(Path(item.aside)).stat().st_dev
    # The root of a file system has the same inode on every disk.
    for path in (staging,) if item.contents_only else (staging, item.path):
        made = known.get(path)
        if made is None or aside is None or not os.path.lexists(path):
            continue
        were_together = (made.boot, made.device) == (aside.boot, aside.device)
        if were_together and state.has_come_from(path, path) and os.lstat(path).st_dev == here:
            return True
    return False


def check_way_back(execution: Execution[SealedPlan], item: SetAside, *, returned: bool) -> None:
    path, aside = Path(item.path), Path(item.aside)
    run = execution.directory.id
    if not aside.exists():
        if item.done and not returned:
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


def has_returned(state: RunState, item: SetAside, names: Sequence[str] | None) -> bool:
    """Whether what is in the place of something is that very thing, returned without a record.

    `names`: of the entries, where only these were moved.
    """
    if not os.path.lexists(item.path):
        return False
    if item.contents_only:
        return any(
            os.path.lexists(Path(item.path, name)) for name in names or () if name not in STAYS
        )
    return not state.is_known(item.aside) or state.has_come_from(item.aside, item.path)
