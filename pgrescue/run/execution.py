"""What an executor has at hand while it does its step: plan, journal, programs, progress."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Generic, TypeVar

from pgrescue.backup.model import BackupPlan, BackupWork
from pgrescue.errors import PgRescueError, StepFailed
from pgrescue.plan.model import Plan, Work
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.account import Account
from pgrescue.postgres.conninfo import TO_THE_SOURCE
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import start_time
from pgrescue.postgres.secrets import without_passwords
from pgrescue.postgres.service import Command
from pgrescue.retention.prune_model import PrunePlan, PruneWork
from pgrescue.run.journal import Journal, read_journal
from pgrescue.run.records import (
    CommandBegan,
    CommandEnded,
    MadeDirectory,
    MakingDirectory,
    Note,
    Progress,
    StepBegan,
    StepEnded,
)
from pgrescue.run.run_directory import RunDirectory, sync_directory
from pgrescue.run.state import RunState, fold

_RATE_WINDOW_SECONDS = 20.0
_PROGRESS_INTERVAL_SECONDS = 1.0
_END_SECONDS = 20.0
_HELD_BACK = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")
"""Becomes the program that its arguments name once it is told to; if we end before, it ends too:
no program runs that the journal does not know."""


class Aborted(PgRescueError):
    """Somebody asked the run to stop, and this is a safe place to do it."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended."""

    exit_code: int
    output: str


P = TypeVar("P", bound=SealedPlan, covariant=True)


class Running:
    """A program that was started and not waited for yet."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        execution: Execution[SealedPlan],
        line: str,
        output_at: int,
    ) -> None:
        self._process = process
        self._execution = execution
        self._line = line
        self._output_at = output_at
        self._began = time.monotonic()
        self._completed: Completed | None = None

    @property
    def pid(self) -> int:
        """The program's process; it leads a process group of its own."""
        return self._process.pid

    def end(self) -> None:
        """End the program and what it has started, and wait for it."""
        for kind in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self.pid, kind)
            try:
                self._process.wait(_END_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        self.poll()

    def said(self, position: int) -> tuple[bytes, int]:
        """What it has written since a position in tool.log (0: its beginning), and the next one."""
        with self._execution.directory.tool_log.open("rb") as log:
            log.seek(self._output_at + position)
            data = log.read()
        return data, position + len(data)

    def poll(self) -> Completed | None:
        """The result, once the program has ended; journals that end."""
        if self._completed is None and (code := self._process.poll()) is not None:
            output = self._execution.tool_output(self._output_at)
            self._completed = Completed(code, output)
            self._execution.journal.append(
                CommandEnded(
                    step=self._execution.step,
                    command=self._line,
                    pid=self._process.pid,
                    exit_code=code,
                    seconds=round(time.monotonic() - self._began, 3),
                )
            )
        return self._completed


class Execution(Generic[P]):
    """One runner's life in a run. Executors act through this, so that everything is journaled."""

    def __init__(self, plan: P, directory: RunDirectory, journal: Journal) -> None:
        self.plan = plan
        self.directory = directory
        self.journal = journal
        self.step = ""
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

    def start(self, command: Command) -> Running:
        """Start a program in a session of its own, its output in the run's tool.log."""
        line = str(command)
        with self.opened_tool_log(line) as log:
            position = os.fstat(log.fileno()).st_size
            process = self._held_back(command, log)
        assert process.stdin is not None
        with process.stdin as gate:
            self.journal.append(
                CommandBegan(
                    step=self.step,
                    command=line,
                    pid=process.pid,
                    process_start=start_time(process.pid),
                )
            )
            with suppress(BrokenPipeError):  # somebody has killed it already
                gate.write(b"\n")
        return Running(process, self, line, position)

    def _held_back(self, command: Command, log: BinaryIO) -> subprocess.Popen[bytes]:
        """The program's process before it is the program; raises `StepFailed` if there is none."""
        owner, program = self.plan.owner, command.argv[0]
        try:
            if shutil.which(program) is None:
                raise FileNotFoundError(errno.ENOENT, "there is no such program", program)
            return subprocess.Popen(
                (*_HELD_BACK, *command.argv),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                bufsize=0,
                cwd="/",
                start_new_session=True,
                env=_environment(command, owner),
                **(owner.spawn_arguments() if command.user else {}),
            )
        except OSError as error:
            raise StepFailed(f"'{program}' could not be started.", str(error)) from error

    def opened_tool_log(self, command: str) -> BinaryIO:
        """tool.log, for a program's output, that command as its headline if there is room."""
        log = self.directory.tool_log.open("ab", buffering=0)
        with suppress(OSError):  # a full disk takes us the output, not the step
            log.write(f"$ {without_passwords(command)}\n".encode(errors="surrogateescape"))
        return log

    def run(self, command: Command, timeout: float) -> Completed:
        """Run a program to its end; raises `StepFailed` if it takes longer than `timeout`."""
        running = self.start(command)
        deadline = time.monotonic() + timeout
        while (completed := running.poll()) is None:
            if time.monotonic() > deadline:
                raise StepFailed(
                    f"'{command}' did not end within {timeout:.0f} seconds.",
                    "It is still running.",
                    next_steps=(
                        f"look at it: ps -fp {running.pid}",
                        f"once it has ended: pgrescue resume {self.directory.id}",
                    ),
                )
            time.sleep(0.05)
        return completed

    def tool_output(self, position: int) -> str:
        """What programs have written since that position of tool.log, its last 4 KiB."""
        with self.directory.tool_log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(position, size - 4096))
            return log.read().decode(errors="replace").strip()

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
        elif is_filled and state.is_another(path):
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
        if (path, status.st_dev, status.st_ino) not in self.state().identities:
            self.journal.append(MadeDirectory(path=path, device=status.st_dev, inode=status.st_ino))

    def make_parents(self, place: Path) -> None:
        """Create what is missing above a path, so that the server's account gets through."""
        missing = [parent for parent in place.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir(mode=0o700)
            self.give_to_owner(parent, self.plan.directory_mode)

    def give_to_owner(self, path: Path, mode: int) -> None:
        """Set owner and permissions as PostgreSQL demands them."""
        if os.geteuid() == 0:
            os.chown(path, self.plan.owner.uid, self.plan.owner.gid, follow_symlinks=False)
        path.chmod(mode)

    def write_owned(self, path: Path, text: str, mode: int | None = None) -> None:
        """Write a small file for the server's account, whole or not at all, and sync it."""
        temporary = path.with_name(f"{path.name}.pgrescue-new")
        temporary.unlink(missing_ok=True)
        file_mode = mode if mode is not None else self.plan.directory_mode & 0o666
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, file_mode)
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

    @property
    def work(self) -> Work:
        """The executors' part of the plan."""
        return self.plan.work


def _environment(command: Command, owner: Account) -> dict[str, str]:
    """The account's, or ours; the way to a source is for pg_basebackup only: a server that is
    started would hand a password on to whatever it starts."""
    whole = owner.environment() if command.user else {**os.environ, "LC_ALL": "C.UTF-8"}
    if Path(command.argv[0]).name == "pg_basebackup":
        return whole
    return {name: value for name, value in whole.items() if name not in TO_THE_SOURCE}


def is_vacant(path: Path) -> bool:
    """Whether nothing is in a directory but what pgrescue or the file system keeps there."""
    return set(os.listdir(path)) <= {"lost+found", ".pgrescue"}
