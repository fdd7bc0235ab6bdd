"""The picture of an archive by its names: timelines, where they forked, what is missing."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchiveProblem, WalArchive
from pgrescue.wal.recovery_path import (
    Descent,
    Lineage,
    contradictions,
    known_lineages,
    stand_in,
)
from pgrescue.wal.segment import SegmentId, SegmentNumbers


@dataclass(frozen=True, slots=True)
class TimelineInfo:
    """One timeline that the archive has segments or a history file of."""

    id: int
    parent: int | None
    forked_at: Lsn | None
    first_segment: str | None
    last_segment: str | None
    segments: int
    bytes: int
    """On disk, compressed where they are."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Consecutive segments of one timeline that are not there, though WAL before them is."""

    timeline: int
    first: str
    last: str
    count: int


@dataclass(frozen=True, slots=True)
class ArchivePicture:
    """What is in an archive, and what is missing or wrong by names and sizes."""

    segment_size: int
    segments: int
    bytes: int
    timelines: tuple[TimelineInfo, ...]
    gaps: tuple[Gap, ...]
    problems: tuple[ArchiveProblem, ...]


def archive_picture(archive: WalArchive, segment_size: int) -> ArchivePicture:
    """Put names and history files together; opens nothing."""
    names: dict[int, list[str]] = {}
    for prefix, group in groupby(sorted(archive.segments), key=itemgetter(slice(8))):
        names[int(prefix, 16)] = list(group)
    lineages = known_lineages(archive.histories)
    timelines = tuple(
        _timeline(archive, timeline, names.get(timeline, []), lineages.get(timeline, ()))
        for timeline in sorted({*names, *archive.histories})
    )
    numbers = SegmentNumbers(names, segment_size)
    return ArchivePicture(
        segment_size=segment_size,
        segments=len(archive.segments),
        bytes=sum(info.bytes for info in timelines),
        timelines=timelines,
        gaps=tuple(_gaps(numbers, lineages, segment_size)),
        problems=(
            *_missing_forks(archive, lineages, segment_size),
            *_missing_histories(archive, names),
            *_contradictions(archive.histories),
            *archive.problems,
            *_before_their_fork(numbers, lineages, segment_size),
            *_wrong_sizes(archive, numbers, segment_size),
            *_only_partial(archive, lineages, segment_size),
        ),
    )


def _timeline(
    archive: WalArchive, timeline: int, names: Sequence[str], lineage: Lineage
) -> TimelineInfo:
    return TimelineInfo(
        id=timeline,
        parent=lineage[-1].timeline if lineage else None,
        forked_at=lineage[-1].switch_lsn if lineage else None,
        first_segment=names[0] if names else None,
        last_segment=names[-1] if names else None,
        segments=len(names),
        bytes=sum(archive.segments[name].size for name in names),
    )


def _contradictions(histories: Mapping[int, TimelineHistory]) -> Iterator[ArchiveProblem]:
    for timeline, history in sorted(histories.items()):
        positions = [ancestor.switch_lsn for ancestor in history.ancestors]
        if positions != sorted(positions):
            name = f"{timeline:08X}.history"
            message = f"{name} is damaged: its switch positions must rise."
            yield ArchiveProblem("history_damaged", name, message)
    for timeline, other, ancestor in contradictions(histories):
        name = f"{timeline:08X}.history"
        others = f"{other:08X}.history"
        message = f"{name} and {others} disagree about the beginning of timeline {ancestor}."
        yield ArchiveProblem("history_disagrees", name, message)


def _gaps(
    numbers: SegmentNumbers, lineages: Mapping[int, Lineage], segment_size: int
) -> Iterator[Gap]:
    """Where a timeline has a hole between its first segment, or its fork, and its end.

    It has to go on up to the segment before its last fork: that fork's own segment is the child's,
    which carries the parent's part of it. What is older than all that is left on the line of
    descent has been pruned, and is no gap.
    """
    last_forks: dict[int, int] = {}
    for lineage in lineages.values():
        for ancestor in lineage[-1:]:
            fork = ancestor.switch_lsn // segment_size
            last_forks[ancestor.timeline] = max(fork, last_forks.get(ancestor.timeline, 0))
    for timeline in sorted({*numbers.all, *lineages}):
        present = numbers.of(timeline)
        first = _first_wanted(numbers, timeline, lineages.get(timeline, ()), segment_size)
        if first is None:
            continue
        last = max(last_forks.get(timeline, 0) - 1, present[-1] if present else -1)
        for begin, end in _holes(present, first, last):
            names = [SegmentId(n, timeline).name(segment_size) for n in (begin, end)]
            yield Gap(timeline, names[0], names[1], end - begin + 1)


