"""Work in threads for a screen: it may block as long as it likes, the screen never does."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

from textual import on
from textual.message import Message
from textual.screen import Screen, ScreenResultType

from pgrescue.errors import PgRescueError
from pgrescue.tui.messages import Answered

T = TypeVar("T")


class ErrandScreen(Screen[ScreenResultType]):
    """A screen that sends threads on errands and hears of their outcome as messages.

    The threads are daemons: leaving the program does not wait for a slow disk.
    """

    def __init__(self) -> None:
        super().__init__()
        self._serials: dict[str, int] = {}

    def errand(self, name: str, work: Callable[[], T], then: Callable[[T], None]) -> None:
        """Do `work` in a thread, then `then` here; a newer errand of that name replaces it."""
        serial = self._serials[name] = self._serials.get(name, 0) + 1

        def run() -> None:
            try:
                self.tell(Answered(name, serial, then, work(), None))
            except PgRescueError as error:
                self.tell(Answered(name, serial, then, None, error))
            except Exception as error:  # a defect must end up on the screen, not in a thread
                self.tell(Answered(name, serial, then, None, _unexpected(name, error)))

        threading.Thread(target=run, name=name, daemon=True).start()

    def tell(self, message: Message) -> None:
        """Post a message from a thread; after the end of the app nobody is left to hear it."""
        with contextlib.suppress(RuntimeError):
            self.post_message(message)

    def failed(self, name: str, error: PgRescueError) -> None:
        """An errand came back with an error."""
        raise NotImplementedError

    @on(Answered)
    def _hear(self, message: Answered) -> None:
        if self._serials.get(message.name) != message.serial:
            return
        if message.error is not None:
            self.failed(message.name, message.error)
        else:
            message.then(message.value)


def _unexpected(name: str, error: Exception) -> PgRescueError:
    return PgRescueError(
        f"{name} failed.",
        f"{type(error).__name__}: {error}",
        unchanged="",
        next_steps=("the same from the command line shows more: pgrescue --help",),
    )
