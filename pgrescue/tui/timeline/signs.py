"""What each cell of the map can be, in two alphabets, and the legend that explains them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pgrescue.tui.glyphs import ASCII, Glyphs


@dataclass(frozen=True, slots=True)
class Signs:
    """One alphabet; every sign is a single cell wide."""

    levels: str
    """Density of commits, from few to many."""
    none: str
    unread: str
    unreachable: str
    missing: str
    fork: str
    down: str
    corner: str
    cursor: str
    before: str
    after: str
    damaged: str = "?"
    incident: str = "!"
    backup: str = "B"
    unusable: str = "b"
    point: str = "P"
    current: str = "*"


UNICODE_SIGNS = Signs("▁▂▃▄▅▆▇█", "·", "─", "┄", "×", "┬", "│", "└", "▼", "‹", "›")
ASCII_SIGNS = Signs("123456789", "_", "-", ".", "x", "+", "|", "\\", "v", "<", ">")

STYLES = {
    "level": "green",
    "none": "green",
    "missing": "bold red",
    "damaged": "bold red",
    "incident": "bold red",
    "backup": "bold cyan",
    "unusable": "cyan",
    "point": "bold yellow",
    "fork": "bold",
    "corner": "bold",
    "cursor": "bold",
    "current": "bold",
}
"""Colour comes last: every sign is one of its own."""

_WORDS = (
    ("level", "commits"),
    ("none", "no commit"),
    ("unread", "not read yet"),
    ("unreachable", "no backup reaches"),
    ("missing", "missing"),
    ("damaged", "damaged"),
    ("incident", "data destroyed"),
    ("backup", "backup"),
    ("unusable", "unusable backup"),
    ("point", "restore point"),
    ("fork", "fork"),
    ("current", "the cluster's timeline"),
    ("before", "more before"),
    ("after", "more after"),
    ("cursor", "cursor"),
)

LEGEND = tuple(name for name, _ in _WORDS)
"""Every sign there is."""


def signs_for(glyphs: Glyphs) -> Signs:
    """The alphabet that goes with the app's own signs."""
    return ASCII_SIGNS if glyphs is ASCII else UNICODE_SIGNS


def legend(signs: Signs, used: Iterable[str], peak: int, width: int) -> list[str]:
    """What the signs that are on the map mean, in rows; `peak` is what the highest level is."""
    wanted = set(used)
    entries = [_entry(signs, name, words, peak) for name, words in _WORDS if name in wanted]
    rows: list[str] = []
    for entry in entries:
        if rows and len(rows[-1]) + 2 + len(entry) <= width:
            rows[-1] += "  " + entry
        else:
            rows.append(entry)
    return rows


def _entry(signs: Signs, name: str, words: str, peak: int) -> str:
    if name == "level":
        lowest, highest = signs.levels[0], signs.levels[-1]
        most = f" ({highest} = {peak:,} a column)" if peak else ""
        return f"{lowest}-{highest} {words}{most}"
    if name == "fork":
        return f"{signs.fork}{signs.corner} {words}"
    return f"{getattr(signs, name)} {words}"
