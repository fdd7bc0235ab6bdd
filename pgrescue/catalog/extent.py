"""Whether a plain backup has every file that its manifest lists, as long as it lists it."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.catalog.look import printable
from pgrescue.catalog.model import Problem
from pgrescue.postgres.manifest import CHANGEABLE, NAME, Manifest

NOT_WHOLE = "not_whole"
"""Code of the problem that a copy is not whole; one that is still being made will be."""


def find_shortfall(root: Path, manifest: Manifest) -> Problem | None:
    """The first file that is missing or has another size, in a sentence; nothing is read."""
    short: list[str] = []
    for name in sorted(set(manifest.files) - CHANGEABLE):
        expected = manifest.files[name].size
        try:
            size = os.stat(root / name).st_size
        except OSError as error:
            short.append(f"{name} cannot be found ({error.strerror})")
        else:
            if size != expected:
                short.append(f"{name} has {size} bytes instead of {expected}")
    if not short:
        return None
    more = f", and {len(short) - 1} more files are not as it says" if len(short) > 1 else ""
    return Problem(NOT_WHOLE, f"By {NAME} the copy is not whole: {printable(short[0])}{more}.")
