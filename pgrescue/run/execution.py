"""What an executor has at hand while it does its step: plan, journal, programs, progress."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from pgrescue.backup.model import BackupPlan, BackupWork
from pgrescue.errors import PgRescueError, StepFailed
from pgrescue.plan.layout import STAYS
from pgrescue.plan.model import Plan, Work
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.lsn import Lsn
from pgrescue.retention.prune_model import PrunePlan, PruneWork
from pgrescue.run.durable import sync_directory
from pgrescue.run.fold import fold
from pgrescue.run.journal import Journal, read_journal
from pgrescue.run.ownership import create_anew, give
from pgrescue.run.programs import Programs, Running
from pgrescue.run.records import (
    MadeDirectory,
    MakingDirectory,
    Note,
    Progress,
    StepBegan,
    StepEnded,
)
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.state import RunState

_RATE_WINDOW_SECONDS = 20.0
_PROGRESS_INTERVAL_SECONDS = 1.0


class Aborted(PgRescueError):
    """Somebody asked the run to stop, and this is a safe place to do it."""


P = TypeVar("P", bound=SealedPlan, covariant=True)


class Execution(Generic[P]):
    """One runner's life in a run. Executors act through this, so that everything is journaled."""

    def __init__(self, plan: P, directory: RunDirectory, journal: Journal) -> None:
        self.plan = plan
        self.directory = directory
        self.journal = journal
        self.step = ""
        self.programs = Programs(directory, journal, plan.owner, lambda: self.step)
        self.background: list[Running] = []
        self.watch: Callable[[], None] | None = None
        """Called wherever stopping is safe; raises what stops the run."""
        self._abort = threading.Event()
        self._samples: deque[tuple[float, int]] = deque()
        self._last_progress = 0.0

    def state(self) -> RunState:
        """The run's state as the journal has it now."""
        return fold(self.plan, read_journal(self.directory.journal_path))

    def request_abort(self) -> None:
        """Ask for a stop at the next safe place; safe to call from a signal handler."""
        self._abort.set()

    def check_abort(self) -> None:
        """Raise `Aborted` if a stop was asked for, or what `watch` raises; for safe places."""
        if self._abort.is_set():
            raise Aborted("The run was stopped on request.")
        if self.watch is not None:
            self.watch()

    def wait(self, seconds: float) -> None:
        """Pause, but wake up at once for an abort, and raise it."""
        self._abort.wait(seconds)
        self.check_abort()

    def note(self, message: str) -> None:
        """Tell people something, through the journal."""
        self.journal.append(Note(step=self.step, message=message))

    def progress(
        self,
        done: int,
        total: int | None,
        detail: str,
        *,
        lsn: Lsn | None = None,
        moment: datetime | None = None,
        disk_bytes: int | None = None,
        wal_bytes: int | None = None,
    ) -> None:
        """Report how far the step is; at most once a second reaches the journal."""
        now = time.monotonic()
        if now - self._last_progress < _PROGRESS_INTERVAL_SECONDS:
            return
        self._last_progress = now
        rate = self._rate(now, done)
        left = (total - done) / rate if rate and total is not None and total >= done else None
        self.journal.append(
            Progress(
                step=self.step,
                done_bytes=done,
                total_bytes=total,
                rate=None if rate is None else round(rate, 1),
                eta_seconds=None if left is None else round(left, 1),
                detail=detail,
                lsn=lsn,
                time=moment,
                disk_bytes=disk_bytes,
                wal_bytes=wal_bytes,
            )
        )

    def do(self, step: str, title: str, act: Callable[[], str]) -> None:
        """One step: announced, done, and its result recorded."""
        self.check_abort()
        self.step = step
        self._samples.clear()
        self._last_progress = 0.0
        self.journal.append(StepBegan(step=step, title=title))
        began = time.monotonic()
        result = act()
        seconds = round(time.monotonic() - began, 3)
        self.journal.append(StepEnded(step=step, seconds=seconds, result=result))

    def make_directory(self, path: str) -> None:
        """Create a directory for the server's account, or take over an empty one.

        Raises `StepFailed` if something is in it that is not this run's own.
        """
        place, state = Path(path), self.state()
        is_filled = place.exists() and not is_vacant(place)
        if path not in state.made:
            if is_filled:
                raise StepFailed(
                    f"{path} is not empty.", "Something appeared there since the plan was made."
                )
            self.journal.append(MakingDirectory(path=path))
        elif is_filled and is_foreign(state, path):
            raise StepFailed(
                f"{path} is not the directory that this run has made.",
                "Somebody has put another one in its place; nothing in it is touched.",
                next_steps=(f"move it away, then: pgrescue resume {self.directory.id}",),
            )
        self.make_parents(place)
        place.mkdir(mode=0o700, exist_ok=True)
        self.give_to_owner(place, self.plan.directory_mode)
        sync_directory(place.parent)
        status = place.stat()
        if not self.state().has_come_from(path, path):
            self.journal.append(MadeDirectory(path=path, device=status.st_dev, inode=status.st_ino))

    def make_parents(self, place: Path) -> None:
        """Create what is missing above a path, so that the server's account gets through."""
        missing = [parent for parent in place.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700)
            self.give_to_owner(parent, self.plan.directory_mode)

    def give_to_owner(self, path: Path, mode: int) -> None:
        """Set owner and permissions as PostgreSQL demands them; never through a link."""
        give(path, self.plan.owner, mode)

    def write_owned(self, path: Path, text: str, mode: int | None = None) -> None:
        """Write a small file for the server's account, whole or not at all, and sync it."""
        temporary = path.with_name(f"{path.name}.pgrescue-new")
        file_mode = mode if mode is not None else self.plan.directory_mode & 0o666
        fd = create_anew(temporary, file_mode)
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.give_to_owner(temporary, file_mode)
        temporary.rename(path)
        sync_directory(path.parent)

    def _rate(self, now: float, done: int) -> float | None:
        """Bytes a second over the last while."""
        self._samples.append((now, done))
        while now - self._samples[0][0] > _RATE_WINDOW_SECONDS:
            self._samples.popleft()
        began, before = self._samples[0]
        return (done - before) / (now - began) if now > began and done >= before else None


class BackupExecution(Execution[BackupPlan]):
    """The execution of a backup."""

    @property
    def work(self) -> BackupWork:
        """The executors' part of the plan."""
        return self.plan.work


class PruneExecution(Execution[PrunePlan]):
    """The execution of a removal."""

    @property
    def work(self) -> PruneWork:
        """The executors' part of the plan."""
        return self.plan.work


class RestoreExecution(Execution[Plan]):
    """The execution of a restore."""

    accepts_less: bool = False
    """Whether somebody has seen that recovery ended early, and goes on with what there is."""

    @property
    def work(self) -> Work:
        """The executors' part of the plan."""
        return self.plan.work


def is_foreign(state: RunState, path: str) -> bool:
    """Whether something is at a path of this run's that the run is not known to have made.

    What it has announced, but is not known to have made, it has put nothing into.
    """
    if state.is_known(path):
        return not state.has_come_from(path, path)
    place = Path(path)
    return place.is_symlink() or not place.is_dir() or not is_vacant(place)


def is_vacant(path: Path) -> bool:
    """Whether nothing is in a directory but what pgrescue or the file system keeps there."""
    return set(os.listdir(path)) <= STAYS
