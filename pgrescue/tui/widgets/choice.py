"""One of a few words, on one row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType

from pgrescue.tui.widgets.plain_text import PlainText


class Choice(PlainText, can_focus=True):
    """Words in a row, the chosen one in brackets; left and right change it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("left,h", "step(-1)", show=False),
        Binding("right,l,space", "step(1)", show=False),
    ]

    def __init__(self, words: Sequence[str], *, id: str, changed: Callable[[], None]) -> None:
        """`changed` is called at once: the next key may depend on what it shows or hides."""
        super().__init__(id=id)
        self._words = tuple(words)
        self._index = 0
        self._changed = changed

    @property
    def value(self) -> str:
        """The chosen word."""
        return self._words[self._index]

    @value.setter
    def value(self, word: str) -> None:
        self._index = self._words.index(word)
        self._paint()

    def on_mount(self) -> None:
        """Show the first choice."""
        self._paint()

    def action_step(self, by: int) -> None:
        """Choose the next word or the previous one."""
        self._index = (self._index + by) % len(self._words)
        self._paint()
        self._changed()

    def _paint(self) -> None:
        text = Text()
        for index, word in enumerate(self._words):
            chosen = index == self._index
            text.append(f"[{word}]" if chosen else f" {word} ", "bold" if chosen else "")
            text.append(" ")
        self.update(text)
