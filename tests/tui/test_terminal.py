"""On a real terminal: hanging up, stalling, ending by signal; bytes a second."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HOME = Path(__file__).parents[2]
BUDGET = 6 * 1024
"""Bytes a second that a run's screen may cost."""


@dataclass(slots=True)
class Terminal:
    """A program on a pty of 80x24, and this end of it."""

    pid: int
    fd: int
    shown: bytes = b""

    def read(self, seconds: float) -> bytes:
        """What the program writes within that time."""
        got, deadline = b"", time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self.fd], [], [], left)[0]:
                break
            try:
                chunk = os.read(self.fd, 65536)
            except OSError:
                break
            if not chunk:
                break
            got += chunk
        self.shown += got
        return got

    def wait_for(self, words: bytes) -> None:
        """Read until the program has written this."""
        deadline = time.monotonic() + 20
        while words not in self.shown:
            assert time.monotonic() < deadline, self.shown[-2000:]
            self.read(0.2)

    def exit_code(self, *, reading: bool = True) -> int:
        """How the program ends; fails if it does not within ten seconds."""
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            if reading:
                self.read(0.05)
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        pytest.fail("the program is still there")

    def hang_up(self) -> None:
        """Close this end, as a dropped line does."""
        os.close(self.fd)
        self.fd = -1


@pytest.fixture(params=[signal.SIG_DFL, signal.SIG_IGN], ids=["hup", "nohup"])
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    """The UI on a busy run, once with SIGHUP inherited as ignored."""
    pid, fd = pty.fork()
    if pid == 0:
        signal.signal(signal.SIGHUP, request.param)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.chdir(HOME)
        environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
        arguments = [sys.executable, "-m", "tests.tui.fake_terminal"]
        os.execve(sys.executable, arguments, environ)
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    terminal = Terminal(pid, fd)
    try:
        terminal.wait_for(b"tool.log")
        yield terminal
    finally:
        if terminal.pid:
            os.kill(terminal.pid, signal.SIGKILL)
            os.waitpid(terminal.pid, 0)
        with contextlib.suppress(OSError):
            os.close(terminal.fd)


def test_hang_up_ends_the_program(terminal: Terminal) -> None:
    terminal.hang_up()
    terminal.exit_code(reading=False)


def test_stall_and_then_hang_up_ends_the_program(terminal: Terminal) -> None:
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:  # nobody reads; the pty's buffer fills
        time.sleep(0.1)
    terminal.hang_up()
    terminal.exit_code(reading=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signal_ends_the_program_and_restores_the_terminal(
    terminal: Terminal, number: signal.Signals
) -> None:
    os.kill(terminal.pid, number)
    assert terminal.exit_code() == 0
    assert b"\x1b[?1049l" in terminal.shown


@pytest.mark.every_day(1)
def test_run_screen_costs_few_bytes(terminal: Terminal) -> None:
    terminal.read(2)
    seconds = 5
    assert len(terminal.read(seconds)) / seconds < BUDGET
