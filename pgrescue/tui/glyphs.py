"""The signs that go with words; every set has the same meaning in every terminal."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """One set of signs, each a single cell wide."""

    ok: str
    warning: str
    bad: str
    running: str
    waiting: str
    pending: str
    full: str
    empty: str
    rule: str
    cut: str
    arrow: str
    branch: str
    last: str


UNICODE = Glyphs("✓", "!", "✗", "▶", "‖", "·", "█", "░", "─", "…", "›", "├", "└")
ASCII = Glyphs("+", "!", "x", ">", "=", ".", "#", "-", "-", "~", ">", "|", "`")

STATE_STYLES = {
    "ok": "green",
    "done": "green",
    "yes": "green",
    "running": "cyan",
    "succeeded": "green",
    "undone": "green",
    "waiting": "yellow",
    "warning": "yellow",
    "stopped": "yellow",
    "aborted": "yellow",
    "interrupted": "yellow",
    "blocker": "red",
    "failed": "red",
    "gone": "red",
    "no": "red",
}
"""Colour comes last: each of these words is always shown beside it."""


def sign(glyphs: Glyphs, word: str) -> str:
    """The sign that belongs to a word of state."""
    match word:
        case "ok" | "done" | "yes" | "succeeded" | "undone":
            return glyphs.ok
        case "warning" | "aborted" | "interrupted" | "stopped":
            return glyphs.warning
        case "blocker" | "failed" | "gone" | "no":
            return glyphs.bad
        case "running":
            return glyphs.running
        case "waiting":
            return glyphs.waiting
        case _:
            return glyphs.pending
