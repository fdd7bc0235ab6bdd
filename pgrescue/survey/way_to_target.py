"""The way from a backup to the target, over all the WAL that recovery can be given."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.catalog.relation_names import read_names
from pgrescue.config.state import names_cache_directory
from pgrescue.errors import PgRescueError
from pgrescue.history.foretell import WayToGo, foretell
from pgrescue.history.namebook import NameBook
from pgrescue.history.wal_tail import look_into_tail
from pgrescue.history.way import segment_refs
from pgrescue.plan.facts import WalReach
from pgrescue.plan.foretold import Foretold
from pgrescue.plan.model import WalTail
from pgrescue.plan.request import RestoreRequest
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.survey.archive import WalAtHand
from pgrescue.survey.wal_tail import Tail, TailOnTheWay, look_at_tail, tail_on_the_way
from pgrescue.wal.archive import WalArchive
from pgrescue.wal.index import Progress, WalIndex
from pgrescue.wal.recovery_path import RecoveryPath
from pgrescue.wal.segment import HISTORY_NAME


@dataclass(frozen=True, slots=True)
class Way:
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
class WaySearch:
    """For the way to a target, with all that is the same from every backup."""

    request: RestoreRequest
    places: tuple[Path, ...]
    """Where there may be WAL that the archive lacks."""
    index: WalIndex
    progress: Progress | None
    command: str | None

    def way(self, at_hand: WalAtHand, timeline: int) -> Way:
        """The way from one backup, around what is damaged in the archive and whole elsewhere."""
        doubted: set[str] = set()
        while True:
            identifier = at_hand.backup.system_identifier
            tail = look_at_tail(self.places, at_hand.archive, identifier, doubted)
            with_tail = replace(at_hand, tail=tail.files)
            path = with_tail.path(timeline)
            foretold = self._foretold(with_tail, timeline, path)
            ends_in = foretold.end_segment if foretold and foretold.end_reason else ""
            if ends_in in doubted or not self._may_be_better(at_hand.archive, ends_in):
                return Way(
                    at_hand.backup,
                    with_tail.reach(timeline, path),
                    foretold,
                    tail_on_the_way(with_tail, path),
                    tail,
                    tuple(sorted(doubted & set(tail.files))),
                )
            doubted.add(ends_in)

    def _may_be_better(self, archive: WalArchive | None, name: str) -> bool:
        """Whether there is a copy of an archived segment elsewhere."""
        is_archived = archive is not None and name in archive.segments
        return is_archived and any(os.path.isfile(place / name) for place in self.places)

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


def wal_tail_on(way: Way, index: WalIndex) -> WalTail | None:
    """What only the old cluster's `pg_wal` has of the way to the target."""
    names = way.tail.names
    if not names:
        return None
    boundary = way.foretold.stop.replayed_to if way.foretold else None
    return look_into_tail(index, names, way.tail.refs, way.tail.before, boundary)


def rescued_files(
    way: Way,
    of_earlier_runs: Sequence[Path],
    archive: WalArchive | None,
    archived: Mapping[int, TimelineHistory],
    *,
    needs_history: bool,
) -> Iterator[Path]:
    """What recovery gets from earlier runs: segments on its way, and where it forks.

    Not those that the old `pg_wal` has as far or further: of these the cluster may have gone on
    with. Where the archive cannot be listed, all: nobody can tell which it has.
    """
    if archive is None:
        there = look_at_tail(of_earlier_runs, None, way.backup.system_identifier).files
        segments = list(there.values())
    else:
        chosen = (way.found.files[name] for name in way.tail.names)
        segments = [path for path in chosen if path.parent in of_earlier_runs]
    yield from segments
    if segments or needs_history:
        for place in of_earlier_runs:
            for path in sorted(place.glob("*.history")):
                if HISTORY_NAME.fullmatch(path.name) and int(path.name[:8], 16) not in archived:
                    yield path


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
