"""Cells of tables."""

from __future__ import annotations

from rich.text import Text

from pgrescue.tui.glyphs import STATE_STYLES, Glyphs, sign


def state_cell(word: str, glyphs: Glyphs) -> Text:
    """A state as sign and word, and last as colour."""
    loud = word in ("failed", "gone", "blocker")
    shown = word.upper() if loud else word
    return Text(f"{sign(glyphs, word)} {shown}", STATE_STYLES.get(word, ""))
