"""Ending with the terminal: no process stays behind, no run is harmed.

Textual handles neither SIGHUP nor SIGTERM, and an event loop that is blocked on a stalled line
would never notice. The UI owns nothing, so it may be ended at any moment.
"""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

_SIGNALS = (signal.SIGTERM, signal.SIGHUP)
_GRACE_SECONDS = 1.5
_WATCH_SECONDS = 1.0


class Lifeline:
    """Leaves the app on SIGTERM, SIGHUP, or when the terminal is gone without a signal."""

    def __init__(self, leave: Callable[[], None], terminal: int = 0) -> None:
        """`leave` runs in the event loop; `terminal` is the descriptor that must stay a tty."""
        self._leave = leave
        self._terminal = terminal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._before: dict[int, Any] = {}
        self._over = threading.Event()
        self._leaving = False

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Say which loop to leave; called once it runs."""
        self._loop = loop

    @contextmanager
    def held(self) -> Iterator[None]:
        """Watch inside the block; afterwards the signals do what they did before."""
        # Also undoes an inherited "ignore", as of nohup, under which the loop would spin for ever.
        self._before = {number: signal.signal(number, self._arrived) for number in _SIGNALS}
        threading.Thread(target=self._watch, name="lifeline", daemon=True).start()
        try:
            yield
        finally:
            self._over.set()
            for number, handler in self._before.items():
                signal.signal(number, handler)

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        """Runs in the main thread, even while that is blocked writing to a stalled terminal."""
        if not self._leaving:
            self._leaving = True
            threading.Thread(target=self._insist, args=(number,), daemon=True).start()
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._leave)
            return
        before = self._before[number]
        if callable(before):  # somebody around us, such as the demo, has to clean up
            before(number, frame)
        else:
            os._exit(128 + number)

    def _insist(self, number: int) -> None:
        """A loop that did not end by itself is ended from outside."""
        if self._over.wait(_GRACE_SECONDS):
            return
        os.kill(os.getpid(), number)
        if not self._over.wait(4 * _GRACE_SECONDS):
            os._exit(128 + number)

    def _watch(self) -> None:
        while not self._over.wait(_WATCH_SECONDS):
            if not os.isatty(self._terminal):
                os.kill(os.getpid(), signal.SIGHUP)
                return
