"""Which theme a terminal can show."""

from __future__ import annotations

from typing import Literal

from textual.theme import Theme

ColorSystem = Literal["standard", "256", "truecolor", "windows"]

PGRESCUE = Theme(
    name="pgrescue",
    primary="#5f87af",
    secondary="#5fafaf",
    warning="#d7af5f",
    error="#d75f5f",
    success="#87af5f",
    accent="#87afd7",
    foreground="#d0d0d0",
    background="#121212",
    surface="#1c1c1c",
    panel="#262626",
    dark=True,
)
"""Colours of the 256-colour cube, so that they look alike with and without true colour."""


def theme_for(color_system: str | None, *, no_color: bool) -> str:
    """The terminal's own colours where it has only 16 or wants none; else ours.

    On 16 colours a theme of RGB values would lose the difference of red and green.
    """
    if no_color or color_system in (None, "standard"):
        return "ansi-dark"
    return PGRESCUE.name
