"""A terminal of one's own: type into it, read from it, hang up."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time

from tests.support.cluster import Workspace
from tests.support.command import command_environment

PATIENCE = 60.0


class Terminal:
    """pgrescue as the leader of a session whose terminal this is."""

    def __init__(self, workspace: Workspace, *args: str) -> None:
        """Start `pgrescue -c CONFIG ARGS` in a new terminal."""
        self._master, slave = pty.openpty()
        self.shown = ""
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-m", "pgrescue", "-c", str(workspace.config), *args),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=workspace.path,
                env=command_environment(workspace.state, {"TERM": "xterm"}),
                start_new_session=True,
                preexec_fn=_take_terminal,
            )
        finally:
            os.close(slave)

    def expect(self, text: str) -> None:
        """Read until `text` has been shown."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            if not self._read(deadline):
                raise AssertionError(f"'{text}' never appeared in:\n{self.shown}")

    def type(self, text: str) -> None:
        """Type something; `\\x03` is ctrl-c."""
        os.write(self._master, text.encode())

    def hang_up(self) -> int:
        """Close the terminal as a lost connection does; the exit code of what ran in it."""
        os.close(self._master)
        self._master = -1
        return self._process.wait(PATIENCE)

    def wait(self) -> int:
        """Read to the end; the exit code."""
        deadline = time.monotonic() + PATIENCE
        while self._read(deadline):
            continue
        return self._process.wait(PATIENCE)

    def close(self) -> None:
        """Leave nothing behind, however the test went."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        if self._master >= 0:
            os.close(self._master)

    def _read(self, deadline: float) -> bool:
        """Take what is there; False at the end of it, or of our patience."""
        left = deadline - time.monotonic()
        if left <= 0 or not select.select([self._master], [], [], left)[0]:
            return False
        try:
            data = os.read(self._master, 65536)
        except OSError:  # how Linux tells that nobody has the other side open any more
            return False
        self.shown += data.decode(errors="replace")
        return bool(data)


def _take_terminal() -> None:
    """Make standard input the controlling terminal of the new session."""
    # A suite that runs in the background may have been told to ignore these.
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
