"""The past of a configured cluster, from its archive and its backups: map, incidents, cursor."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np

from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.catalog.relation_names import ClusterNames, read_names
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import PgRescueError, Refused, UsageError
from pgrescue.history.cursor import Cursor
from pgrescue.history.ends import ends_in
from pgrescue.history.incidents import IncidentFinder, Thresholds
from pgrescue.history.lines import line_of, locate, unbroken_runs
from pgrescue.history.model import (
    BeyondArchive,
    CursorView,
    Incident,
    NamedPoint,
    SegmentGlance,
    TimelinePicture,
)
from pgrescue.history.namebook import NameBook
from pgrescue.history.picture import picture_of, ref_of
from pgrescue.history.stop_point import transaction_of
from pgrescue.history.windows import WindowReader, last_commit
from pgrescue.plan.choose import is_on_branch
from pgrescue.plan.model import Transaction
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.survey.archive import unarchived_segments
from pgrescue.wal.archive import (
    ArchivedFile,
    ArchiveProblem,
    WalArchive,
    history_of,
    scan_archive,
)
from pgrescue.wal.events import Checkpoint, RestorePoint
from pgrescue.wal.headers import check_headers, identify_archive
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE
from pgrescue.wal.stretch import read_stretch
from pgrescue.wal.transactions import microseconds_of, moment_of

Where = Lsn | datetime


@dataclass(frozen=True, slots=True)
class IncidentSearch:
    """What was found, and where nobody could look."""

    incidents: tuple[Incident, ...]
    unread: tuple[tuple[str, str], ...]
    """Segments that could not be read to their end, each with the reason."""


def open_archive(cluster: ClusterConfig) -> WalArchive:
    """List the configured archive, sub-directories too; raises `Refused` where there is none."""
    if cluster.wal_archive is None:
        raise Refused(
            "There is no WAL archive to read.",
            f"The configuration names no wal_archive for the cluster {cluster.name}.",
            next_steps=('wal_archive = "DIR" in the configuration',),
        )
    path = Path(os.path.realpath(cluster.wal_archive))
    try:
        return scan_archive(path, nested=True)
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
    ) -> None:
        self.archive = archive
        self._cluster, self._backups, self._index = cluster, backups, index
        self._names_cache = names_cache
        identity = identify_archive(self.archive)
        self.segment_size = identity.segment_size if identity else DEFAULT_SEGMENT_SIZE
        self._identifier = identity.system_identifier if identity else None
        self._major = identity.major if identity else 0
        self._lines: dict[int, list[SegmentRef]] = {}
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

    @property
    def timelines(self) -> list[int]:
        """Every timeline that has segments."""
        return sorted({int(name[:8], 16) for name in self.archive.segments})

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
        names = unarchived_segments(pg_wal, self.archive, self._identifier)
        files = [ArchivedFile(name, f"{pg_wal}/{name}", self.segment_size) for name in names]
        refs = [ref_of(file, self.segment_size) for file in files]
        if not refs:
            return None
        last = last_commit(self._index, refs)
        return BeyondArchive(
            segments=names,
            to_lsn=self._index.summary(refs[-1]).end,
            last_commit=transaction_of(last),
        )

    def line(self, timeline: int) -> list[SegmentRef]:
        """A timeline's segments and those of its ancestors before it; raises `UsageError`."""
        if timeline not in self._lines:
            known = {*self.timelines, *self.archive.histories}
            if timeline not in known:
                raise UsageError(
                    f"There is no timeline {timeline} in the archive.",
                    f"There are: {', '.join(map(str, sorted(known))) or 'none'}.",
                )
            self._lines[timeline] = line_of(self.archive, timeline, self.segment_size)
        return self._lines[timeline]

    def begin_of(self, timeline: int) -> Lsn:
        """Where a timeline left its parent; 0 for one without."""
        ancestors = history_of(timeline, self.archive.histories).ancestors
        return ancestors[-1].switch_lsn if ancestors else Lsn(0)

    def locate(self, timeline: int, moment: datetime) -> Lsn:
        """The position of the first commit after a time, or the end of what is archived."""
        refs = self.line(timeline)
        if not refs:
            return self.begin_of(timeline)
        found = locate(self._index, refs, microseconds_of(moment))
        return found if found is not None else self._index.summary(refs[-1]).end

    def glances(self, timeline: int, numbers: Sequence[int]) -> list[SegmentGlance]:
        """Some segments of one timeline, those that are there."""
        wanted = {number * self.segment_size for number in numbers}
        refs = [ref for ref in self._own(timeline) if ref.start in wanted]
        return [self._glance(ref) for ref in refs]

    def transactions(self, timeline: int, number: int) -> list[Transaction]:
        """Every commit of one segment."""
        for ref in self._own(timeline):
            if ref.start == number * self.segment_size:
                rows = ends_in(ref, self._major)
                marks = [rows.mark(index) for index in np.flatnonzero(rows.commits).tolist()]
                return [
                    Transaction(mark.xid, moment_of(mark.time), mark.position) for mark in marks
                ]
        return []

    def at_position(self, timeline: int, lsn: Lsn) -> CursorView:
        """What a recovery to just before a position keeps and loses."""
        cursor = Cursor(self._index, self.line(timeline), lsn, self._major)
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
        chosen = self.timelines if timeline is None else [timeline]
        spans = {
            number: (self.position(number, begin), self.position(number, end)) for number in chosen
        }
        lines = {
            number: self._to_search(number, *spans[number], names_of is None) for number in chosen
        }
        refs = list({ref.name: ref for line in lines.values() for ref in line}.values())
        ends = {line[-1].name for line in lines.values() if line}
        unread: dict[str, str] = {}
        for done, (ref, summary) in enumerate(self._index.stream(refs), 1):
            unwritten = ref.name in ends and summary.end_kind in ("zeros", "recycled", "invalid")
            if not summary.is_whole and not unwritten:
                unread[ref.name] = summary.reason or summary.end_kind
            if progress is not None:
                progress(done, len(refs))
        found: dict[tuple[Lsn, int], Incident] = {}
        for number, line in lines.items():
            first, last = spans[number]
            for incident in self._on(number, line, names_of, thresholds or Thresholds()):
                after = first is None or first <= incident.lsn
                if after and (last is None or incident.lsn < last):
                    found.setdefault((incident.lsn, incident.xid), self._placed(incident, number))
        ordered = sorted(found.values(), key=lambda incident: (incident.time, incident.lsn))
        return IncidentSearch(tuple(ordered), tuple(sorted(unread.items())))

    def _to_search(
        self, timeline: int, begin: Lsn | None, end: Lsn | None, from_backup: bool
    ) -> list[SegmentRef]:
        """The segments that have to be read to judge what was committed between two positions.

        They begin with a backup from before: what was made and named since then must be known.
        """
        refs = [*self.line(timeline), *self._tail(timeline)]
        if begin is not None:
            starts = [
                backup.start_lsn
                for backup in self._backups
                if backup.usable and backup.start_lsn is not None and backup.start_lsn <= begin
            ]
            first = max(starts, default=Lsn(0)) if from_backup else Lsn(0)
            refs = [ref for ref in refs if ref.start + self.segment_size > first]
        return [ref for ref in refs if end is None or ref.start < end]

    def _tail(self, timeline: int) -> list[SegmentRef]:
        """What only the cluster's own `pg_wal` has of a timeline."""
        pg_wal = self._own_wal()
        if pg_wal is None:
            return []
        names = unarchived_segments(pg_wal, self.archive, self._identifier)
        own = [name for name in names if int(name[:8], 16) == timeline]
        files = [ArchivedFile(name, f"{pg_wal}/{name}", self.segment_size) for name in own]
        last = max((ref.start for ref in self.line(timeline)), default=Lsn(0))
        refs = [ref_of(file, self.segment_size) for file in files]
        return [ref for ref in refs if ref.start > last]

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

    def _on(
        self,
        timeline: int,
        line: Sequence[SegmentRef],
        names_of: str | None,
        thresholds: Thresholds,
    ) -> Iterator[Incident]:
        """Run by run, going on behind what is damaged."""
        for run in unbroken_runs(line, self.segment_size):
            rest = list(run)
            while rest:
                stretch = read_stretch(self._index, rest, rest[0].start)
                if stretch is None:
                    rest = rest[1:]
                    continue
                book = NameBook(self._names(names_of, rest[0].start))
                yield from IncidentFinder(stretch, timeline, book, thresholds).find()
                behind = [at for at, ref in enumerate(rest) if ref.name == stretch.segment]
                rest = rest[behind[0] + 1 :] if behind and stretch.why != "end_of_files" else []

    def _names(self, names_of: str | None, start: Lsn) -> ClusterNames | None:
        """The catalogs of a backup from before the WAL, or else of the oldest one there is."""
        if names_of is not None:
            return read_names(find_backup(self._backups, names_of), self._names_cache)
        full = [
            backup
            for backup in self._backups
            if backup.usable and backup.kind == "full" and backup.start_lsn is not None
        ]
        full.sort(key=lambda backup: backup.start_lsn or Lsn(0))
        earlier = [backup for backup in full if (backup.start_lsn or Lsn(0)) <= start]
        for backup in [*reversed(earlier), *full]:
            try:
                return read_names(backup, self._names_cache)
            except PgRescueError:
                continue  # the next one may be whole
        return None

    def _own(self, timeline: int) -> list[SegmentRef]:
        return [ref for ref in self.line(timeline) if ref.timeline == timeline]

    def _glance(self, ref: SegmentRef) -> SegmentGlance:
        summary = self._index.summary(ref)
        found = summary.found
        points = [event for event in found.events if isinstance(event, RestorePoint)]
        return SegmentGlance(
            number=int(ref.start) // self.segment_size,
            timeline=ref.timeline,
            commits=found.commits.count,
            first_commit=transaction_of(found.commits.first),
            last_commit=transaction_of(found.commits.last),
            restore_points=tuple(
                NamedPoint(point.name, ref.timeline, point.position, moment_of(point.time))
                for point in points
            ),
            checkpoints=tuple(
                event.position for event in found.events if isinstance(event, Checkpoint)
            ),
            problem=None if summary.is_whole else summary.reason or summary.end_kind,
        )

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
        known = {*self.timelines, *self.archive.histories, self.current_timeline or timeline}
        return ("--timeline", str(timeline)) if len(known) > 1 else ()
