"""Digests of directories, for "byte for byte as it was"."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

SERVER_LEFTOVERS = ("postmaster.pid", "postmaster.opts")
"""Files that a server's start and stop change without changing the cluster."""


@dataclass(frozen=True, slots=True)
class Entry:
    """What makes one file, directory or symbolic link what it is; times do not count."""

    kind: Literal["file", "directory", "link", "other"]
    mode: int
    uid: int
    gid: int
    size: int | None = None
    """Bytes of a file."""
    sha256: str | None = None
    target: str | None = None
    """Where a link points; what lies there is not looked at."""


def file_tree(root: Path, ignore: Collection[str] = ()) -> dict[str, Entry]:
    """Every entry below `root` (itself as `.`) by relative path, without the names in `ignore`."""
    tree = {".": _entry(root)}
    for directory, names, files in os.walk(root):
        names[:] = [name for name in names if name not in ignore]
        for name in (*names, *files):
            if name not in ignore:
                path = Path(directory, name)
                tree[str(path.relative_to(root))] = _entry(path)
    return tree


def differences(before: dict[str, Entry], after: dict[str, Entry]) -> list[str]:
    """One line per entry that is missing, new or changed; empty if both trees are the same."""
    found = []
    for path in sorted(before.keys() | after.keys()):
        old, new = before.get(path), after.get(path)
        if old is None:
            found.append(f"new: {path}")
        elif new is None:
            found.append(f"missing: {path}")
        elif old != new:
            found.append(f"changed: {path}: {old} -> {new}")
    return found


def _entry(path: Path) -> Entry:
    found = path.lstat()
    mode = stat.S_IMODE(found.st_mode)
    if stat.S_ISLNK(found.st_mode):
        return Entry("link", mode, found.st_uid, found.st_gid, target=os.readlink(path))
    if stat.S_ISDIR(found.st_mode):
        return Entry("directory", mode, found.st_uid, found.st_gid)
    if not stat.S_ISREG(found.st_mode):
        return Entry("other", mode, found.st_uid, found.st_gid)
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return Entry("file", mode, found.st_uid, found.st_gid, found.st_size, digest)
