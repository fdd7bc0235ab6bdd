"""The look at the world that fills the facts of retention; reads, changes nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import PgRescueError
from pgrescue.history.model import RecoverableWindow
from pgrescue.history.windows import WindowReader
from pgrescue.plan.facts import UnfinishedRun
from pgrescue.plan.paths import is_inside
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.data_directory import LOST_AND_FOUND, read_control_file
from pgrescue.postgres.history_file import TimelineHistory, parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.retention.counted import counted_backups
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.prune_facts import BackupPlace, PruneFacts
from pgrescue.survey.cluster import owner_of, tablespaces_of
from pgrescue.survey.filesystem import is_mount_point, path_facts
from pgrescue.survey.host import host_facts
from pgrescue.survey.served import server_within
from pgrescue.wal.archive import ArchivedFile, WalArchive
from pgrescue.wal.headers import identify_archive
from pgrescue.wal.index import WalIndex
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, HISTORY_NAME

_PARTIAL = re.compile(r"\..+\.partial")
"""A backup while it is taken and verified."""


@dataclass(frozen=True, slots=True)
class Others:
    """What does not belong to the catalog and may yet need the archive's WAL."""

    roots: tuple[str, ...] = ()
    """Directories for backups of other clusters of the configuration that share the archive."""
    backups: tuple[Backup, ...] = ()
    """Backups in those, in places that were named for a single one, and set aside by removals."""
    runs: tuple[str, ...] = ()
    """Runs, in words, that take a backup or have left one half-done."""


def survey_retention(
    cluster: ClusterConfig,
    zone: str | None,
    backups: Sequence[Backup],
    archive: WalArchive | None,
    index: WalIndex,
    others: Others,
) -> RetentionFacts:
    """The facts for advice, from the catalog and the archive as they were listed."""
    identity = identify_archive(archive) if archive is not None else None
    data = Path(os.path.realpath(cluster.data_directory))
    control, _ = read_control_file(data)
    roots = (*cluster.backups, *map(Path, others.roots))
    unlisted = cluster.wal_archive is not None and archive is None
    facts = RetentionFacts(
        now=datetime.now(UTC),
        zone=zone,
        system_identifier=control.system_identifier if control else None,
        current_timeline=control.current_timeline if control else None,
        backups=tuple(backups),
        windows=(),
        archive=archive,
        archive_identifier=identity.system_identifier if identity else None,
        archive_problem=f"{cluster.wal_archive} cannot be listed" if unlisted else None,
        segment_size=identity.segment_size if identity else _segment_size(backups),
        empty_roots=tuple(str(root) for root in roots if _is_empty(root)),
        immovable=dict(_immovable(cluster, backups, others.backups)),
        current_lsn=_surely_reached(control) if control else None,
        own_histories=_own_histories(data),
        elsewhere=others.backups,
        unfinished_backups=(*others.runs, *_partial_backups(roots, others.runs)),
    )
    return replace(facts, windows=tuple(_windows(facts, index)))


def survey_prune(
    cluster: ClusterConfig,
    retention: RetentionFacts,
    removed: Sequence[Backup],
    wal: Sequence[ArchivedFile],
    *,
    used_by: Mapping[str, tuple[UnfinishedRun, ...]],
    unfinished: Sequence[UnfinishedRun],
    elsewhere: Sequence[str],
) -> PruneFacts:
    """The facts for a removal of these backups and this WAL."""
    roots = tuple(os.path.realpath(root) for root in cluster.backups)
    directories = {str(file.path.parent) for file in wal}
    return PruneFacts(
        host=host_facts(),
        owner=owner_of(cluster, path_facts(cluster.data_directory)),
        # As configured: a backup's id tells by which way it was found.
        roots=tuple(os.path.abspath(root) for root in cluster.backups),
        retention=retention,
        places={backup.id: _place(cluster, roots, retention, backup) for backup in removed},
        writable={path: os.access(path, os.W_OK | os.X_OK) for path in directories},
        used_by=used_by,
        unfinished=tuple(unfinished),
        elsewhere=tuple(elsewhere),
    )


def _surely_reached(control: ControlFile) -> Lsn:
    """Every backup of this server starts at a checkpoint that is in its control file at once."""
    return max(control.redo_lsn, control.min_recovery_lsn)


def _own_histories(data: Path) -> dict[int, TimelineHistory]:
    """History files in `pg_wal`; those that cannot be read tell nothing."""
    found: dict[int, TimelineHistory] = {}
    try:
        names = os.listdir(data / "pg_wal")
    except OSError:
        return found
    for path in (data / "pg_wal" / name for name in names):
        if HISTORY_NAME.fullmatch(path.name):
            timeline = int(path.name[:8], 16)
            try:
                found[timeline] = parse_history_file(timeline, path.read_text(errors="replace"))
            except (OSError, PgRescueError):
                continue
    return found


