"""Directories and file systems as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from pgrescue.plan.facts import PathFacts
from pgrescue.plan.layout import STAYS
from pgrescue.plan.paths import is_inside

_OCTAL = re.compile(r"\\([0-7]{3})")
_LISTED = b'"Size":'
"""Once for each file of a `backup_manifest`."""


def path_facts(path: Path) -> PathFacts:
    """What is at a path, links followed; for a missing one, what can be told of the place."""
    real = Path(os.path.realpath(path))
    parent_writable = os.access(real.parent, os.W_OK | os.X_OK)
    try:
        status = real.stat()
    except OSError:
        return PathFacts(
            path=str(path),
            real_path=str(real),
            exists=False,
            is_directory=False,
            is_mount_point=False,
            is_empty=True,
            device=None,
            inode=None,
            uid=None,
            gid=None,
            mode=None,
            parent_writable=parent_writable,
        )
    return PathFacts(
        path=str(path),
        real_path=str(real),
        exists=True,
        is_directory=real.is_dir(),
        is_mount_point=is_mount_point(real),
        is_empty=_is_empty(real),
        device=status.st_dev,
        inode=status.st_ino,
        uid=status.st_uid,
        gid=status.st_gid,
        mode=status.st_mode & 0o7777,
        parent_writable=parent_writable,
    )


def mount_points() -> list[str]:
    """Where something is mounted, bind mounts too (`/proc/self/mountinfo`, proc(5))."""
    return [fields[4] for fields in _mounts()]


def mounted_from(device: int) -> str:
    """What is mounted, mostly a block device, by the `st_dev` of its files; empty if unknown."""
    number = f"{os.major(device)}:{os.minor(device)}"
    return next((fields[fields.index("-") + 2] for fields in _mounts() if fields[2] == number), "")


def _mounts() -> Iterator[list[str]]:
    try:
        text = Path("/proc/self/mountinfo").read_text(errors="surrogateescape")
    except OSError:
        return
    # At the line feed only: others may be in a name, and only that one is spelled there.
    for line in text.removesuffix("\n").split("\n"):
        yield [_OCTAL.sub(lambda code: chr(int(code[1], 8)), field) for field in line.split(" ")]


def is_mount_point(path: Path) -> bool:
    """Whether something is mounted there, be it from the same file system."""
    return os.path.ismount(path) or os.path.realpath(path) in mount_points()


def mounts_inside(path: str, *, itself: bool = False) -> list[str]:
    """Where something is mounted below a directory, or on it."""
    real = os.path.realpath(path)
    found = [mount for mount in mount_points() if is_inside(mount, real)]
    return found if itself else [mount for mount in found if mount != real]


def _is_empty(path: Path) -> bool:
    try:
        return set(os.listdir(path)) <= STAYS
    except OSError:
        return False


def existing_ancestor(path: Path) -> Path:
    """The path itself if it exists, else the nearest directory above that does."""
    place = Path(os.path.realpath(path))
    while not os.path.exists(place):  # also not if we may not look
        place = place.parent
    return place


def mount_point_of(place: Path) -> Path:
    """Where the filesystem of an existing path is mounted."""
    while not os.path.ismount(place):
        place = place.parent
    return place


def bytes_below(root: Path, leave_out: frozenset[str] = frozenset()) -> int:
    """What all files below a directory hold, links not followed, as far as they can be seen.

    `leave_out`: entries of the directory itself.
    """
    total = 0
    for where, directories, names in os.walk(root):
        if where == str(root):
            directories[:] = [name for name in directories if name not in leave_out]
        for name in names:
            with suppress(OSError):  # a running server makes and removes files
                total += os.lstat(os.path.join(where, name)).st_size
    return total


def count_files(manifest: Path) -> int | None:
    """How many files a backup's manifest lists, without reading what it says of them."""
    count, rest = 0, b""
    try:
        with manifest.open("rb") as stream:
            while part := stream.read(1 << 20):
                rest += part
                count += rest.count(_LISTED)
                rest = rest[-len(_LISTED) + 1 :]
    except OSError:
        return None
    return count
