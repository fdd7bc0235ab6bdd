"""Directories that running servers keep files in."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from pgrescue.plan.paths import is_inside
from pgrescue.postgres.postmaster import served_directories
from pgrescue.survey.cluster import outside_of


def server_within(paths: Sequence[str]) -> str | None:
    """The data directory of a running server that has it, a tablespace or its WAL in one of these.

    A copy of a plain backup has links to the backup's own tablespaces.
    """
    real = [os.path.realpath(path) for path in paths]
    for data in served_directories():
        if any(is_inside(place, path) for place in _places(data) for path in real):
            return data
    return None


def _places(data_directory: str) -> Iterator[str]:
    yield os.path.realpath(data_directory)
    yield from outside_of(Path(data_directory))
