"""Small file systems that can be filled to the last byte."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_processes_with

_FILLER = "filler"
_KILOBYTE = 1024


@contextmanager
def small_file_system(place: Path, size: str) -> Iterator[Path]:
    """A tmpfs of that size, private to us; the test is skipped where nothing can be mounted."""
    place.mkdir(mode=0o700)
    options = f"size={size},mode=0700"
    command = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    if os.geteuid() != 0 or subprocess.run(command, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        stop_processes_with("PGRESCUE_STATE", str(place))
        subprocess.run(("umount", str(place)), check=True)


def fill(place: Path) -> None:
    """Leave no byte free on the file system that holds a directory."""
    place = _root_of(place)
    with (place / _FILLER).open("ab", buffering=0) as file:
        for size in (1024 * _KILOBYTE, 4 * _KILOBYTE, 1):
            while _writes(file, size):
                continue


def _writes(file: FileIO, size: int) -> bool:
    try:
        file.write(b"\0" * size)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True


def make_room(place: Path) -> None:
    """Take away what `fill` has put there."""
    (_root_of(place) / _FILLER).unlink()


def _root_of(place: Path) -> Path:
    while not place.is_mount():
        place = place.parent
    return place
