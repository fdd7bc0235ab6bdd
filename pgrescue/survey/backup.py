"""The look at the world that fills a backup's facts; reads, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pgrescue.backup.build import USUAL_NAME, name_of
from pgrescue.backup.choices import CLIENT_LZ4_SINCE
from pgrescue.backup.facts import BackupFacts, SourceFacts
from pgrescue.backup.parent import newest_parent
from pgrescue.backup.places import partial_path, tablespace_directories, tablespace_places
from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import NEWEST, BackupRequest
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import UsageError
from pgrescue.plan.facts import UnfinishedRun
from pgrescue.postgres.account import Account, can_access, can_enter
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.survey.cluster import owner_of
from pgrescue.survey.filesystem import existing_ancestor, path_facts
from pgrescue.survey.free_space import filesystem_facts
from pgrescue.survey.host import host_facts
from pgrescue.survey.programs import client_major, compression_refusal, programs_for
from pgrescue.survey.source import look_at_source


def survey_backup(
    cluster: ClusterConfig,
    request: BackupRequest,
    backups: Sequence[Backup],
    unfinished: Sequence[UnfinishedRun],
) -> BackupFacts:
    """The facts for a backup; raises `UsageError` for choices that make no sense."""
    host = host_facts()
    owner = owner_of(cluster, path_facts(cluster.data_directory))
    source = look_at_source(cluster, owner, request.source)
    root = _root(cluster, request)
    destination = root / name_of(request.name or USUAL_NAME, host, request, cluster.name)
    programs = programs_for(source.server.major if source.server else None, cluster.bin_directory)
    control, _ = read_control_file(cluster.data_directory)
    place = path_facts(destination)
    places = (
        {} if source.server is None else tablespace_places(place.real_path, request, source.server)
    )
    directories = tablespace_directories(place.real_path, places.values())
    major = client_major(programs.bin_directory)
    return BackupFacts(
        host=host,
        owner=owner,
        source=source,
        programs=programs,
        client_major=major,
        client_problem=_client_problem(programs.bin_directory, major, request),
        root=path_facts(root),
        destination=place,
        partial=path_facts(Path(partial_path(place.real_path))),
        filesystem=filesystem_facts(root, owner),
        writable=_writable(owner, root),
        backups=tuple(backups),
        parent=_parent(backups, request, source),
        unfinished=tuple(unfinished),
        mapped={path: path_facts(Path(path)) for path in directories},
        is_catalogued=_is_catalogued(cluster, root),
        cluster_identifier=control.system_identifier if control is not None else None,
        wal_archive=str(cluster.wal_archive) if cluster.wal_archive else None,
    )


def _root(cluster: ClusterConfig, request: BackupRequest) -> Path:
    if request.destination is not None:
        return Path(os.path.abspath(request.destination))
    if cluster.backups:
        return cluster.backups[0]
    raise UsageError(
        "Where shall the backup go?",
        f"The configuration names no directory for backups of {cluster.name}.",
        next_steps=("--destination DIR", 'backups = ["DIR"] in the configuration'),
    )


def _is_catalogued(cluster: ClusterConfig, root: Path) -> bool:
    """Whether the directory is one of those, or below one, in which backups are looked for."""
    place = Path(os.path.realpath(root))
    return any(place.is_relative_to(os.path.realpath(known)) for known in cluster.backups)


def _writable(owner: Account, root: Path) -> bool | None:
    """Whether the account may make entries there; where nothing is yet, root will make it."""
    place = existing_ancestor(root)
    if place != Path(os.path.realpath(root)) and owner.must_switch:
        return can_enter(owner, place)
    return can_access(owner, place, write=True)


def _client_problem(
    bin_directory: str | None, major: int | None, request: BackupRequest
) -> str | None:
    """A plain backup is unpacked by the client, whoever has compressed it."""
    wanted = request.compression
    has_work = wanted.side == "client" or request.format == "plain"
    if bin_directory is None or major is None or major < CLIENT_LZ4_SINCE or not has_work:
        return None
    return None if wanted.method == "none" else compression_refusal(bin_directory, wanted.method)


def _parent(
    backups: Sequence[Backup], request: BackupRequest, source: SourceFacts
) -> Backup | None:
    if request.parent is None or source.server is None:
        return None
    if request.parent == NEWEST:
        return newest_parent(backups, source.server)
    return find_backup(backups, request.parent)
