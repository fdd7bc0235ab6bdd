"""Gather every fact that a restore's plan is made from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.chain_list import chain_of
from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.state import state_directory
from pgrescue.errors import Refused
from pgrescue.plan.choose import choose_backups, choose_timeline
from pgrescue.plan.facts import (
    ArchiveFacts,
    ClusterFacts,
    Facts,
    HostFacts,
    UnfinishedRun,
)
from pgrescue.plan.layout import (
    INSIDE,
    moves_of,
    staging_directory,
    tablespace_destinations,
    tag_of,
)
from pgrescue.plan.request import RestoreRequest
from pgrescue.postgres.account import Account, can_access
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.survey.archive import (
    WalAtHand,
    look_at_archive,
    with_own_histories,
)
from pgrescue.survey.cluster import cluster_facts
from pgrescue.survey.command_trial import trial_of
from pgrescue.survey.filesystem import bytes_below, count_files, path_facts
from pgrescue.survey.free_space import filesystem_facts
from pgrescue.survey.host import host_facts
from pgrescue.survey.programs import programs_for
from pgrescue.survey.surroundings import (
    kept_backups,
    kept_places,
    known_directories,
    surroundings,
)
from pgrescue.survey.wal_tail import RescuedWal
from pgrescue.survey.way_to_target import Way, WaySearch, rescued_files, wal_tail_on
from pgrescue.wal.index import Progress, WalIndex


def survey(
    config: Config,
    cluster: ClusterConfig,
    request: RestoreRequest,
    backups: Sequence[Backup],
    unfinished: Sequence[UnfinishedRun],
    rescued: Sequence[RescuedWal],
    index: WalIndex,
    progress: Progress | None = None,
) -> Facts:
    """The facts for a restore; `progress` is told of the WAL segments that are read.

    `rescued`: where earlier runs keep WAL that they have rescued from this cluster.

    Raises `Refused` or `UsageError` if no backup can be chosen or we may not act for the owner.
    """
    host = host_facts()
    found = cluster_facts(cluster)
    _refuse_strangers(host, found)
    archive_facts, archive = look_at_archive(cluster, found.owner)
    pg_wal = Path(found.directory.real_path, "pg_wal")
    # That of a server that runs is not at rest; what it has not archived yet is not lost either.
    rescues = request.into is None or _lies_dead(found, archive_facts)
    identifier = archive_facts.system_identifier or found.identifier or _newest_identifier(backups)
    of_earlier_runs = [item.path for item in rescued if item.system_identifier == identifier]
    # What was rescued stays where it is; of its own WAL a server that runs may remove some.
    sources = (*of_earlier_runs, *((pg_wal,) if rescues else ()))
    archived_histories = archive_facts.histories
    archive_facts = with_own_histories(archive_facts, sources)
    histories = archive_facts.histories
    control = found.control if request.into is None else None
    way: Way | None = None
    is_known = archive is not None and archive_facts.restore_command is None
    search = WaySearch(request, sources, index, progress, archive_facts.restore_command)
    for candidate in _candidates(backups, request, control, histories, wal_is_known=is_known):
        backup = _whole(candidate)
        timeline = choose_timeline(request.target, backup, control, histories)
        full = chain_of(backup, backups)[0]
        at_hand = WalAtHand(backup, full, archive, histories, {}, pg_wal)
        tried = search.way(at_hand, timeline)
        way = way or tried
        if not tried.wants_earlier_backup:
            way = tried
            break
    assert way is not None
    backup = way.backup
    with_status = found.control and found.control.system_identifier == backup.system_identifier
    chain = tuple(
        replace(item, path=os.path.realpath(item.path)) for item in chain_of(backup, backups)
    )
    destination = path_facts(Path(request.into) if request.into else cluster.data_directory)
    places = tablespace_destinations(request, backup, found)
    tag = tag_of(host.now)
    moves = moves_of(found, tag) if request.into is None else ()
    needs_history = way.reach.timeline not in archived_histories and way.reach.timeline in histories
    from_earlier_runs = rescued_files(
        way, of_earlier_runs, archive, archived_histories, needs_history=needs_history
    )
    facts = Facts(
        host=host,
        cluster=found,
        destination=destination,
        backup=backup,
        chain=chain,
        archive=archive_facts,
        reach=way.reach,
        foretold=way.foretold,
        programs=programs_for(backup.major, cluster.bin_directory),
        filesystems={},
        tablespace_destinations={oid: path_facts(Path(path)) for oid, path in places.items()},
        unfinished=tuple(unfinished),
        surroundings=surroundings(
            destination.real_path,
            [move.path for move in moves],
            [destination.real_path, *places.values()],
            known_directories(config),
            kept_backups(cluster, backups),
            kept_places(config, cluster),
        ),
        unreadable=_unreadable(chain, found.owner),
        wal_tail=wal_tail_on(way, index),
        takes_own_wal=rescues,
        rescued=tuple(map(str, from_earlier_runs)),
        doubted_wal=way.doubted,
        removable_wal=(
            tuple(name for name in way.tail.names if (pg_wal / name).is_file())
            if rescues and found.postmaster
            else ()
        ),
        history_to_rescue=needs_history,
        unreadable_wal={item.path: item.reason for item in way.found.unreadable},
        trial=trial_of(cluster, found.owner, backup, pg_wal if with_status else None),
        files_to_restore=count_files(Path(backup.path, MANIFEST)),
        bytes_now=_bytes_now(found) if with_status else {},
        state_directory=str(state_directory()),
    )
    staging = staging_directory(facts.destination, tag)
    paths = [destination.real_path, staging, *places.values()]
    if found.wal_directory is not None and request.into is None:
        paths.append(found.wal_directory.real_path)
    filesystems = {path: filesystem_facts(Path(path), found.owner) for path in paths}
    filesystems[facts.state_directory] = filesystem_facts(Path(facts.state_directory), None)
    return replace(facts, filesystems=filesystems)


def _newest_identifier(backups: Sequence[Backup]) -> str | None:
    known = (item.system_identifier for item in reversed(backups) if item.system_identifier)
    return next(known, None)


def _lies_dead(cluster: ClusterFacts, archive: ArchiveFacts) -> bool:
    """Whether a clone can take WAL from the cluster's own `pg_wal`, which is the archive's too."""
    known = (None, cluster.identifier)
    is_its_archive = archive.system_identifier in known
    return cluster.postmaster is None and cluster.identifier is not None and is_its_archive


def _refuse_strangers(host: HostFacts, cluster: ClusterFacts) -> None:
    """To whom neither the cluster nor its backups can be read, everything would look missing."""
    owner = cluster.owner
    if host.is_root or host.account.uid == owner.uid:
        return
    raise Refused(
        f"The cluster belongs to {owner.name}; {host.account.name} cannot act for it.",
        f"Its data directory is {cluster.directory.path}.",
        next_steps=(
            f"run pgrescue as root or as {owner.name}, or set sudo = true for this cluster",
        ),
    )


def _bytes_now(cluster: ClusterFacts) -> dict[int, int]:
    found = {t.oid: bytes_below(Path(t.version_directory.real_path)) for t in cluster.tablespaces}
    data = Path(cluster.directory.real_path)
    return {**found, 0: bytes_below(data, frozenset({"pg_wal", INSIDE}))}


def _candidates(
    backups: Sequence[Backup],
    request: RestoreRequest,
    control: ControlFile | None,
    histories: dict[int, TimelineHistory],
    *,
    wal_is_known: bool,
) -> list[Backup]:
    """The backups to try, one after the other, until the target is on the way from one."""
    if request.backup != "auto":
        return [find_backup(backups, request.backup)]
    return choose_backups(backups, request.target, control, histories, wal_is_known=wal_is_known)


def _whole(chosen: Backup) -> Backup:
    """A backup read to its end, so that its control file is known."""
    if chosen.details is None:
        reasons = "; ".join(problem.message for problem in chosen.problems)
        raise Refused(
            f"{chosen.id} is no backup that could be restored.",
            reasons or chosen.path,
            next_steps=("pgrescue catalog",),
        )
    if chosen.details.read_whole:
        return chosen
    whole = read_backup(Path(chosen.path), whole=True)
    # What depends on other backups and on the archive is known to the catalog alone.
    known = {problem.code for problem in whole.problems}
    others = tuple(problem for problem in chosen.problems if problem.code not in known)
    return replace(
        whole,
        problems=(*whole.problems, *others),
        usable=whole.usable and chosen.usable,
        parent=chosen.parent,
        stopped_at=chosen.stopped_at,
        stop_lsn=whole.stop_lsn or chosen.stop_lsn,
        window=chosen.window,
    )


def _unreadable(chain: Sequence[Backup], owner: Account) -> tuple[str, ...]:
    """pg_combinebackup reads the plain members of a chain where they lie, as the owner."""
    if len(chain) == 1:
        return ()
    plain = [item.path for item in chain if item.format == "plain"]
    return tuple(path for path in plain if can_access(owner, f"{path}/PG_VERSION") is False)
