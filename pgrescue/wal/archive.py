"""A directory of archived WAL: which segments are there, by name, per timeline.

Only names and sizes are read here; headers are looked at where a decision needs them.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from dataclasses import dataclass
from pathlib import Path

from pgrescue.compression import DECOMPRESSION_ERRORS, open_decompressed, split_ending
from pgrescue.errors import InvalidFormat
from pgrescue.postgres.history_file import TimelineHistory, parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.segment import BACKUP_HISTORY_NAME, HISTORY_NAME, NAME, SegmentId

_UNREADABLE: tuple[type[Exception], ...] = (InvalidFormat, *DECOMPRESSION_ERRORS)


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file of the archive: its plain name, the path it has, its size on disk."""

    name: str
    path: Path
    size: int


@dataclass(frozen=True, slots=True)
class WalArchive:
    """What an archive directory holds, by plain names (without compression endings)."""

    path: Path
    segments: dict[str, ArchivedFile]
    histories: dict[int, TimelineHistory]
    backup_histories: dict[str, ArchivedFile]
    problems: tuple[str, ...]

    def header(self, name: str) -> SegmentHeader | None:
        """The long header of a segment, or None if it is missing, unreadable or no WAL."""
        file = self.segments.get(name)
        return None if file is None else read_segment_header(file.path)

    def numbers(self, timeline: int, segment_size: int) -> list[int]:
        """Segment numbers of one timeline, ascending."""
        prefix = f"{timeline:08X}"
        return sorted(
            SegmentId.parse(name, segment_size).number
            for name in self.segments
            if name.startswith(prefix)
        )

    def continuous_end(
        self, start: Lsn, history: TimelineHistory, segment_size: int
    ) -> tuple[Lsn | None, SegmentId]:
        """How far the WAL goes without a hole from `start` along one line of descent.

        Returns the end of the last segment that is there (None if even the first is missing)
        and the first segment that is not.
        """
        number = start // segment_size
        end: Lsn | None = None
        while True:
            wanted = self._owner(number, history, segment_size)
            if wanted.name(segment_size) not in self.segments:
                return end, wanted
            end = wanted.end(segment_size)
            number += 1

    @staticmethod
    def _owner(number: int, history: TimelineHistory, segment_size: int) -> SegmentId:
        """The file that recovery asks for first: the newest timeline that has begun by then."""
        begins = [ancestor.switch_lsn // segment_size for ancestor in history.ancestors]
        timelines = [*(a.timeline for a in history.ancestors), history.timeline]
        return SegmentId(number, timelines[bisect_left(begins, number + 1)])


def scan_archive(path: Path) -> WalArchive:
    """List an archive directory; raises OSError if it cannot be listed."""
    segments: dict[str, ArchivedFile] = {}
    backups: dict[str, ArchivedFile] = {}
    histories: dict[int, TimelineHistory] = {}
    problems: list[str] = []
    with os.scandir(path) as entries:
        for entry in sorted(entries, key=lambda item: item.name):
            if not entry.is_file():
                continue
            name, _ = split_ending(entry.name)
            try:
                file = ArchivedFile(name, Path(entry.path), entry.stat().st_size)
            except FileNotFoundError:  # renamed by the archiver, or pruned, since it was listed
                continue
            if NAME.fullmatch(name):
                segments[name] = file
            elif BACKUP_HISTORY_NAME.fullmatch(name):
                backups[name] = file
            elif match := HISTORY_NAME.fullmatch(name):
                try:
                    histories[int(match[1], 16)] = _read_history(int(match[1], 16), file.path)
                except _UNREADABLE as error:
                    problems.append(f"{entry.name}: {error}")
    return WalArchive(path, segments, histories, backups, tuple(problems))


def history_of(timeline: int, histories: dict[int, TimelineHistory]) -> TimelineHistory:
    """A timeline's history; one without a file has no ancestors, as the server assumes."""
    return histories.get(timeline) or TimelineHistory(timeline, ())


def newest_timeline(timeline: int, histories: dict[int, TimelineHistory]) -> int:
    """Where `latest` leads from `timeline`: history files are tried upwards until one is missing.

    As `findNewestTimeLine` in `src/backend/access/transam/timeline.c`.
    """
    newest = timeline
    while newest + 1 in histories:
        newest += 1
    return newest


def read_segment_header(path: Path) -> SegmentHeader | None:
    """The long header at the start of a segment file, compressed or not."""
    try:
        with open_decompressed(path) as stream:
            return parse_segment_header(stream.read(LONG_HEADER_SIZE))
    except DECOMPRESSION_ERRORS:
        return None


def _read_history(timeline: int, path: Path) -> TimelineHistory:
    with open_decompressed(path) as stream:
        return parse_history_file(timeline, stream.read().decode(errors="replace"))
