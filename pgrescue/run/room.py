"""Room on the filesystems that a run fills: watched while it works, told of when it runs out."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from humanize import naturalsize

from pgrescue.errors import StepFailed, TargetNotReached
from pgrescue.plan.layout import INSIDE
from pgrescue.plan.model import Space
from pgrescue.plan.space import RESERVE_BYTES, RESERVE_INODES
from pgrescue.run.execution import RestoreExecution
from pgrescue.survey.filesystem import existing_ancestor
from pgrescue.survey.free_space import Free, free_at

_INTERVAL_SECONDS = 1.0
_FILLING = frozenset(
    {
        "stop",
        "rescue_wal",
        "extract",
        "combine",
        "receive",
        "place_wal",
        "configure",
        "start",
        "replay",
    }
)
"""Steps that write much, or after which much is written; before a stop WAL may be copied.

A server that has recovered is not stopped for want of room, and to delete old data makes some.
"""
_FULL = (errno.ENOSPC, errno.EDQUOT)
_FULL_WORDS = tuple(os.strerror(number) for number in _FULL)
"""What programs and the server's log say of it."""


class OutOfRoom(StepFailed):
    """A filesystem is full, or will be in a moment."""


class Room:
    """The filesystems of one plan, looked at once a second."""

    def __init__(self, execution: RestoreExecution, step: str) -> None:
        self._execution = execution
        self._step = step
        self._looked = 0.0

    def check(self) -> None:
        """Raise `OutOfRoom` where less is free than the plan leaves; cheap, to be called often."""
        now = time.monotonic()
        if now - self._looked < _INTERVAL_SECONDS:
            return
        self._looked = now
        for item in self._execution.plan.space:
            if _is_low(free := _free(item)):
                raise self._error(item, free, "")

    def behind(self, problem: OSError | StepFailed) -> OutOfRoom | None:
        """The error to tell instead of `problem`, if it comes of a full filesystem."""
        looked = [(item, _free(item)) for item in self._execution.plan.space]
        if isinstance(problem, OutOfRoom | TargetNotReached) or not looked:
            return None
        item, free = min(looked, key=lambda pair: (not _is_low(pair[1]), pair[1].bytes))
        # The server does not say why its restore_command failed.
        if not _says_full(problem) and not (isinstance(problem, StepFailed) and _is_low(free)):
            return None
        if isinstance(problem, StepFailed):
            return self._error(item, free, f"{problem.title} {problem.cause}")
        return self._error(item, free, str(problem))

    def _error(self, item: Space, free: Free, evidence: str) -> OutOfRoom:
        run = self._execution.directory.id
        made_bytes, made_files = self._made_on(item)
        if free.inodes is not None and free.inodes < RESERVE_INODES:
            missing = max(
                item.needed_inodes - made_files - free.inodes, RESERVE_INODES - free.inodes
            )
            what = f"{missing:,} inodes"
            there = f"{free.inodes:,} inodes"
        else:
            missing = max(item.needed_bytes - made_bytes - free.bytes, RESERVE_BYTES - free.bytes)
            what = f"{missing} bytes ({naturalsize(missing, binary=True)})"
            there = f"{free.bytes} bytes"
            if missing <= 0:
                what = "an unknown amount"
                there = f"{there} (so it may be a quota that cannot be asked for)"
        if free.quota:
            there = f"{there} (by the quota of {free.quota})"
        return OutOfRoom(
            f"{item.filesystem} has no room for the step '{self._step}'.",
            f"Only {there} are free there; the restore needs {what} more. {evidence}".strip(),
            next_steps=(
                f"make room for {what} more on {item.filesystem}, then: pgrescue resume {run}",
                f"pgrescue undo {run}",
            ),
        )

    def _made_on(self, item: Space) -> tuple[int, int]:
        """Bytes and files that this run has put on a filesystem already."""
        device = _place(item).stat().st_dev
        seen: set[int] = set()
        size = 0
        for root in self._execution.state().made:
            for path in _below(Path(root)):
                try:
                    status = path.lstat()
                except OSError:  # the server takes away what it has replayed
                    continue
                if status.st_dev == device and status.st_ino not in seen:
                    seen.add(status.st_ino)
                    size += status.st_blocks * 512
        return size, len(seen)


@contextmanager
def watched(execution: RestoreExecution, step: str) -> Iterator[None]:
    """While a step works, the run ends with `OutOfRoom` before its filesystems are full.

    Where somebody else was faster, the error that comes of it is told as what it is.
    """
    room = Room(execution, step)
    execution.watch = room.check if step in _FILLING else None
    try:
        yield
    except (OSError, StepFailed) as problem:
        error = room.behind(problem)
        if error is None:
            raise
        raise error from problem
    finally:
        execution.watch = None


def _says_full(problem: OSError | StepFailed) -> bool:
    causes = (problem, problem.__cause__)
    if any(isinstance(cause, OSError) and cause.errno in _FULL for cause in causes):
        return True
    text = f"{problem.title} {problem.cause}" if isinstance(problem, StepFailed) else ""
    return any(words in text for words in _FULL_WORDS)


def _place(item: Space) -> Path:
    return existing_ancestor(Path(item.paths[0] if item.paths else item.filesystem))


def _free(item: Space) -> Free:
    return free_at(_place(item), item.writer)


def _is_low(free: Free) -> bool:
    few_inodes = free.inodes is not None and free.inodes < RESERVE_INODES
    return free.bytes < RESERVE_BYTES or few_inodes


def _below(root: Path) -> Iterator[Path]:
    """A directory and all that is in it, but for what is set aside there."""
    yield root
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name != INSIDE]
        yield from (Path(directory, name) for name in (*names, *files))