def _first_wanted(
    numbers: SegmentNumbers, timeline: int, lineage: Lineage, segment_size: int
) -> int | None:
    """The segment from which on a timeline has to be there; None if nothing of it has to."""
    begin = 0
    for ancestor in lineage:
        fork = ancestor.switch_lsn // segment_size
        if numbers.has_between(ancestor.timeline, begin, fork):
            return lineage[-1].switch_lsn // segment_size
        begin = fork
    present = numbers.of(timeline)
    at = bisect_left(present, begin)
    return present[at] if at < len(present) else None


def _holes(present: Sequence[int], first: int, last: int) -> Iterator[tuple[int, int]]:
    expected = first
    for number in present[bisect_left(present, first) :]:
        if number > expected:
            yield expected, number - 1
        expected = number + 1
    if expected <= last:
        yield expected, last


def _missing_forks(
    archive: WalArchive, lineages: Mapping[int, Lineage], segment_size: int
) -> Iterator[ArchiveProblem]:
    """Children whose first segment is missing while an ancestor's of that number is there."""
    for timeline, lineage in sorted(lineages.items()):
        if not lineage:
            continue
        descent = Descent(TimelineHistory(timeline, lineage), segment_size)
        fork = lineage[-1].switch_lsn
        number = fork // segment_size
        name = SegmentId(number, timeline).name(segment_size)
        before = descent.owner(number - 1).timeline if number else 0
        instead = stand_in(archive.segments, descent, number, before, segment_size)
        if instead is not None and name not in archive.segments:
            message = (
                f"{name}, with which timeline {timeline} begins, is not in the archive (yet), but "
                f"{instead} is. A recovery to timeline {timeline} would read that instead and "
                f"silently go on with the WAL of timeline {int(instead[:8], 16)} beyond {fork}, "
                f"where timeline {timeline} left it."
            )
            yield ArchiveProblem("fork_segment_missing", name, message)


def _missing_histories(archive: WalArchive, timelines: Iterable[int]) -> Iterator[ArchiveProblem]:
    damaged = {problem.name for problem in archive.problems if problem.code == "history_damaged"}
    for timeline in sorted(timelines):
        name = f"{timeline:08X}.history"
        if timeline > 1 and timeline not in archive.histories and name not in damaged:
            message = (
                f"{name} is missing, though there are segments of timeline {timeline}: PostgreSQL "
                "cannot recover along it, or takes it for one that descends from no other."
            )
            yield ArchiveProblem("history_missing", name, message)


def _before_their_fork(
    numbers: SegmentNumbers, lineages: Mapping[int, Lineage], segment_size: int
) -> Iterator[ArchiveProblem]:
    for timeline, lineage in sorted(lineages.items()):
        fork = lineage[-1].switch_lsn if lineage else Lsn(0)
        count = bisect_left(numbers.of(timeline), fork // segment_size)
        if count:
            name = SegmentId(numbers.of(timeline)[0], timeline).name(segment_size)
            message = (
                f"{name} and {count - 1} more are older than timeline {timeline}, which began at "
                f"{fork}: another timeline has had the same number."
            )
            yield ArchiveProblem("before_fork", name, message)


def _wrong_sizes(
    archive: WalArchive, numbers: SegmentNumbers, segment_size: int
) -> Iterator[ArchiveProblem]:
    for name in numbers.impossible:
        message = f"No segment of {segment_size} bytes is named {name}."
        yield ArchiveProblem("other_segment_size", name, message)
    for name, file in archive.segments.items():
        if file.size != segment_size and not file.ending:
            message = f"{name} has {file.size} bytes; a whole segment has {segment_size}."
            yield ArchiveProblem("truncated", name, message)


def _only_partial(
    archive: WalArchive, lineages: Mapping[int, Lineage], segment_size: int
) -> Iterator[ArchiveProblem]:
    """All but those that a promotion leaves: what is in them is in the child's segment too."""
    carried = {
        SegmentId.at(fork.switch_lsn, fork.timeline, segment_size).name(segment_size)
        for timeline, lineage in lineages.items()
        for fork in lineage[-1:]
        if SegmentId.at(fork.switch_lsn, timeline, segment_size).name(segment_size)
        in archive.segments
    }
    for name, file in archive.partials.items():
        if name not in archive.segments and name not in carried:
            message = f"Of {name} there is only {file.path.name}, which recovery never reads."
            yield ArchiveProblem("only_partial", name, message)
