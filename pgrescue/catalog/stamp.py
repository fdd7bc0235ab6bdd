"""What tells that a backup on disk has changed since it was last looked at."""

from __future__ import annotations

from pathlib import Path

from pgrescue.catalog.layout import Layout
from pgrescue.catalog.look import is_kept
from pgrescue.catalog.plain_look import TABLESPACE_LINKS, tablespace_links
from pgrescue.postgres import manifest
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE

Stamp = tuple[tuple[str, int, int], ...]
"""Name, size in bytes and modification time in nanoseconds of the files that count."""


def stamp_of(layout: Layout) -> Stamp:
    """The stamp of a backup as it is on disk now."""
    stamp = []
    for path in _counting_paths(layout):
        try:
            found = path.stat()
        except OSError:
            continue  # what is not there is not in the stamp, and so makes a difference too
        stamp.append((str(path.relative_to(layout.path)), found.st_size, found.st_mtime_ns))
    return tuple(stamp)


def _counting_paths(layout: Layout) -> list[Path]:
    names = [*layout.archives, manifest.NAME, manifest.UNFINISHED_NAME]
    if layout.kind == "plain":
        names += [CONTROL_FILE, "pg_wal", "conf.d", TABLESPACE_LINKS, "base", "global"]
        names += [f"base/{database.name}" for database in (layout.path / "base").glob("*")]
        names += [name for name in layout.files if is_kept(name)]
        names += [f"{TABLESPACE_LINKS}/{oid}" for oid in tablespace_links(layout.path)]
    return [layout.path / name for name in sorted(set(names))]
