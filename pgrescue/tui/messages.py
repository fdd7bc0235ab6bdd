"""What threads tell screens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.message import Message

from pgrescue.errors import PgRescueError
from pgrescue.tui.view import RunView


class Answered(Message, bubble=False):
    """An errand came back with a value, or with an error."""

    def __init__(
        self,
        name: str,
        serial: int,
        then: Callable[[Any], None],
        value: object,
        error: PgRescueError | None,
    ) -> None:
        super().__init__()
        self.name = name
        self.serial = serial
        self.then = then
        self.value = value
        self.error = error


class RunChanged(Message, bubble=False):
    """A newer snapshot of the watched run; it makes one still waiting in the queue obsolete."""

    def __init__(self, view: RunView) -> None:
        super().__init__()
        self.view = view

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, RunChanged)


class SearchProgressed(Message, bubble=False):
    """How far a search through the WAL has come."""

    def __init__(self, done: int, total: int) -> None:
        super().__init__()
        self.done = done
        self.total = total

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, SearchProgressed)


class ReadingProgressed(Message, bubble=False):
    """How far the reading of a backup has come."""

    def __init__(self, done: int, name: str) -> None:
        super().__init__()
        self.done = done
        self.name = name

    def can_replace(self, message: Message) -> bool:
        """Only the newest matters."""
        return isinstance(message, ReadingProgressed)
