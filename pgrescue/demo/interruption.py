"""Turning the signals that end a program into an orderly end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interruption:
    """While entered, ctrl-c, SIGTERM and SIGHUP raise `KeyboardInterrupt` in the main thread."""

    def __init__(self) -> None:
        self._held = False
        self._pending = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Handle the signals inside the block; afterwards they do what they did before."""
        before = {number: signal.signal(number, self._arrived) for number in _ENDING}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the block come to its end first: it starts or stops what must not be half done."""
        # Somebody inside the watched block, such as an event loop, may have reset them.
        for number in _ENDING:
            signal.signal(number, self._arrived)
        outer, self._held = self._held, True
        try:
            yield
        finally:
            self._held = outer
        if self._pending and not outer:
            self._pending = False
            raise KeyboardInterrupt

    def _arrived(self, _number: int, _frame: FrameType | None) -> None:
        if not self._held:
            raise KeyboardInterrupt
        self._pending = True
