"""The last lines of a growing text."""

from __future__ import annotations

from textual import events

from pgrescue.tui.widgets.plain_text import PlainText


class LogTail(PlainText):
    """As many of the last lines as there is room for; painted only when they change."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._lines: tuple[str, ...] = ()

    def show(self, lines: tuple[str, ...]) -> None:
        """Show the end of these lines."""
        self._lines = lines
        self._paint()

    def on_resize(self, _event: events.Resize) -> None:
        """More room, more lines."""
        self._paint()

    def _paint(self) -> None:
        text = "\n".join(self._lines[-max(self.size.height, 1) :])
        if str(self.content) != text:
            self.update(text)
