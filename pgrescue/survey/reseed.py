"""The look at the world that fills a re-seed's facts; reads, changes nothing."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pgrescue.backup.facts import SourceFacts
from pgrescue.catalog.model import Backup
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.plan.facts import ClusterFacts, FilesystemFacts, UnfinishedRun
from pgrescue.plan.layout import moves_of, tag_of
from pgrescue.reseed.model import ReseedFacts, ReseedRequest, place_of
from pgrescue.survey.cluster import cluster_facts
from pgrescue.survey.free_space import filesystem_facts
from pgrescue.survey.host import host_facts
from pgrescue.survey.own_configuration import own_configuration
from pgrescue.survey.programs import client_major, programs_for
from pgrescue.survey.source import look_at_source, started_at
from pgrescue.survey.surroundings import (
    kept_backups,
    kept_places,
    known_directories,
    surroundings,
)


def survey_reseed(
    config: Config,
    cluster: ClusterConfig,
    request: ReseedRequest,
    backups: Sequence[Backup],
    unfinished: Sequence[UnfinishedRun],
) -> ReseedFacts:
    """The facts for a re-seed; raises `UsageError` for a source that is no connection string."""
    found = cluster_facts(cluster)
    source = look_at_source(cluster, found.owner, request.source)
    programs = programs_for(source.server.major if source.server else None, cluster.bin_directory)
    directory = Path(found.directory.real_path)
    host = host_facts()
    server = source.server
    filled = [place_of(item, request, found) for item in server.tablespaces] if server else []
    return ReseedFacts(
        host=host,
        cluster=found,
        source=source,
        programs=programs,
        client_major=client_major(programs.bin_directory),
        filesystem=filesystem_facts(directory, found.owner),
        filesystems=_filesystems(found, source, request),
        own=own_configuration(directory, found.config_directory),
        unfinished=tuple(unfinished),
        is_itself=_is_itself(cluster, found, source),
        has_configuration=(directory / "postgresql.conf").is_file(),
        surroundings=surroundings(
            str(directory),
            [move.path for move in moves_of(found, tag_of(host.now))],
            [str(directory), *filled],
            known_directories(config),
            kept_backups(cluster, backups),
            kept_places(config, cluster),
        ),
        filled=tuple(map(os.path.realpath, filled)),
        in_places=_in_places(found, source, request),
    )


def _in_places(
    cluster: ClusterFacts, source: SourceFacts, request: ReseedRequest
) -> tuple[str, ...]:
    if source.server is None:
        return ()
    start = f"PG_{source.server.major}_"
    found = []
    for tablespace in source.server.tablespaces:
        place = Path(place_of(tablespace, request, cluster))
        if place.is_dir():
            found += [os.path.realpath(path) for path in place.glob(f"{start}*[0-9]")]
    return tuple(found)


def _filesystems(
    cluster: ClusterFacts, source: SourceFacts, request: ReseedRequest
) -> dict[str, FilesystemFacts]:
    tablespaces = source.server.tablespaces if source.server is not None else ()
    places = [place_of(item, request, cluster) for item in tablespaces]
    if cluster.wal_directory is not None:
        places.append(cluster.wal_directory.real_path)
    return {place: filesystem_facts(Path(place), cluster.owner) for place in places}


def _is_itself(config: ClusterConfig, cluster: ClusterFacts, source: SourceFacts) -> bool:
    """Whether the source is the server on the very directory, by whatever name it was reached.

    Of two servers only one was started at that microsecond. Where the own one does not say when,
    the directory decides, as far as the address is this machine's.
    """
    server, own = source.server, cluster.postmaster
    if server is None or own is None:
        return False
    started = started_at(own, cluster.owner, config.conninfo)
    if started is not None and server.started_at is not None:
        return started == server.started_at
    place = os.path.realpath(server.settings.get("data_directory", ""))
    return source.is_local and place == cluster.directory.real_path
