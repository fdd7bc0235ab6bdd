"""Sizes as configuration files write them (manual section "Parameter Names and Values")."""

from __future__ import annotations

import re

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(B|kB|MB|GB|TB)?\s*")
_UNITS = {"B": 1, "kB": 1 << 10, "MB": 1 << 20, "GB": 1 << 30, "TB": 1 << 40}


def parse_size(text: str, unit: int) -> int | None:
    """A size in bytes; `unit` is what a bare number counts. None for what is no size."""
    found = _SIZE.fullmatch(text)
    if found is None:
        return None
    return int(float(found[1]) * (_UNITS[found[2]] if found[2] else unit))
