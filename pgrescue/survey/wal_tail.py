"""The WAL that the archive never got: the tail, in a dead cluster's `pg_wal` or rescued from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from pgrescue.catalog.entries import open_regular
from pgrescue.compression import DECOMPRESSION_ERRORS, open_decompressed
from pgrescue.history.way import segment_refs
from pgrescue.survey.archive import WalAtHand
from pgrescue.wal.archive import ArchivedFile, WalArchive
from pgrescue.wal.index import SegmentRef
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.recovery_path import PathStep, RecoveryPath
from pgrescue.wal.segment import NAME, SegmentId
from pgrescue.wal.summarize import summarize

_PORTION = 1 << 20


@dataclass(frozen=True, slots=True)
class UnreadableSegment:
    """A segment of `pg_wal` that the operating system does not give out."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class RescuedWal:
    """Where a run keeps WAL that it has rescued, and of which cluster that is."""

    path: Path
    system_identifier: str | None


@dataclass(frozen=True, slots=True)
class TailOnTheWay:
    """The part of the tail that a recovery reads, and what it reads before that."""

    names: tuple[str, ...]
    refs: list[SegmentRef]
    """From the first segment of the tail on."""
    before: list[SegmentRef]


@dataclass(frozen=True, slots=True)
class Tail:
    """The segments that the archive lacks, where they are, and those of which nobody can tell."""

    files: Mapping[str, Path]
    unreadable: tuple[UnreadableSegment, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The segments' names, sorted."""
        return tuple(self.files)


NO_TAIL = Tail({}, ())


def look_at_tail(
    places: Sequence[Path],
    archive: WalArchive | None,
    system_identifier: str | None,
    doubted: Collection[str] = (),
) -> Tail:
    """Segments that hold what their name says and of which the archive has no whole copy.

    `places`: the cluster's `pg_wal`, and where it has been rescued to before; of several copies
    the one that reaches furthest counts. `doubted`: segments that the server has archived, and of
    which the archive's copies are compared all the same.
    """
    files: dict[str, Path] = {}
    unreadable: dict[str, UnreadableSegment] = {}
    for place in places:
        found = _look_at(place, archive, system_identifier, doubted)
        unreadable |= {Path(item.path).name: item for item in found.unreadable}
        for name, path in found.files.items():
            if name not in files or is_shorter(files[name], path):
                files[name] = path
    left = (item for name, item in unreadable.items() if name not in files)
    return Tail(dict(sorted(files.items())), tuple(left))


def _look_at(
    pg_wal: Path,
    archive: WalArchive | None,
    system_identifier: str | None,
    doubted: Collection[str],
) -> Tail:
    """A recycled segment carries a future name over old content: its header's address tells. A copy
    of the full size may be an early one, made by somebody while the server went on writing.
    """
    try:
        listed = sorted(name for name in os.listdir(pg_wal) if NAME.fullmatch(name))
    except OSError:
        return NO_TAIL
    sizes: dict[str, int] = {}
    unreadable: list[UnreadableSegment] = []
    for name in listed:
        try:
            size = _current_size(pg_wal / name, name, system_identifier)
        except FileNotFoundError:
            continue  # recycled while this looks
        except OSError as error:
            if not _may_be_archived(archive, name):
                reason = error.strerror or str(error)
                unreadable.append(UnreadableSegment(str(pg_wal / name), reason))
            continue
        if size is not None:
            sizes[name] = size
    doubtful = _doubtful(pg_wal, sizes) | {*doubted}
    files = {
        name: pg_wal / name
        for name, size in sizes.items()
        if not is_archived(archive, name, size)
        or (name in doubtful and is_behind(archive, name, pg_wal / name))
    }
    return Tail(files, tuple(unreadable))


def _doubtful(pg_wal: Path, names: Collection[str]) -> set[str]:
    """Of which the archive's copies are compared: those that the server has not archived itself.

    Where it never archives, the newest: of the others nothing was written any more. Where there
    is no account at all, as of what was rescued, all of them.
    """
    try:
        told = {name.partition(".")[0] for name in os.listdir(pg_wal / "archive_status")}
    except OSError:
        return set(names)
    if told.isdisjoint(names):
        return {max(names, key=lambda name: (name[8:], name[:8]))} if names else set()
    return set(names) - set(archived_by_status(pg_wal))


def tail_on_the_way(at_hand: WalAtHand, path: RecoveryPath) -> TailOnTheWay:
    """Which segments recovery would have to do without if the tail were lost.

    Where the archive cannot be listed, what the server has marked as archived counts as archived.
    """
    size, tail = at_hand.segment_size, set(at_hand.tail)
    steps = list(path.steps)
    if at_hand.archive is None:
        tail -= set(archived_by_status(at_hand.pg_wal))
        steps = _line(at_hand)
    first = next((number for number, step in enumerate(steps) if step.name in tail), len(steps))
    names = tuple(step.name for step in steps[first:] if step.name in tail)
    refs = segment_refs(steps, size)
    return TailOnTheWay(names, refs[first:], refs[:first])


def _line(at_hand: WalAtHand) -> list[PathStep]:
    """What the tail has of its newest timeline, in order."""
    size = at_hand.segment_size
    found = sorted(SegmentId.parse(name, size) for name in at_hand.tail)
    newest = max((segment.timeline for segment in found), default=0)
    steps = []
    for segment in found:
        if segment.timeline == newest:
            name = segment.name(size)
            file = ArchivedFile(name, str(at_hand.tail[name]), size)
            steps.append(PathStep(segment.number, segment.timeline, name, file))
    return steps


def archived_by_status(pg_wal: Path) -> tuple[str, ...]:
    """The segments that the server has archived by its own account (`archive_status/*.done`).

    In the order of the log: names sort that way only within one timeline.
    """
    try:
        found = os.listdir(pg_wal / "archive_status")
    except OSError:
        return ()
    names = [name.removesuffix(".done") for name in found if name.endswith(".done")]
    return tuple(sorted((n for n in names if NAME.fullmatch(n)), key=lambda n: (n[8:], n[:8])))


def _may_be_archived(archive: WalArchive | None, name: str) -> bool:
    return archive is not None and name in archive.segments


def is_archived(archive: WalArchive | None, name: str, size: int) -> bool:
    """Whether the archive has a segment whole: a copy that is cut off or damaged is none."""
    file = archive.segments.get(name) if archive is not None else None
    if file is None:
        return False
    try:
        stamp = file.path.stat().st_mtime_ns
    except OSError:
        return False
    return _plain_size(file, stamp) == size


def is_behind(archive: WalArchive | None, name: str, path: Path) -> bool:
    """Whether the archive's copy of a segment is the beginning of the one at `path`."""
    file = archive.segments.get(name) if archive is not None else None
    return file is None or is_shorter(file.path, path)


def is_shorter(one: Path, other: Path) -> bool:
    """Whether a copy of a segment is the beginning of another one of the same name."""
    try:
        return _is_beginning_of(one, other, (one.stat().st_mtime_ns, other.stat().st_mtime_ns))
    except DECOMPRESSION_ERRORS:
        return False  # of what cannot be read nothing can be told


@lru_cache(maxsize=4096)
def _is_beginning_of(one: Path, other: Path, _stamps: tuple[int, int]) -> bool:
    """A timeline's number can be given twice, where no archive knows of the first one: then they
    are not the same WAL, whichever goes further."""
    if _same_bytes(one, other):
        return False
    with open_regular(other) as stream:
        header = parse_segment_header(stream.read(LONG_HEADER_SIZE))
    if header is None:
        return False
    segment, size = SegmentId.parse(other.name, header.segment_size), header.segment_size
    mine, its = (
        summarize(SegmentFile(str(path)), segment.start(size), segment.timeline, check_crc=True)
        for path in (one, other)
    )
    return mine.end < its.end and _same_bytes(one, other, max(mine.end - segment.start(size), 0))


def _same_bytes(one: Path, other: Path, limit: int | None = None) -> bool:
    """Whether two copies hold the same, to their ends or in their first `limit` bytes."""
    left = sys.maxsize if limit is None else limit
    with open_decompressed(one) as ours, open_regular(other) as theirs:
        while left > 0:
            part = ours.read(min(_PORTION, left))
            if not part:
                return limit is None and not theirs.read(1)
            if part != theirs.read(len(part)):
                return False
            left -= len(part)
    return True


@lru_cache(maxsize=4096)
def _plain_size(file: ArchivedFile, _stamp: int) -> int | None:
    """How many bytes of WAL a copy holds, read to its end if it is compressed; None for no WAL.

    Remembered as long as the file stays as it is.
    """
    try:
        with open_decompressed(file.path) as stream:
            head = stream.read(LONG_HEADER_SIZE)
            if not _is_segment(parse_segment_header(head), file.name):
                return None
            if not file.ending:
                return file.size
            size = len(head)
            while part := stream.read(_PORTION):
                size += len(part)
    except DECOMPRESSION_ERRORS:
        return None
    return size


def _current_size(path: Path, name: str, system_identifier: str | None) -> int | None:
    """A segment's size, if it holds what its name says; raises OSError if it cannot be read."""
    with open_regular(path) as stream:
        header = parse_segment_header(stream.read(LONG_HEADER_SIZE))
        size = os.fstat(stream.fileno()).st_size
    if header is None or system_identifier not in (None, header.system_identifier):
        return None
    return size if _is_segment(header, name) else None


def _is_segment(header: SegmentHeader | None, name: str) -> bool:
    if header is None:
        return False
    segment = SegmentId.parse(name, header.segment_size)
    return header.start_lsn == segment.start(header.segment_size)
