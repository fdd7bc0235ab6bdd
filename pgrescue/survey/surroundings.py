"""The look at what else is on the machine around the places that a run moves or fills."""

from __future__ import annotations

import os
import pwd
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.config.debian import debian_clusters
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.state import state_directory
from pgrescue.plan.layout import INSIDE
from pgrescue.plan.surroundings import Neighbour, Surroundings
from pgrescue.postgres.postmaster import served_directories
from pgrescue.survey.cluster import outside_of
from pgrescue.survey.filesystem import mounts_inside

_DEPTH = 4
"""How far below a data directory others are looked for."""
_ITS_OWN = frozenset(
    {
        *("base", "global", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_multixact"),
        *("pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp"),
        *("pg_subtrans", "pg_tblspc", "pg_twophase", "pg_wal", "pg_xact", "pgsql_tmp", INSIDE),
    }
)
"""What PostgreSQL makes in a data directory (`initdb.c`), and pgrescue for what it sets aside."""
_OF_A_BACKUP = re.compile(r"backup_manifest|backup_label|base\.tar(?:\.\w+)?")
_WAL = re.compile(r"[0-9A-F]{24}(?:\.(?:gz|bz2|lz4|xz|zst|partial))?")


def surroundings(
    own: str,
    moved: Sequence[str],
    filled: Sequence[str],
    known: Sequence[str],
    backups: Mapping[str, str] | None = None,
    kept: Mapping[str, str] | None = None,
) -> Surroundings:
    """What is around a run's places.

    `own` is the data directory that the run is about, `moved` what it would set aside, `filled`
    where it would write, `known` further data directories, `backups` and `kept` what must stay.
    """
    going = [os.path.realpath(path) for path in moved]
    places = [*going, *(os.path.realpath(path) for path in filled)]
    return Surroundings(
        homes=_homes(),
        neighbours=tuple(_neighbours(os.path.realpath(own), going, places, known)),
        known=tuple(known),
        backups=dict(backups or {}),
        kept={**_kept_below(going), **(kept or {})},
        mounts=tuple(sorted({mount for path in going for mount in mounts_inside(path)})),
    )


def known_directories(config: Config) -> tuple[str, ...]:
    """The data directories that this configuration or Debian's names, running or not."""
    named = [cluster.data_directory for cluster in config.clusters.values()]
    named += [cluster.data_directory for cluster in debian_clusters()]
    return tuple(dict.fromkeys(os.path.realpath(path) for path in named))


def kept_backups(cluster: ClusterConfig, backups: Sequence[Backup]) -> dict[str, str]:
    """The directories of every backup, those of a plain one's tablespaces too."""
    kept: dict[str, str] = {}
    own = os.path.realpath(cluster.data_directory)
    for backup in backups:
        copies = backup.details.tablespace_archives.values() if backup.details else ()
        # Of a tar backup they are files in its directory.
        paths = (backup.path, *(copy for copy in copies if os.path.isabs(copy)))
        for path in map(os.path.realpath, paths):
            # Among the backups a data directory is listed as one that cannot be used.
            if backup.usable or path != own:
                kept[path] = f"Backup {backup.id}"
    return kept


def kept_places(config: Config, cluster: ClusterConfig) -> dict[str, str]:
    """Every archive that the configuration knows, other clusters' backups, pgrescue's own state."""
    kept: dict[str, str] = {}
    for other in config.clusters.values():
        of = "" if other.name == cluster.name else f" of the cluster {other.name}"
        if other.wal_archive is not None:
            kept[os.path.realpath(other.wal_archive)] = f"The WAL archive{of}"
        if other.name != cluster.name:
            roots = {os.path.realpath(root): f"Backups{of}" for root in other.backups}
            kept |= {path: words for path, words in roots.items() if _holds_something(path)}
    kept[os.path.realpath(state_directory())] = "What pgrescue knows of its runs"
    return kept


def _holds_something(path: str) -> bool:
    try:
        return bool(os.listdir(path))
    except OSError:
        return False


def _homes() -> dict[str, str]:
    """Of every account; and of whoever is at the keyboard, whom the list need not know."""
    homes = {entry.pw_dir: entry.pw_name for entry in pwd.getpwall()}
    homes.setdefault(os.path.expanduser("~"), "whoever runs this")
    if behind := os.environ.get("SUDO_USER"):
        homes.setdefault(os.path.expanduser(f"~{behind}"), behind)
    return {
        os.path.realpath(path): name
        for path, name in homes.items()
        if os.path.isabs(path) and os.path.isdir(path) and os.path.realpath(path) != "/"
    }


def _neighbours(
    own: str, going: Sequence[str], places: Sequence[str], known: Sequence[str]
) -> Iterator[Neighbour]:
    served = {os.path.realpath(path) for path in served_directories()}
    found = set(served)
    found |= {os.path.realpath(path) for path in known if _is_data_directory(Path(path))}
    for place in places:
        found |= {str(path) for path in Path(place).parents if _is_data_directory(path)}
    for place in going:
        found |= {str(path) for path in _below(Path(place), _DEPTH) if _is_data_directory(path)}
    for directory in sorted(found - {own}):
        yield Neighbour(directory, directory in served, outside_of(Path(directory)))


def _kept_below(going: Sequence[str]) -> dict[str, str]:
    """Backups and archived WAL that no configuration names, inside of what is to be moved."""
    kept: dict[str, str] = {}
    for place in going:
        for path in _below(Path(place), _DEPTH):
            try:
                names = os.listdir(path)
            except OSError:
                continue
            if any(map(_OF_A_BACKUP.fullmatch, names)):
                kept[str(path)] = "What looks like a backup"
            elif any(map(_WAL.fullmatch, names)):
                kept[str(path)] = "What looks like archived WAL"
    return kept


def _is_data_directory(path: Path) -> bool:
    """Also one that has lost its `pg_control`; a database's directory has no `global`."""
    return os.path.isfile(path / "PG_VERSION") and os.path.isdir(path / "global")


def _below(directory: Path, depth: int) -> Iterator[Path]:
    """Directories inside, but where PostgreSQL keeps its own files and nobody others."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.isdigit() or entry.name in _ITS_OWN:
            continue
        if not entry.is_dir(follow_symlinks=False):
            continue
        path = directory / entry.name
        yield path
        if depth and not _is_data_directory(path):
            yield from _below(path, depth - 1)
