"""Setting backups and WAL aside."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Move
from pgrescue.run.deletion import delete_old, remove_emptied
from pgrescue.run.execution import PruneExecution
from pgrescue.run.old_data import move_away
from pgrescue.survey.served import server_within


def set_aside_backups(execution: PruneExecution) -> str:
    """Rename each backup into the hidden directory beside it."""
    moves = execution.work.moves
    for move in moves:
        execution.check_abort()
        if (server := server_within((move.path,))) is not None:
            raise StepFailed(
                f"A server uses {move.path}.",
                f"The one that runs in {server} has files there; it has been started since the "
                "plan was made.",
                next_steps=(f"pgrescue undo {execution.directory.id}",),
            )
        _make_hidden(execution, str(Path(move.aside).parent))
        move_away(execution, move)
    return f"{len(moves)} directories set aside"


def set_aside_wal(execution: PruneExecution) -> str:
    """Rename the files that no backup needs into a hidden directory beside them."""
    for group in execution.work.wal:
        execution.check_abort()
        move_away(execution, Move(group.directory, group.aside, True), group.names)
    count = sum(len(group.names) for group in execution.work.wal)
    return f"{count} files set aside"


def delete(execution: PruneExecution) -> str:
    """Delete what was set aside; asked for when the plan was made."""
    result = delete_old(execution)
    remove_emptied(execution)
    return result


def _make_hidden(execution: PruneExecution, path: str) -> None:
    """A directory of this run's own, never one that somebody else has put there."""
    if path not in execution.state().made and os.path.lexists(path):
        raise StepFailed(f"{path} exists already.", "Its name was to hold what is set aside.")
    execution.make_directory(path)


EXECUTORS: Mapping[str, Callable[[PruneExecution], str]] = {
    "set_aside_backups": set_aside_backups,
    "set_aside_wal": set_aside_wal,
    "delete_old": delete,
}
"""Which executor does which step. A test holds this equal to the planner's steps."""
