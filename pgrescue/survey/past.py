"""The past of a configured cluster, from its archive and its backups: map, incidents, cursor."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import Refused
from pgrescue.history.cursor import Cursor
from pgrescue.history.ends import last_commit
from pgrescue.history.glance import commits_of, glance_at
from pgrescue.history.incidents import Thresholds
from pgrescue.history.lines import Lines, locate
from pgrescue.history.model import (
    BeyondArchive,
    CursorView,
    Incident,
    SegmentGlance,
    TimelinePicture,
)
from pgrescue.history.picture import picture_of
from pgrescue.history.search import IncidentSearch, IncidentSearcher
from pgrescue.history.stop_point import transaction_of
from pgrescue.history.way import ref_of
from pgrescue.history.windows import WindowReader
from pgrescue.plan.choose import is_on_branch
from pgrescue.plan.model import Transaction
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.survey.wal_tail import RescuedWal, look_at_tail
from pgrescue.wal.archive import (
    ArchivedFile,
    ArchiveProblem,
    WalArchive,
    history_of,
    scan_archive,
)
from pgrescue.wal.headers import check_headers, identify_archive
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE
from pgrescue.wal.transactions import microseconds_of

Where = Lsn | datetime


def open_archive(cluster: ClusterConfig) -> WalArchive:
    """List the configured archive; raises `Refused` where there is none."""
    if cluster.wal_archive is None:
        raise Refused(
            "There is no WAL archive to read.",
            f"The configuration names no wal_archive for the cluster {cluster.name}.",
            next_steps=('wal_archive = "DIR" in the configuration',),
        )
    path = Path(os.path.realpath(cluster.wal_archive))
    try:
        return scan_archive(path)
    except OSError as error:
        raise Refused(
            f"The WAL archive {path} cannot be read.",
            error.strerror or str(error),
            next_steps=("pgrescue doctor",),
        ) from error


class Past:
    """One archive, scanned once; what is asked of it is read when it is asked."""

    def __init__(
        self,
        cluster: ClusterConfig,
        archive: WalArchive,
        backups: Sequence[Backup],
        index: WalIndex,
        names_cache: Path | None,
        rescued: Sequence[RescuedWal] = (),
    ) -> None:
        self.archive = archive
        self._cluster, self._backups, self._index = cluster, backups, index
        self._names_cache = names_cache
        identity = identify_archive(self.archive)
        self.segment_size = identity.segment_size if identity else DEFAULT_SEGMENT_SIZE
        self._identifier = identity.system_identifier if identity else None
        self._major = identity.major if identity else 0
        self._rescued = [
            item.path for item in rescued if item.system_identifier == self._identifier
        ]
        self.lines = Lines(self.archive, self.segment_size)
        self._windows = WindowReader(self.archive, index, self.segment_size)

    @cached_property
    def current_timeline(self) -> int | None:
        """The cluster's own, if its data directory is there and is of this archive's cluster."""
        control, _ = read_control_file(Path(os.path.realpath(self._cluster.data_directory)))
        own = control is not None and self._identifier in (None, control.system_identifier)
        return control.current_timeline if control is not None and own else None

    def _own_wal(self) -> Path | None:
        if self.current_timeline is None:
            return None
        return Path(os.path.realpath(self._cluster.data_directory), "pg_wal")

    def picture(
        self, *, checked: bool = False, progress: Progress | None = None
    ) -> TimelinePicture:
        """The map; with `checked` every record in the windows has been read."""
        pg_wal = self._own_wal()
        return picture_of(
            self.archive,
            self.segment_size,
            self._backups,
            self._index,
            current_timeline=self.current_timeline,
            beyond=self._beyond(pg_wal) if pg_wal is not None else None,
            checked=checked,
            progress=progress,
        )

    def wrong_headers(self, progress: Progress | None = None) -> tuple[ArchiveProblem, ...]:
        """What the headers of all segments say is wrong with them."""
        names = list(self.archive.segments)
        return check_headers(
            self.archive, names, self.segment_size, self._identifier, self._major, progress
        )

    def _beyond(self, pg_wal: Path) -> BeyondArchive | None:
        """What lies in the old cluster's `pg_wal` and nowhere else."""
        found = look_at_tail([pg_wal], self.archive, self._identifier).files
        refs = self._refs(found)
        if not refs:
            return None
        last = last_commit(self._index, refs)
        return BeyondArchive(
            segments=tuple(found),
            to_lsn=self._index.summary(refs[-1]).end,
            last_commit=transaction_of(last),
        )

    def locate(self, timeline: int, moment: datetime) -> Lsn:
        """The position of the first commit after a time, or the end of what is archived."""
        refs = self.lines.of(timeline)
        if not refs:
            return self.lines.begin_of(timeline)
        found = locate(self._index, refs, microseconds_of(moment))
        return found if found is not None else self._index.summary(refs[-1]).end

    def glances(self, timeline: int, numbers: Sequence[int]) -> list[SegmentGlance]:
        """Some segments of one timeline, those that are there."""
        refs, places = self.lines.of(timeline), self._places(timeline)
        return [
            glance_at(self._index, refs, places[number]) for number in numbers if number in places
        ]

    def transactions(self, timeline: int, number: int) -> list[Transaction]:
        """Every commit of one segment."""
        place = self._places(timeline).get(number)
        return [] if place is None else commits_of(self._index, self.lines.of(timeline), place)

    def _places(self, timeline: int) -> dict[int, int]:
        """Where in a line the timeline's own segments are, by their numbers."""
        return {
            int(ref.start) // self.segment_size: place
            for place, ref in enumerate(self.lines.of(timeline))
            if ref.timeline == timeline
        }

    def at_position(self, timeline: int, lsn: Lsn) -> CursorView:
        """What a recovery to just before a position keeps and loses."""
        cursor = Cursor(self._index, self.lines.of(timeline), lsn)
        last_kept, first_lost = cursor.around()
        lost, exact = cursor.lost()
        backup, why_not = self._backup_for(timeline, lsn)
        arguments: tuple[str, ...] = ("--to-lsn", str(lsn), "--exclusive")
        return CursorView(
            timeline=timeline,
            lsn=lsn,
            last_kept=transaction_of(last_kept),
            first_lost=transaction_of(first_lost),
            lost=lost,
            lost_is_exact=exact,
            backup=backup.id if backup else None,
            why_not=why_not,
            arguments=(*arguments, *self._timeline_option(timeline)),
        )

    def position(self, timeline: int, where: Where | None) -> Lsn | None:
        """A position, or the first commit after a time on that timeline."""
        return where if where is None or isinstance(where, Lsn) else self.locate(timeline, where)

    def incidents(
        self,
        *,
        timeline: int | None = None,
        begin: Where | None = None,
        end: Where | None = None,
        names_of: str | None = None,
        thresholds: Thresholds | None = None,
        progress: Progress | None = None,
    ) -> IncidentSearch:
        """Destructive transactions, in the order of their commits.

        `begin` and `end` bound the positions of the commits; `names_of` is the backup whose
        catalogs tell the names. What is still in the cluster's own `pg_wal` is searched, too.
        """
        chosen = self.lines.timelines if timeline is None else [timeline]
        searcher = IncidentSearcher(
            self._index,
            self._backups,
            self.segment_size,
            names_of=names_of,
            names_cache=self._names_cache,
            thresholds=thresholds or Thresholds(),
        )
        found, unread = searcher.search(
            {number: [*self.lines.of(number), *self._tail(number)] for number in chosen},
            {
                number: (self.position(number, begin), self.position(number, end))
                for number in chosen
            },
            progress,
        )
        placed = [self._placed(incident, number) for number, incident in found]
        placed.sort(key=lambda incident: (incident.time, incident.lsn))
        return IncidentSearch(tuple(placed), tuple(unread))

    def _tail(self, timeline: int) -> list[SegmentRef]:
        """What only the cluster's own `pg_wal` has of a timeline, or was rescued from it."""
        pg_wal = self._own_wal()
        places = [*([] if pg_wal is None else [pg_wal]), *self._rescued]
        found = look_at_tail(places, self.archive, self._identifier).files
        refs = self._refs({n: path for n, path in found.items() if int(n[:8], 16) == timeline})
        last = max((ref.start for ref in self.lines.of(timeline)), default=Lsn(0))
        return [ref for ref in refs if ref.start > last]

    def _refs(self, files: Mapping[str, Path]) -> list[SegmentRef]:
        size = self.segment_size
        return [ref_of(ArchivedFile(name, str(path), size), size) for name, path in files.items()]

    def _placed(self, incident: Incident, found_on: int) -> Incident:
        """With the timeline it was committed on, and options that lead along a line with it.

        That is the cluster's own line wherever it has the incident: then what is lost is counted
        against what the cluster has.
        """
        owner = history_of(found_on, self.archive.histories).timeline_at(incident.lsn)
        current = self.current_timeline
        along = found_on
        if current is not None:
            history = history_of(current, self.archive.histories)
            along = current if history.timeline_at(incident.lsn) == owner else found_on
        option = self._timeline_option(along)
        return replace(incident, timeline=owner, arguments=(*incident.arguments, *option))

    def _backup_for(self, timeline: int, lsn: Lsn) -> tuple[Backup | None, str | None]:
        """The newest backup from which a position can be reached, or why there is none."""
        on_branch = [
            backup
            for backup in self._backups
            if backup.usable and is_on_branch(backup, timeline, self.archive.histories)
        ]
        if not on_branch:
            return None, f"no usable backup leads to timeline {timeline}"
        early = [backup for backup in on_branch if (backup.stop_lsn or Lsn(0)) <= lsn]
        if not early:
            first = min(backup.stop_lsn or Lsn(0) for backup in on_branch)
            return None, f"it is before the end of the first backup, at {first}"
        newest = max(early, key=lambda backup: backup.start_lsn or Lsn(0))
        broken = self._windows.broken_before(newest, timeline, lsn)
        return (None, broken) if broken else (newest, None)

    def _timeline_option(self, timeline: int) -> tuple[str, ...]:
        """Named wherever there is a choice: the same id can be another transaction elsewhere."""
        known = {*self.lines.timelines, *self.archive.histories, self.current_timeline or timeline}
        return ("--timeline", str(timeline)) if len(known) > 1 else ()
