"""What every screen has: where one is on top, the way through below it, the keys at the bottom."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.keys import footer_text
from pgrescue.tui.view import Place
from pgrescue.tui.widgets.plain_text import PlainText
from pgrescue.tui.words import shorten_path

STAGES = ("cluster", "backup", "target", "plan", "run", "report")
"""The way of a restore."""
BACKUP_STAGES = ("cluster", "choices", "plan", "run", "report")
"""The way of a backup that is taken."""


def status_text(place: Place, width: int, cut: str) -> str:
    """Operator and host first, so that the wrong terminal is noticed; the path gives way."""
    left = [f"{place.operator}@{place.host}", place.cluster]
    right = [f"server {place.server.upper()}"] if place.cluster else []
    right += [place.run] if place.run else []
    others = "  ".join(part for part in (*left, *right) if part)
    room = width - len(others) - 4
    path = shorten_path(place.data_directory, room, cut) if room > 8 else ""
    return " " + "  ".join(part for part in (*left, path, *right) if part)


def crumb_text(stage: str | None, title: str, arrow: str, stages: Sequence[str] = STAGES) -> str:
    """The way through, with the number of the stage one is at."""
    if stage is None:
        return f" {title}"
    number = stages.index(stage) + 1
    names = (f"[{number}/{len(stages)} {s}]" if s == stage else s for s in stages)
    return " " + f" {arrow} ".join(names)


class StatusLine(PlainText):
    """The first row, in reverse video."""

    def __init__(self) -> None:
        super().__init__(id="status")
        self._place: Place | None = None
        self._cut = ""

    def show(self, place: Place, glyphs: Glyphs) -> None:
        """Show another place."""
        self._place, self._cut = place, glyphs.cut
        self._paint()

    def on_resize(self, _event: events.Resize) -> None:
        """A wider row shows more of the path."""
        self._paint()

    def _paint(self) -> None:
        if self._place is not None:
            width = self.size.width or 80
            self.update(status_text(self._place, width, self._cut).ljust(width))


class KeyBar(PlainText):
    """The last row: the keys that matter here."""

    def __init__(self, kind: str) -> None:
        super().__init__(id="keys")
        self._kind = kind

    def on_resize(self, event: events.Resize) -> None:
        """Fewer keys where there is less room."""
        self.update(" " + footer_text(self._kind, event.size.width - 2))
