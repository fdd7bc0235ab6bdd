"""A small process that tidies the terminal up after a UI that was killed and could not.

Whoever is killed by SIGKILL leaves the terminal raw and on its alternate screen, and not every
shell puts that right. The guardian only waits for the UI's end.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

_TIDY = (
    b"\x1b[?1049l"  # the shell's own screen
    b"\x1b[?25h\x1b[?7h"  # a cursor, and long lines wrap
    b"\x1b[?2004l\x1b[?1004l\x1b[?2048l"  # no marks around what is pasted, of focus and of size
    b"\x1b[?1000l\x1b[?1003l\x1b[?1015l\x1b[?1006l"  # no mouse
    b"\x1b[<u"  # keys as they were
    b"\x1b[0m\r\n"
)
_WELL = b"."


@contextmanager
def guarded(terminal: int = 0) -> Iterator[None]:
    """While the block runs, a killed UI does not leave its terminal unusable."""
    before = termios.tcgetattr(terminal)
    sys.stdout.flush()
    sys.stderr.flush()
    heard, said = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(said)
            _wait_and_tidy(heard, terminal, before)
        finally:
            os._exit(0)
    os.close(heard)
    try:
        yield
    finally:
        # After an error in the UI Textual has put everything back, too.
        with suppress(BrokenPipeError):  # somebody has ended the guardian
            os.write(said, _WELL)
        os.close(said)
        os.waitpid(pid, 0)


def _wait_and_tidy(heard: int, terminal: int, before: list[Any]) -> None:
    # A group of its own: neither ctrl-c nor a kill of the UI's whole group is meant for it.
    os.setpgid(0, 0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGTTOU, signal.SIGTSTP):
        signal.signal(number, signal.SIG_IGN)
    if os.read(heard, 1) == _WELL:
        return
    with suppress(OSError, termios.error):  # the terminal may have gone, too
        # Opened anew, since a line that stalls must not hold up whoever tidies it.
        screen = os.open(os.ttyname(terminal), os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        now = termios.tcgetattr(screen)
        if not now[3] & termios.ISIG:  # a shell that is back already has its own mode
            termios.tcsetattr(screen, termios.TCSANOW, before)
        os.write(screen, _TIDY)