def _partial_backups(roots: Sequence[Path], runs: Sequence[str]) -> Iterator[str]:
    """Hidden directories of backups that another machine's pgrescue, or a lost run, has begun."""
    for root in roots:
        try:
            names = sorted(filter(_PARTIAL.fullmatch, os.listdir(root)))
        except OSError:
            continue  # counts as empty
        for name in names:
            if not any(f"{root}/{name}" in run for run in runs):
                yield f"{root}/{name} may be a backup that is being taken"


def _segment_size(backups: Sequence[Backup]) -> int:
    sizes = (backup.details.wal_segment_size for backup in backups if backup.details)
    return next((size for size in sizes if size), DEFAULT_SEGMENT_SIZE)


def _is_empty(root: Path) -> bool:
    try:
        return set(os.listdir(root)) <= {LOST_AND_FOUND}
    except OSError:
        return True  # one that cannot be listed may hold backups just as well


def _windows(facts: RetentionFacts, index: WalIndex) -> Iterator[RecoverableWindow]:
    """By names, along every timeline; without an archive each backup leads to its own end."""
    counted = counted_backups(facts)
    if facts.archive is not None:
        reader = WindowReader(facts.archive, index, facts.segment_size)
        yield from reader.windows(counted, checked=False)
        return
    for backup in counted:
        window = backup.window
        if window is not None:
            yield RecoverableWindow(
                backup=backup.id,
                timeline=window.timeline,
                from_lsn=window.from_lsn,
                from_time=window.from_time,
                to_lsn=window.to_lsn,
                to_time=window.to_time,
                ends="end_of_archive",
                reason="there is no WAL archive",
                checked=False,
            )


def _immovable(
    cluster: ClusterConfig, backups: Sequence[Backup], elsewhere: Sequence[Backup]
) -> Iterator[tuple[str, str]]:
    """Backups that no rename may take away, with the reason in words."""
    roots = {os.path.realpath(root) for root in cluster.backups}
    treasures = {"the data directory": cluster.data_directory, "the WAL archive": None}
    treasures["the WAL archive"] = cluster.wal_archive
    all_places = [
        (os.path.realpath(other.path), what, place)
        for other in (*backups, *elsewhere)
        for what, place in _places_of(other)
    ]
    for backup in backups:
        name, path = backup.id, os.path.realpath(backup.path)
        inside = [w for owner, w, place in all_places if owner != path and is_inside(place, path)]
        mounted = [copy for copy in _tablespace_copies(backup) if is_mount_point(Path(copy))]
        held = [
            what
            for what, place in treasures.items()
            if place is not None and is_inside(os.path.realpath(place), path)
        ]
        if path in roots:
            yield name, "it is itself one of the configured directories for backups"
        elif is_mount_point(Path(path)):
            yield name, "it is a mount point"
        elif inside or held:
            yield name, f"{(*inside, *held)[0]} lies inside it"
        elif mounted:
            yield name, f"{mounted[0]}, where a tablespace of it is, is a mount point"


def _places_of(backup: Backup) -> Iterator[tuple[str, str]]:
    """What there is of a backup, in words, and where."""
    yield backup.id, os.path.realpath(backup.path)
    for copy in _tablespace_copies(backup):
        yield f"a tablespace of {backup.id}", copy


def _place(
    cluster: ClusterConfig, roots: Sequence[str], retention: RetentionFacts, backup: Backup
) -> BackupPlace:
    path = os.path.realpath(backup.path)
    parent = os.path.dirname(path)
    movable = os.access(parent, os.W_OK | os.X_OK) and os.access(path, os.W_OK)
    copies = _tablespace_copies(backup)
    others = [
        place
        for other in (*retention.backups, *retention.elsewhere)
        if os.path.realpath(other.path) != path
        for _, place in _places_of(other)
    ]
    data = Path(os.path.realpath(cluster.data_directory))
    live = [os.path.realpath(space.path) for space in tablespaces_of(data)]
    own = [
        copy
        for copy in copies
        if any(is_inside(copy, root) and copy != root for root in roots)
        and not any(is_inside(place, copy) for place in (*others, *live, str(data)))
    ]
    return BackupPlace(
        real_path=path,
        movable=movable and all(os.access(copy, os.W_OK) for copy in own),
        tablespaces=_with_their_parent(own, roots),
        left=tuple(copy for copy in copies if copy not in own),
        served=server_within((path, *own)),
    )


def _tablespace_copies(backup: Backup) -> list[str]:
    """Directories that a plain backup's links lead to, outside of the backup itself."""
    if backup.format != "plain" or backup.details is None:
        return []
    path = os.path.realpath(backup.path)
    found = (os.path.realpath(copy) for copy in backup.details.tablespace_archives.values())
    return [copy for copy in found if os.path.isdir(copy) and not is_inside(copy, path)]


def _with_their_parent(copies: Sequence[str], roots: Sequence[str]) -> tuple[str, ...]:
    """The directory around them instead, where it holds nothing else, as `NAME.tablespaces`."""
    parents = {os.path.dirname(copy) for copy in copies}
    for parent in parents:
        names = {os.path.join(parent, name) for name in os.listdir(parent)}
        if len(parents) == 1 and names == set(copies) and parent not in roots:
            return (parent,)
    return tuple(sorted(copies))
