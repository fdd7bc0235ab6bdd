"""A terminal line of one's own, and the ways in which lines are lost."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PATIENCE = 60.0
_MODE = re.compile(rb"\x1b\[\?(\d+)([hl])")
_ESCAPE = re.compile(r"\x1b\[[0-9;?<>=!$]*[@-~]|\x1b[()][0-9A-B]|\x1b[=>]")
TIDY = frozenset({7, 25})
"""The private modes of a terminal that nobody has changed: long lines wrap, the cursor is shown."""


class Line:
    """A terminal of 80x24 with a program on it. It outlives the program, as it does in a shell."""

    def __init__(self, argv: Sequence[str], environment: Mapping[str, str], where: Path) -> None:
        """Start the program as leader of a session whose terminal this is."""
        self._master, self._slave = pty.openpty()
        fcntl.ioctl(self._slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.settings_before = termios.tcgetattr(self._slave)
        self.raw = b""
        self.process = subprocess.Popen(
            argv,
            stdin=self._slave,
            stdout=self._slave,
            stderr=self._slave,
            cwd=where,
            env=dict(environment),
            start_new_session=True,
            preexec_fn=_take_terminal,
        )

    @property
    def shown(self) -> str:
        """What was written so far, without what only moves the cursor or paints."""
        return _ESCAPE.sub("", self.raw.decode(errors="replace"))

    @property
    def settings(self) -> object:
        """The terminal's settings (termios(3)) now."""
        return termios.tcgetattr(self._slave)

    @property
    def modes(self) -> set[int]:
        """The private modes that are on, such as 1049, the alternate screen, and 25, a cursor."""
        on = set(TIDY)
        for number, switch in _MODE.findall(self.raw):
            (on.add if switch == b"h" else on.discard)(int(number))
        return on

    def read(self, seconds: float) -> None:
        """Take what is written within that time."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if not select.select([self._master], [], [], left)[0]:
                return
            try:
                self.raw += os.read(self._master, 65536)
            except OSError:  # nobody has the other side open any more
                return

    def expect(self, text: str) -> None:
        """Read until `text` has been shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            if time.monotonic() > deadline:
                raise AssertionError(f"'{text}' never appeared in:\n{self.shown[-3000:]}")
            self.read(0.2)

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def hang_up(self) -> None:
        """Close the terminal, as a dropped line or an ended terminal emulator does."""
        for fd in (self._slave, self._master):
            os.close(fd)
        self._master = self._slave = -1

    def end(self, *, reading: bool = True) -> int:
        """Wait for the program's end; its exit code."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None and time.monotonic() < deadline:
            if reading and self._master >= 0:
                self.read(0.05)
            else:
                time.sleep(0.05)
        code = self.process.wait(1)
        if self._master >= 0:
            self.read(0.3)
        return code

    def close(self) -> None:
        """Leave nothing behind, however the test went."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._master >= 0:
            self.hang_up()


def cpu_seconds(pids: Sequence[int]) -> float:
    """Processor time that these processes have used so far; those that have ended count nothing."""
    total = 0
    for pid in pids:
        with suppress(OSError):
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
    return total / os.sysconf("SC_CLK_TCK")


def _take_terminal() -> None:
    """Make standard input the controlling terminal of the new session."""
    # A suite that runs in the background may have been told to ignore these.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
