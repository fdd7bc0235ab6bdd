"""What lies in what; pure, so of paths with their links resolved."""

from __future__ import annotations

from pathlib import PurePath


def is_inside(path: str, directory: str) -> bool:
    """Whether `path` is `directory` or lies below it (both resolved already)."""
    return PurePath(path).is_relative_to(PurePath(directory))
