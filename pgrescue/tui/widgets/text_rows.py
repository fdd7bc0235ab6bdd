"""Rows that are painted again only where they differ: a moved cursor costs a few bytes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text
from textual import events
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from pgrescue.tui.widgets.plain_text import spelled_row


class TextRows(Widget):
    """Text, row by row; never read as markup, never wrapped."""

    def __init__(self, *, id: str) -> None:
        super().__init__(id=id)
        self._rows: tuple[Text, ...] = ()

    @property
    def text(self) -> str:
        """What is shown."""
        return "\n".join(row.plain for row in self._rows)

    def show(self, rows: Sequence[Text]) -> None:
        """Show other rows."""
        before, self._rows = self._rows, tuple(map(spelled_row, rows))
        for y in range(max(len(before), len(self._rows))):
            old = before[y] if y < len(before) else Text()
            new = self._rows[y] if y < len(self._rows) else Text()
            first, last = _difference(_cells(old), _cells(new))
            if first < last:
                self.refresh(Region(first, y, last - first, 1))

    def on_resize(self, _event: events.Resize) -> None:
        """Everything is painted again by Textual; nothing of what was there can be relied on."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """One row."""
        if y >= len(self._rows):
            return Strip.blank(self.size.width, self.rich_style)
        segments = self._rows[y].render(self.app.console)
        strip = Strip(segments).apply_style(self.rich_style)
        return strip.adjust_cell_length(self.size.width, self.rich_style)


def wrapped(width: int, *paragraphs: str) -> list[Text]:
    """Words in rows of that many cells."""
    console = Console(width=max(width, 1), color_system=None)
    return [row for words in paragraphs for row in Text(words).wrap(console, console.width)]


def _cells(row: Text) -> list[tuple[str, str]]:
    styles = [""] * len(row.plain)
    for span in row.spans:
        styles[span.start : span.end] = [str(span.style)] * (span.end - span.start)
    cells: list[tuple[str, str]] = []
    for sign, style in zip(row.plain, styles, strict=True):
        # A wide letter takes two cells; one without a width belongs to the letter before it.
        width = cell_len(sign)
        if width == 0 and cells:
            cells[-1] = cells[-1][0] + sign, cells[-1][1]
        cells += [(sign, style)] * width
    return cells


def _difference(old: list[tuple[str, str]], new: list[tuple[str, str]]) -> tuple[int, int]:
    """The first cell that differs, and the one after the last."""
    width = max(len(old), len(new))
    blank = (" ", "")
    old, new = (row + [blank] * (width - len(row)) for row in (old, new))
    different = [at for at in range(width) if old[at] != new[at]]
    return (different[0], different[-1] + 1) if different else (0, 0)
