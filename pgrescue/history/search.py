"""The search for incidents in an archive, line by line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pgrescue.catalog.discover import find_backup
from pgrescue.catalog.model import Backup
from pgrescue.catalog.relation_names import ClusterNames, read_names
from pgrescue.errors import PgRescueError
from pgrescue.history.incidents import IncidentFinder, Thresholds
from pgrescue.history.lines import unbroken_runs
from pgrescue.history.model import Incident
from pgrescue.history.namebook import NameBook
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.stretch import read_stretch

Span = tuple[Lsn | None, Lsn | None]
"""From a position to before another; None: from the beginning, to the end."""


@dataclass(frozen=True, slots=True)
class IncidentSearch:
    """What was found, and where nobody could look."""

    incidents: tuple[Incident, ...]
    unread: tuple[tuple[str, str], ...]
    """Segments that could not be read to their end, each with the reason."""


class IncidentSearcher:
    """Searches lines of segments, with names from a backup."""

    def __init__(
        self,
        index: WalIndex,
        backups: Sequence[Backup],
        segment_size: int,
        *,
        names_of: str | None,
        names_cache: Path | None,
        thresholds: Thresholds,
    ) -> None:
        """`names_of`: the backup whose catalogs tell the names; None: the best for each run."""
        self._index, self._backups, self._segment_size = index, backups, segment_size
        self._names_of, self._names_cache = names_of, names_cache
        self._thresholds = thresholds

    def search(
        self,
        lines: Mapping[int, Sequence[SegmentRef]],
        spans: Mapping[int, Span],
        progress: Progress | None,
    ) -> tuple[list[tuple[int, Incident]], list[tuple[str, str]]]:
        """Incidents whose commits are in the span of their line, each with its line's timeline;
        and the segments that could not be read, with the reasons."""
        wanted = {number: self._needed(line, *spans[number]) for number, line in lines.items()}
        unread = self._read_all(wanted, progress)
        found: dict[tuple[Lsn, int], tuple[int, Incident]] = {}
        for number, line in wanted.items():
            first, last = spans[number]
            for incident in self._on(number, line):
                after = first is None or first <= incident.lsn
                if after and (last is None or incident.lsn < last):
                    found.setdefault((incident.lsn, incident.xid), (number, incident))
        return list(found.values()), unread

    def _needed(
        self, refs: Sequence[SegmentRef], begin: Lsn | None, end: Lsn | None
    ) -> list[SegmentRef]:
        """The segments that have to be read to judge what was committed between two positions.

        They begin with a backup from before: what was made and named since then must be known.
        """
        first = Lsn(0)
        if begin is not None and self._names_of is None:
            starts = [
                backup.start_lsn
                for backup in self._backups
                if backup.usable and backup.start_lsn is not None and backup.start_lsn <= begin
            ]
            first = max(starts, default=first)
        return [
            ref
            for ref in refs
            if ref.start + self._segment_size > first and (end is None or ref.start < end)
        ]

    def _read_all(
        self, lines: Mapping[int, Sequence[SegmentRef]], progress: Progress | None
    ) -> list[tuple[str, str]]:
        refs = list({ref.name: ref for line in lines.values() for ref in line}.values())
        ends = {line[-1].name for line in lines.values() if line}
        unread: dict[str, str] = {}
        for done, (ref, summary) in enumerate(self._index.stream(refs), 1):
            unwritten = ref.name in ends and summary.end_kind in ("zeros", "recycled", "invalid")
            if not summary.is_whole and not unwritten:
                unread[ref.name] = summary.reason or summary.end_kind
            if progress is not None:
                progress(done, len(refs))
        return sorted(unread.items())

    def _on(self, timeline: int, line: Sequence[SegmentRef]) -> Iterator[Incident]:
        """Run by run, going on behind what is damaged."""
        for run in unbroken_runs(line, self._segment_size):
            rest = list(run)
            while rest:
                stretch = read_stretch(self._index, rest, rest[0].start)
                if stretch is None:
                    rest = rest[1:]
                    continue
                book = NameBook(self._names(rest[0].start))
                yield from IncidentFinder(stretch, timeline, book, self._thresholds).find()
                behind = [at for at, ref in enumerate(rest) if ref.name == stretch.segment]
                rest = rest[behind[0] + 1 :] if behind and stretch.why != "end_of_files" else []

    def _names(self, start: Lsn) -> ClusterNames | None:
        """The catalogs of a backup from before the WAL, or else of the oldest one there is."""
        if self._names_of is not None:
            return read_names(find_backup(self._backups, self._names_of), self._names_cache)
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
