"""One key of the registry."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Key:
    """One action on some screens: its keys, its words, and whether the footer shows it."""

    action: str
    keys: str
    shown: str
    label: str
    help: str
    screens: tuple[str, ...]
    footer: bool = True
    palette: bool = True
