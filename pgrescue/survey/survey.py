"""Gather every fact that a restore's plan is made from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.chain_list import chain_of
from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.catalog.relation_names import read_names
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.state import names_cache_directory, state_directory
from pgrescue.errors import PgRescueError, Refused
from pgrescue.history.foretell import WayToGo, foretell
from pgrescue.history.namebook import NameBook
from pgrescue.history.wal_tail import look_into_tail
from pgrescue.history.way import segment_refs
from pgrescue.plan.choose import choose_backups, choose_timeline
from pgrescue.plan.facts import (
    ArchiveFacts,
    ClusterFacts,
    Facts,
    HostFacts,
    UnfinishedRun,
    WalReach,
)
from pgrescue.plan.foretold import Foretold
from pgrescue.plan.layout import (
    INSIDE,
    moves_of,
    staging_directory,
    tablespace_destinations,
    tag_of,
)
from pgrescue.plan.model import WalTail
from pgrescue.plan.request import RestoreRequest
from pgrescue.postgres.account import Account, can_access
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
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
from pgrescue.survey.wal_tail import RescuedWal, Tail, TailOnTheWay, look_at_tail, tail_on_the_way
from pgrescue.wal.archive import WalArchive
from pgrescue.wal.index import Progress, WalIndex
from pgrescue.wal.recovery_path import RecoveryPath
from pgrescue.wal.segment import HISTORY_NAME


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
    way: _Way | None = None
    is_known = archive is not None and archive_facts.restore_command is None
    search = _Search(request, sources, index, progress, archive_facts.restore_command)
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
    from_earlier_runs = _rescued_files(
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
        wal_tail=_wal_tail(way, index),
        takes_own_wal=rescues,
        rescued=tuple(map(str, from_earlier_runs)),
        doubted_wal=way.doubted,
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


@dataclass(frozen=True, slots=True)
class _Way:
    """From one backup to the target, as far as it could be looked at beforehand."""

    backup: Backup
    reach: WalReach
    foretold: Foretold | None
    tail: TailOnTheWay
    found: Tail
    doubted: tuple[str, ...]
    """Segments of it of which the archive's copies are damaged, although the server has archived
    them."""

    @property
    def wants_earlier_backup(self) -> bool:
        """Whether the target is not on the way, but may be on that from an earlier backup."""
        unreachable = self.foretold.unreachable if self.foretold else None
        return unreachable is not None and unreachable.try_earlier_backup


@dataclass(frozen=True, slots=True)
class _Search:
    """For the way to a target, with all that is the same from every backup."""

    request: RestoreRequest
    places: tuple[Path, ...]
    """Where there may be WAL that the archive lacks."""
    index: WalIndex
    progress: Progress | None
    command: str | None

    def way(self, at_hand: WalAtHand, timeline: int) -> _Way:
        """The way from one backup, around what is damaged in the archive and whole elsewhere."""
        doubted: set[str] = set()
        while True:
            identifier = at_hand.backup.system_identifier
            tail = look_at_tail(self.places, at_hand.archive, identifier, doubted)
            with_tail = replace(at_hand, tail=tail.files)
            path = with_tail.path(timeline)
            foretold = self._foretold(with_tail, timeline, path)
            ends_in = foretold.end_segment if foretold and foretold.end_reason else ""
            if ends_in in doubted or not any((place / ends_in).is_file() for place in self.places):
                return _Way(
                    at_hand.backup,
                    with_tail.reach(timeline, path),
                    foretold,
                    tail_on_the_way(with_tail, path),
                    tail,
                    tuple(sorted(doubted & set(tail.files))),
                )
            doubted.add(ends_in)

    def _foretold(self, at_hand: WalAtHand, timeline: int, path: RecoveryPath) -> Foretold | None:
        backup = at_hand.backup
        if backup.start_lsn is None or not path.steps:
            return None
        way = WayToGo(
            refs=segment_refs(path.steps, at_hand.segment_size),
            start=backup.start_lsn,
            stop=_consistent_from(backup),
            timeline=timeline,
            forks=at_hand.forks(timeline),
            clone=self.request.into is not None,
            more_elsewhere=self.command is not None,
        )
        names = partial(_names, at_hand.full)
        return foretell(self.index, way, self.request.target, names, self.progress)


def _wal_tail(way: _Way, index: WalIndex) -> WalTail | None:
    """What only the old cluster's `pg_wal` has of the way to the target."""
    names = way.tail.names
    if not names:
        return None
    boundary = way.foretold.stop.replayed_to if way.foretold else None
    return look_into_tail(index, names, way.tail.refs, way.tail.before, boundary)


def _rescued_files(
    way: _Way,
    of_earlier_runs: Sequence[Path],
    archive: WalArchive | None,
    archived: Mapping[int, TimelineHistory],
    *,
    needs_history: bool,
) -> Iterator[Path]:
    """What recovery gets from earlier runs: segments on its way, and where it forks.

    Also those that the old `pg_wal` has as well: a server that runs removes some when it is
    stopped. Where the archive cannot be listed, all: nobody can tell which it has.
    """
    there = look_at_tail(of_earlier_runs, archive, way.backup.system_identifier).files
    wanted = there if archive is None else way.tail.names
    segments = [there[name] for name in wanted if name in there]
    yield from segments
    if segments or needs_history:
        for place in of_earlier_runs:
            for path in sorted(place.glob("*.history")):
                if HISTORY_NAME.fullmatch(path.name) and int(path.name[:8], 16) not in archived:
                    yield path


def _bytes_now(cluster: ClusterFacts) -> dict[int, int]:
    found = {t.oid: bytes_below(Path(t.version_directory.real_path)) for t in cluster.tablespaces}
    data = Path(cluster.directory.real_path)
    return {**found, 0: bytes_below(data, frozenset({"pg_wal", INSIDE}))}


def _consistent_from(backup: Backup) -> Lsn | None:
    """Where the backup itself says that it ends; one from a standby has no record of its end."""
    details = backup.details
    if backup.stop_lsn is not None or details is None or not details.from_standby:
        return backup.stop_lsn
    return details.control.min_recovery_lsn if details.control else backup.start_lsn


def _names(backup: Backup) -> NameBook:
    """What the backup's catalogs call things; without them, OIDs have to do."""
    try:
        return NameBook(read_names(backup, names_cache_directory()))
    except PgRescueError:
        return NameBook(None)


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
