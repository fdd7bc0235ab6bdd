"""Programs that a run starts: none runs that the journal does not know; what they say is kept."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pgrescue.errors import StepFailed
from pgrescue.postgres.account import Account
from pgrescue.postgres.conninfo import without_the_source
from pgrescue.postgres.postmaster import start_time
from pgrescue.postgres.secrets import without_passwords
from pgrescue.postgres.service import Command
from pgrescue.run.journal import Journal
from pgrescue.run.leftover_tools import only_asks
from pgrescue.run.records import CommandBegan, CommandEnded
from pgrescue.run.run_directory import RunDirectory

_END_SECONDS = 20.0
_HELD_BACK = ("/bin/sh", "-c", 'read -r go && exec "$@" </dev/null', "sh")
"""Becomes the program that its arguments name once it is told to; if we end before, it ends too:
no program runs that the journal does not know."""


@dataclass(frozen=True, slots=True)
class Completed:
    """A program that has ended."""

    exit_code: int
    output: str


class Running:
    """A program that was started and not waited for yet."""

    def __init__(
        self,
        process: subprocess.Popen[bytes],
        programs: Programs,
        line: str,
        output_at: int,
    ) -> None:
        self._process = process
        self._programs = programs
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
        with self._programs.tool_log.open("rb") as log:
            log.seek(self._output_at + position)
            data = log.read()
        return data, position + len(data)

    def poll(self) -> Completed | None:
        """The result, once the program has ended; journals that end."""
        if self._completed is None and (code := self._process.poll()) is not None:
            output = self._programs.output(self._output_at)
            self._completed = Completed(code, output)
            self._programs.journal.append(
                CommandEnded(
                    step=self._programs.step(),
                    command=self._line,
                    pid=self._process.pid,
                    exit_code=code,
                    seconds=round(time.monotonic() - self._began, 3),
                )
            )
        return self._completed


class Programs:
    """Starts them as the account that their command names."""

    def __init__(
        self, directory: RunDirectory, journal: Journal, owner: Account, step: Callable[[], str]
    ) -> None:
        self.tool_log = directory.tool_log
        self.journal = journal
        self.step = step
        """The step that is being done."""
        self._run = directory.id
        self._owner = owner

    def start(self, command: Command) -> Running:
        """Start a program in a session of its own, its output in the run's tool.log."""
        line = without_passwords(str(command))
        with self.opened_log(line) as log:
            position = os.fstat(log.fileno()).st_size
            process = self._held_back(command, log)
        assert process.stdin is not None
        with process.stdin as gate:
            self.journal.append(
                CommandBegan(
                    step=self.step(),
                    command=line,
                    pid=process.pid,
                    process_start=start_time(process.pid),
                    only_asks=only_asks(command.argv),
                )
            )
            with suppress(BrokenPipeError):  # somebody has killed it already
                gate.write(b"\n")
        return Running(process, self, line, position)

    def _held_back(self, command: Command, log: BinaryIO) -> subprocess.Popen[bytes]:
        """The program's process before it is the program; raises `StepFailed` if there is none."""
        owner, program = self._owner, command.argv[0]
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

    def opened_log(self, command: str) -> BinaryIO:
        """tool.log, for a program's output, that command as its headline if there is room."""
        log = self.tool_log.open("ab", buffering=0)
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
                        f"once it has ended: pgrescue resume {self._run}",
                    ),
                )
            time.sleep(0.05)
        return completed

    def output(self, position: int) -> str:
        """What programs have written since that position of tool.log, its last 4 KiB."""
        with self.tool_log.open("rb") as log:
            size = log.seek(0, os.SEEK_END)
            log.seek(max(position, size - 4096))
            return log.read().decode(errors="replace").strip()


def _environment(command: Command, owner: Account) -> dict[str, str]:
    """The account's, or ours; the way to a source is for pg_basebackup only: a server that is
    started would hand a password on to whatever it starts."""
    whole = owner.environment() if command.user else {**os.environ, "LC_ALL": "C.UTF-8"}
    if Path(command.argv[0]).name == "pg_basebackup":
        return whole
    return without_the_source(whole)
