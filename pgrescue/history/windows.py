"""Recoverable windows: from where to where each backup can be brought, along each timeline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.history.ends import LOOKED_BACK, last_commit
from pgrescue.history.model import RecoverableWindow, WindowEnd
from pgrescue.history.stop_point import consistent_at, kept_at
from pgrescue.history.way import segment_refs
from pgrescue.plan.choose import is_on_branch
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import WalArchive, history_of
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.recovery_path import Descent, RecoveryPath, recovery_path
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE
from pgrescue.wal.stretch import read_stretch
from pgrescue.wal.summary import Mark
from pgrescue.wal.transactions import moment_of


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far the files go along a timeline, by names."""

    number: int
    """The segment behind the last one that is there."""
    ends: WindowEnd
    reason: str


class WindowReader:
    """Works out windows in one archive."""

    def __init__(self, archive: WalArchive, index: WalIndex, segment_size: int) -> None:
        self.archive, self.index, self.segment_size = archive, index, segment_size
        self._reached: dict[int, dict[int, _Reach]] = {}
        """By timeline and first segment: older backups end where newer ones do."""

    def windows(
        self, backups: Sequence[Backup], *, checked: bool, progress: Progress | None = None
    ) -> Iterator[RecoverableWindow]:
        """One for each usable backup and timeline that goes on from it.

        `checked`: every record of the windows is read. Otherwise names tell how far the WAL goes,
        and only the last segments are read, for the last commit.
        """
        newest_first = sorted(backups, key=lambda backup: backup.start_lsn or 0, reverse=True)
        for backup in newest_first:
            if backup.usable and backup.start_lsn is not None:
                for timeline in self._timelines(backup):
                    yield self.window(backup, timeline, checked, progress)

    def path(self, backup: Backup, timeline: int) -> RecoveryPath:
        """The archived files from a backup's start along a timeline."""
        history = history_of(timeline, self.archive.histories)
        begin = self._begin(backup, timeline) * self.segment_size
        start = max(backup.start_lsn or Lsn(0), Lsn(begin))
        return recovery_path(self.archive, history, start, self.segment_size)

    def broken_before(self, backup: Backup, timeline: int, lsn: Lsn) -> str | None:
        """Why the files do not lead from a backup to a position; None if they do."""
        reach = self._reach(timeline, self._begin(backup, timeline))
        return reach.reason if reach.number * self.segment_size <= lsn else None

    def _timelines(self, backup: Backup) -> list[int]:
        """The backup's own, and those that left it later."""
        known = {backup.timeline or 1, *self.archive.histories}
        return sorted(
            timeline for timeline in known if is_on_branch(backup, timeline, self.archive.histories)
        )

    def window(
        self,
        backup: Backup,
        timeline: int,
        checked: bool = False,
        progress: Progress | None = None,
    ) -> RecoverableWindow:
        """One backup's window along one timeline, on which it lies."""
        first = self._begin(backup, timeline)
        reach = self._reach(timeline, first)
        if checked and reach.number > first:
            path = self.path(backup, timeline)
            refs = segment_refs(path.steps, self.segment_size)
            return self._read(backup, timeline, refs, reach, progress)
        last = last_commit(self.index, self._last_refs(timeline, first, reach.number))
        end = Lsn(reach.number * self.segment_size) if reach.number > first else Lsn(0)
        return RecoverableWindow(
            backup=backup.id,
            timeline=timeline,
            from_lsn=backup.stop_lsn,
            from_time=backup.stopped_at,
            to_lsn=max(end, backup.stop_lsn or Lsn(0)) or None,
            to_time=moment_of(last.time) if last else None,
            ends=reach.ends,
            reason=reach.reason,
            checked=False,
        )

    def _begin(self, backup: Backup, timeline: int) -> int:
        """The first archived segment that is wanted: a backup may carry its own WAL itself."""
        first = (backup.start_lsn or Lsn(0)) // self.segment_size
        details = backup.details
        if details is None or details.wal_inside == "none" or backup.stop_lsn is None:
            return first
        descent = Descent(history_of(timeline, self.archive.histories), self.segment_size)
        last = (backup.stop_lsn - 1) // self.segment_size
        names = [descent.owner(n).name(self.segment_size) for n in range(first, last + 1)]
        present = [name in self.archive.segments for name in names]
        if all(present):
            return first
        if present[-1]:
            return last
        # Its own copy of the last segment is whole: a primary switches WAL at a backup's end.
        return first if details.from_standby else last + 1

    def _reach(self, timeline: int, first: int) -> _Reach:
        known = self._reached.setdefault(timeline, {})
        descent = Descent(history_of(timeline, self.archive.histories), self.segment_size)
        number = first
        while number not in known:
            if descent.owner(number).name(self.segment_size) not in self.archive.segments:
                known[number] = self._end(timeline, number, first)
                break
            number += 1
        known[first] = known[number]
        return known[first]

    def _end(self, timeline: int, number: int, first: int) -> _Reach:
        """Why the files end before a segment: asked from the one before it, if that is there."""
        history = history_of(timeline, self.archive.histories)
        start = Lsn(max(number - 1, first) * self.segment_size)
        path = recovery_path(self.archive, history, start, self.segment_size)
        return _Reach(number, *self._why(path))

    def _last_refs(self, timeline: int, first: int, end: int) -> list[SegmentRef]:
        begin = Lsn(max(first, end - LOOKED_BACK) * self.segment_size)
        history = history_of(timeline, self.archive.histories)
        path = recovery_path(self.archive, history, begin, self.segment_size)
        return segment_refs(path.steps, self.segment_size)

    def _read(
        self,
        backup: Backup,
        timeline: int,
        refs: Sequence[SegmentRef],
        reach: _Reach,
        progress: Progress | None,
    ) -> RecoverableWindow:
        start = backup.start_lsn or Lsn(0)
        begin = max(start, refs[0].start)
        stretch = read_stretch(self.index, refs, begin, checked=True, progress=progress)
        ends, reason = reach.ends, reach.reason
        last: Mark | None = None
        first: Mark | None = None
        consistent, to_lsn = backup.stop_lsn, backup.stop_lsn
        if stretch is not None:
            consistent = consistent_at(stretch, start, backup.stop_lsn)
            last, to_lsn = stretch.last_commit, stretch.end
            if consistent is not None:
                first = kept_at(stretch, consistent).last_kept
            if stretch.why in ("damage", "foreign"):
                ends, reason = "damage", f"{stretch.segment} at {stretch.end}: {stretch.reason}"
        else:
            ends, reason = "damage", f"{refs[0].name}: {self.index.summary(refs[0]).reason}"
        if to_lsn is None or stretch is None or (consistent or to_lsn) > to_lsn:
            # The backup itself does not become consistent: there is no window at all.
            to_lsn, last = None, None
        return RecoverableWindow(
            backup=backup.id,
            timeline=timeline,
            from_lsn=consistent,
            from_time=moment_of(first.time) if first else backup.stopped_at,
            to_lsn=to_lsn,
            to_time=moment_of(last.time) if last else None,
            ends=ends,
            reason=reason,
            checked=True,
        )

    def _why(self, path: RecoveryPath) -> tuple[WindowEnd, str]:
        missing = path.missing.name(self.segment_size)
        if path.fork_missing:
            return "fork_missing", (
                f"{missing} is missing, with which its timeline begins; PostgreSQL would go on "
                "along the older timeline instead"
            )
        if path.resumes_at is not None:
            again = path.resumes_at.name(self.segment_size)
            return "gap", f"{missing} is missing; {again} is there again"
        if missing in self.archive.partials:
            return "end_of_archive", f"of {missing} there is only a .partial, which is never read"
        return "end_of_archive", f"{missing} is not there yet"


def with_last_commits(
    backups: Sequence[Backup], archive: WalArchive, index: WalIndex
) -> list[Backup]:
    """The backups with the times of the last commits in their windows, which only the WAL knows."""
    sizes = [backup.details.wal_segment_size for backup in backups if backup.details]
    size = next((size for size in sizes if size), DEFAULT_SEGMENT_SIZE)
    reader = WindowReader(archive, index, size)
    times: dict[str, datetime | None] = {}
    for backup in sorted(backups, key=lambda item: item.start_lsn or 0, reverse=True):
        if backup.window is not None and backup.window.to_time is None:
            times[backup.id] = reader.window(backup, backup.window.timeline).to_time
    return [
        replace(backup, window=replace(backup.window, to_time=times[backup.id]))
        if backup.window is not None and backup.id in times
        else backup
        for backup in backups
    ]
