"""Where everything goes: the old cluster's data, the new data, the WAL staging directory."""

from __future__ import annotations

from datetime import datetime
from pathlib import PurePath

from pgrescue.catalog.model import Backup
from pgrescue.errors import UsageError
from pgrescue.plan.facts import ClusterFacts, Facts, PathFacts
from pgrescue.plan.model import BackupPart, Move, OldLink, TablespaceWork
from pgrescue.plan.paths import is_inside
from pgrescue.plan.request import RestoreRequest
from pgrescue.postgres.data_directory import LOST_AND_FOUND

INSIDE = ".pgrescue"
"""Where things are set aside when the data directory itself cannot be renamed."""
STAYS = frozenset({INSIDE, LOST_AND_FOUND})
"""What is neither moved nor emptied with a directory, and makes none non-empty."""


def tag_of(moment: datetime) -> str:
    """The part of set-aside names that tells one restore from another."""
    return f"pgrescue-{moment:%Y%m%dT%H%M%S}Z"


def stays_in_place(directory: PathFacts) -> bool:
    """Whether a data directory cannot be renamed: a mount point, or a parent we cannot write."""
    return directory.exists and (directory.is_mount_point or not directory.parent_writable)


def mode_of(directory: PathFacts) -> int:
    """The new data directory's permissions: group access stays where it is on."""
    return 0o750 if directory.mode is not None and directory.mode & 0o777 == 0o750 else 0o700


def staging_directory(destination: PathFacts, tag: str) -> str:
    """The directory for WAL and fetch-wal, on the data directory's filesystem.

    Beside it; inside where the data directory itself stays.
    """
    if stays_in_place(destination):
        return f"{destination.real_path}/{INSIDE}/{tag}/wal"
    return f"{destination.real_path}.{tag}-wal"


def moves_of(cluster: ClusterFacts, tag: str) -> tuple[Move, ...]:
    """What is renamed out of the way: data directory, linked pg_wal, tablespace directories."""
    moves: list[Move] = []
    directory = cluster.directory
    if directory.exists and not directory.is_empty:
        inside = stays_in_place(directory)
        aside = f"{directory.real_path}/{INSIDE}/{tag}/old" if inside else None
        moves.append(Move(directory.real_path, aside or f"{directory.real_path}.{tag}", inside))
    wal = cluster.wal_directory
    if wal is not None and wal.exists:
        inside = wal.is_mount_point or not wal.parent_writable
        aside = f"{wal.real_path}/{INSIDE}/{tag}/old" if inside else f"{wal.real_path}.{tag}"
        moves.append(Move(wal.real_path, aside, inside))
    for tablespace in cluster.tablespaces:
        version = tablespace.version_directory
        # One that lies in the data directory goes along with that.
        if version.exists and not is_inside(version.real_path, directory.real_path):
            moves.append(Move(version.real_path, f"{version.real_path}.{tag}", False))
    return tuple(moves)


def old_links_of(cluster: ClusterFacts) -> tuple[OldLink, ...]:
    """The links of the data directory to what `moves_of` sets aside with it."""
    links = [
        OldLink(f"pg_tblspc/{item.oid}", item.link_text, item.version_directory.real_path)
        for item in cluster.tablespaces
    ]
    if cluster.wal_directory is not None and cluster.wal_link_text is not None:
        links.insert(0, OldLink("pg_wal", cluster.wal_link_text, cluster.wal_directory.real_path))
    return tuple(links)


def retired_name(tag: str, path: str, *, contents_only: bool) -> str:
    """Where an undo puts what was restored at a path, or the entries of one that stays."""
    return f"{path}/{INSIDE}/{tag}/undone" if contents_only else f"{path}.{tag}-undone"


def chain_parts(facts: Facts, destinations: dict[int, str]) -> tuple[BackupPart, ...]:
    """The backups to read, the full one first."""
    return tuple(_part(backup, destinations) for backup in facts.chain)


def _part(backup: Backup, destinations: dict[int, str]) -> BackupPart:
    details = backup.details
    assert details is not None
    assert backup.format is not None
    return BackupPart(
        id=backup.id,
        path=backup.path,
        format=backup.format,
        base_archive=details.base_archive,
        wal_archive=details.wal_archive,
        wal_inside=details.wal_inside,
        has_manifest=backup.has_manifest,
        tablespaces=tuple(
            TablespaceWork(oid, archive, destinations.get(oid, ""))
            for oid, archive in sorted(details.tablespace_archives.items())
        ),
    )


def tablespace_destinations(
    request: RestoreRequest, backup: Backup, cluster: ClusterFacts
) -> dict[int, str]:
    """Where each tablespace goes: as mapped, beside a clone, or where it was.

    A plain backup only knows where its own copies lie; where they belong, the cluster tells.

    Raises `UsageError` for a mapping of something that is no tablespace of the backup.
    """
    destinations: dict[int, str] = {}
    own = {item.oid: item.path for item in cluster.tablespaces} if backup.format == "plain" else {}
    unused = dict(request.tablespaces)
    for tablespace in backup.tablespaces:
        mapped = unused.pop(tablespace.path, None) or unused.pop(str(tablespace.oid), None)
        if mapped is not None:
            if not PurePath(mapped).is_absolute():
                raise UsageError(f"'{mapped}' is not an absolute path.", "--tablespace OLD=NEW")
            destinations[tablespace.oid] = mapped
        elif request.into is not None:
            destinations[tablespace.oid] = f"{request.into}.tablespaces/{tablespace.oid}"
        else:
            destinations[tablespace.oid] = own.get(tablespace.oid, tablespace.path)
    if unused:
        known = ", ".join(f"{item.path} ({item.oid})" for item in backup.tablespaces) or "none"
        raise UsageError(
            f"The backup has no tablespace at {', '.join(unused)}.", f"It has: {known}."
        )
    return destinations
