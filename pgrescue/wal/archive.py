"""A directory of archived WAL: which files are there, by name and size.

Only history files are opened here; headers are looked at where a decision needs them.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.compression import DECOMPRESSION_ERRORS, ENDINGS, open_decompressed
from pgrescue.errors import PgRescueError
from pgrescue.postgres.history_file import TimelineHistory, parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.recovery_path import end_of_path
from pgrescue.wal.segment import (
    FileKind,
    SegmentId,
    SegmentNumbers,
    cluster_directories,
    digest_in,
    file_kind,
    is_log_directory,
)

_STATUS_DIRECTORY = "archive_status"
_RANKS = {ending: rank for rank, ending in enumerate(("", *ENDINGS))}


@dataclass(frozen=True, slots=True)
class ArchiveProblem:
    """Something wrong with an archive: a code for programs, the file, a sentence for people."""

    code: str
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """One file of the archive: its plain name, where it is, its size on disk."""

    name: str
    location: str | Path
    """Mostly text: making a `Path` of every file of a big archive takes longer than listing it."""
    size: int

    @property
    def path(self) -> Path:
        """Where it is."""
        return Path(self.location)

    @property
    def ending(self) -> str:
        """The ending that tells its compression, or nothing."""
        _, dot, after = str(self.location).removesuffix(".partial").rpartition(".")
        return dot + after if dot + after in ENDINGS else ""


@dataclass(frozen=True, slots=True)
class WalArchive:
    """What an archive directory holds, by plain names (without compression endings)."""

    path: Path
    segments: dict[str, ArchivedFile]
    """In the order of their names."""
    histories: dict[int, TimelineHistory]
    backup_histories: dict[str, ArchivedFile]
    problems: tuple[ArchiveProblem, ...]
    partials: dict[str, ArchivedFile] = field(default_factory=dict)
    """By the name of the segment that each is the beginning of."""
    temporary: tuple[str, ...] = ()
    """What interrupted copies leave behind, by name relative to `path`."""
    foreign: tuple[str, ...] = ()
    """Everything else; directories end with a slash."""
    copies: tuple[ArchivedFile, ...] = ()
    """Further copies of segments, partial segments and backup history files, such as `X.gz` beside
    `X`: nobody reads them while the first is there, but they are WAL, too."""

    def header(self, name: str) -> SegmentHeader | None:
        """The long header of a segment, or None if it is missing, unreadable or no WAL."""
        file = self.segments.get(name)
        return None if file is None else read_segment_header(file.path)

    def numbers(self, timeline: int, segment_size: int) -> list[int]:
        """Segment numbers of one timeline, ascending."""
        prefix = f"{timeline:08X}"
        names = [name for name in self.segments if name.startswith(prefix)]
        return SegmentNumbers({timeline: names}, segment_size).of(timeline)

    def continuous_end(
        self, start: Lsn, history: TimelineHistory, segment_size: int
    ) -> tuple[Lsn | None, SegmentId]:
        """How far the WAL goes without a hole from `start` along one line of descent.

        Returns the end of the last segment that is there (None if even the first is missing)
        and the first segment that is not.
        """
        return end_of_path(self.segments, history, start, segment_size)


def scan_archive(path: Path) -> WalArchive:
    """List an archive directory, with the sub-directories that Barman and pgBackRest make in it.

    Of a pgBackRest stanza, the directory of its newest cluster is the archive. Raises OSError if
    it cannot be listed.
    """
    listing = _Listing(path)
    directories = listing.read("")
    clusters = cluster_directories(directories)
    if not clusters or listing.has_segments(directories):
        listing.read_below(directories)
        return listing.archive()
    *earlier, newest = clusters
    own = _Listing(path / newest.rstrip("/"))
    own.read_below(own.read(""))
    own.foreign += [f"../{name}" for name in (*listing.foreign, *directories) if name != newest]
    for name in earlier:
        message = "holds the WAL of an earlier cluster and is not looked at"
        own.report("earlier_cluster", f"../{name}", message)
    return own.archive()


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


class _Listing:
    """What has been found so far, in one directory or in several."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.files: dict[FileKind, dict[str, ArchivedFile]] = {
            kind: {} for kind in ("segment", "partial", "history", "backup")
        }
        self.copies: list[ArchivedFile] = []
        self.temporary: list[str] = []
        self.foreign: list[str] = []
        self.problems: list[ArchiveProblem] = []

    def read(self, below: str) -> list[str]:
        """Take in one directory, given with a slash at its end; returns its sub-directories."""
        directories: list[str] = []
        try:
            with os.scandir(os.path.join(self.path, below)) as entries:
                for entry in entries:
                    kind, name = file_kind(entry.name)
                    if kind in self.files:
                        self._take(kind, name, entry, below)
                    elif _is_directory(entry):
                        directories.append(f"{below}{entry.name}/")
                    else:
                        names = self.temporary if kind == "temporary" else self.foreign
                        names.append(below + entry.name)
        except OSError as error:
            if not below:
                raise
            if not isinstance(error, FileNotFoundError):
                self.report("unreadable", below, f"cannot be listed: {error.strerror}")
        return sorted(name for name in directories if name != f"{below}{_STATUS_DIRECTORY}/")

    def _take(self, kind: FileKind, name: str, entry: os.DirEntry[str], below: str) -> None:
        try:
            status = entry.stat()
        except FileNotFoundError:  # renamed by the archiver, or pruned, since it was listed
            return
        except PermissionError:  # the directory cannot be entered: nothing in it can be used
            raise
        except OSError as error:
            self.report("unreadable", below + entry.name, f"cannot be read: {error.strerror}")
            return
        if not stat.S_ISREG(status.st_mode):
            self.foreign.append(below + entry.name)
            return
        file = ArchivedFile(name, entry.path, status.st_size)
        other = self.files[kind].setdefault(name, file)
        if other is not file:
            self._choose_copy(kind, file, other)

    def _choose_copy(self, kind: FileKind, file: ArchivedFile, other: ArchivedFile) -> None:
        """Keep the plain copy of two, and then the one that `fetch-wal` tries first."""
        best, rest = sorted((file, other), key=_rank)
        self.files[kind][file.name] = best
        if kind != "history":
            self.copies.append(rest)
        digests = {digest_in(copy.path.name) for copy in (best, rest)} - {None}
        if best.ending == rest.ending and (best.size != rest.size or len(digests) == 2):
            places = " and ".join(str(c.path.relative_to(self.path)) for c in (best, rest))
            self.report("duplicate", best.name, f"{places} are not the same")

    def has_segments(self, directories: list[str]) -> bool:
        """Whether there are any, here or in a directory for them."""
        return bool(self.files["segment"]) or any(map(is_log_directory, directories))

    def read_below(self, directories: list[str]) -> None:
        """Take in those of the sub-directories that are for segments."""
        for name in directories:
            self.foreign += self.read(name) if is_log_directory(name) else [name]

    def archive(self) -> WalArchive:
        """All of it."""
        segments = self.files["segment"]
        return WalArchive(
            path=self.path,
            segments={name: segments[name] for name in sorted(segments)},
            histories=self._histories(),
            backup_histories=dict(sorted(self.files["backup"].items())),
            problems=tuple(sorted(self.problems, key=lambda problem: (problem.name, problem.code))),
            partials=dict(sorted(self.files["partial"].items())),
            temporary=tuple(sorted(self.temporary)),
            foreign=tuple(sorted(self.foreign)),
            copies=tuple(sorted(self.copies, key=lambda file: str(file.location))),
        )

    def _histories(self) -> dict[int, TimelineHistory]:
        histories: dict[int, TimelineHistory] = {}
        for name, file in sorted(self.files["history"].items()):
            timeline = int(name[:8], 16)
            try:
                with open_decompressed(file.path) as stream:
                    text = stream.read().decode(errors="replace")
                histories[timeline] = parse_history_file(timeline, text)
            except FileNotFoundError:
                continue
            except PgRescueError as error:
                self.report("history_damaged", name, f"{error.title} {error.cause}")
            except DECOMPRESSION_ERRORS as error:
                self.report("history_damaged", name, f"cannot be read: {error}")
        return histories

    def report(self, code: str, name: str, message: str) -> None:
        """Remember what is wrong with one file or directory."""
        self.problems.append(ArchiveProblem(code, name, f"{name}: {message}"))


def _is_directory(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link in circles
        return False


def _rank(file: ArchivedFile) -> tuple[int, int, Path]:
    return _RANKS[file.ending], len(file.path.parts), file.path
