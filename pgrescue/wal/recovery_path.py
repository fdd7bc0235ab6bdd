"""Which archived files recovery asks for, one after the other, along one line of descent.

As `XLogFileReadAnyTLI` in `src/backend/access/transam/xlogrecovery.c`: for each segment number the
timelines are tried from the newest to the oldest, those that begin later are skipped, and no
timeline below that of the previous file is read.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from pgrescue.postgres.history_file import Ancestor, TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.segment import SegmentId

if TYPE_CHECKING:
    from pgrescue.wal.archive import ArchivedFile, WalArchive

Lineage = tuple[Ancestor, ...]
"""The ancestors of one timeline, oldest first."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """One file that recovery reads."""

    number: int
    timeline: int
    name: str
    file: ArchivedFile


@dataclass(frozen=True, slots=True)
class RecoveryPath:
    """The files from a start to the first that is missing."""

    steps: tuple[PathStep, ...]
    missing: SegmentId
    resumes_at: SegmentId | None
    """The first file behind the missing one that is there again."""
    fork_missing: bool
    """An ancestor's file of the missing number is there: PostgreSQL would replay that instead,
    past the fork, and go on in the wrong history."""


class Descent:
    """One line of descent by segment numbers: which timeline's file each number wants."""

    def __init__(self, history: TimelineHistory, segment_size: int) -> None:
        self.timelines = (*(a.timeline for a in history.ancestors), history.timeline)
        forks = [ancestor.switch_lsn // segment_size for ancestor in history.ancestors]
        # A fork that lies before an earlier one (a damaged file) hides what is in between.
        self.begins = [0, *reversed(list(accumulate(reversed(forks), min)))]

    def index(self, number: int) -> int:
        """Where in `timelines` the newest one that has begun by this segment is."""
        return bisect_right(self.begins, number) - 1

    def owner(self, number: int) -> SegmentId:
        """The file that recovery asks for first."""
        return SegmentId(number, self.timelines[self.index(number)])

    def end(self, index: int) -> int | None:
        """The number at which the next timeline takes over; None on the last one."""
        return self.begins[index + 1] if index + 1 < len(self.begins) else None


def known_lineages(histories: Mapping[int, TimelineHistory]) -> dict[int, Lineage]:
    """The ancestors of every timeline that the history files tell of.

    Each file repeats those of its ancestors, so one that is lost can be told from a descendant's.
    """
    known = {timeline: history.ancestors for timeline, history in histories.items()}
    for _, history in sorted(histories.items()):
        for index, ancestor in enumerate(history.ancestors):
            known.setdefault(ancestor.timeline, history.ancestors[:index])
    return known


def contradictions(histories: Mapping[int, TimelineHistory]) -> Iterator[tuple[int, int, int]]:
    """Pairs of history files, by their timelines, that tell an ancestor's beginning differently.

    The third number is that ancestor; of each file only its oldest contradiction is told.
    """
    said = {timeline: (timeline, _forks(h.ancestors)) for timeline, h in histories.items()}
    for timeline, history in sorted(histories.items()):
        forks = _forks(history.ancestors)
        for index, ancestor in enumerate(history.ancestors):
            other, theirs = said.setdefault(ancestor.timeline, (timeline, forks[:index]))
            if theirs != forks[:index]:
                yield timeline, other, ancestor.timeline
                break


def _forks(lineage: Lineage) -> list[tuple[int, Lsn]]:
    return [(ancestor.timeline, ancestor.switch_lsn) for ancestor in lineage]


def recovery_path(
    archive: WalArchive, history: TimelineHistory, start: Lsn, segment_size: int
) -> RecoveryPath:
    """The files that a recovery from `start` along `history` reads, in their order."""
    descent, segments = Descent(history, segment_size), archive.segments
    steps = tuple(
        PathStep(number, timeline, name, segments[name])
        for number, timeline, name in _walk(segments, descent, start // segment_size, segment_size)
    )
    number = steps[-1].number + 1 if steps else start // segment_size
    previous = steps[-1].timeline if steps else 0
    return RecoveryPath(
        steps=steps,
        missing=descent.owner(number),
        resumes_at=_resumption(segments, descent, number, segment_size),
        fork_missing=stand_in(segments, descent, number, previous, segment_size) is not None,
    )


def end_of_path(
    segments: Mapping[str, ArchivedFile], history: TimelineHistory, start: Lsn, segment_size: int
) -> tuple[Lsn | None, SegmentId]:
    """As `WalArchive.continuous_end`: the path's end without its steps."""
    descent = Descent(history, segment_size)
    first = start // segment_size
    number = first + sum(1 for _ in _walk(segments, descent, first, segment_size))
    return (Lsn(number * segment_size) if number > first else None), descent.owner(number)


def stand_in(
    segments: Mapping[str, ArchivedFile],
    descent: Descent,
    number: int,
    previous: int,
    segment_size: int,
) -> str | None:
    """The ancestor's file that PostgreSQL would read for want of the right one, if there is one.

    `previous` is the timeline of the file before, 0 if there is none.
    """
    for timeline in reversed(descent.timelines[: descent.index(number)]):
        if timeline < previous:
            return None
        name = SegmentId(number, timeline).name(segment_size)
        if name in segments:
            return name
    return None


def _walk(
    segments: Mapping[str, ArchivedFile], descent: Descent, number: int, segment_size: int
) -> Iterator[tuple[int, int, str]]:
    """Number, timeline and name of every file up to the first that is missing."""
    per_log = 0x1_0000_0000 // segment_size
    index = descent.index(number)
    while True:
        timeline, end = descent.timelines[index], descent.end(index)
        while end is None or number < end:
            log, in_log = divmod(number, per_log)
            name = f"{timeline:08X}{log:08X}{in_log:08X}"
            if name not in segments:
                return
            yield number, timeline, name
            number += 1
        index += 1


def _resumption(
    segments: Mapping[str, ArchivedFile], descent: Descent, missing: int, segment_size: int
) -> SegmentId | None:
    """The first segment after `missing` that the line of descent wants and that is there.

    Within a timeline names sort as numbers do, and each timeline takes over where one ends.
    """
    per_log = 0x1_0000_0000 // segment_size
    for index in range(descent.index(missing), len(descent.timelines)):
        timeline, end = descent.timelines[index], descent.end(index)
        first = max(missing + 1, descent.begins[index])
        low = SegmentId(first, timeline).name(segment_size)
        high = "G" if end is None else SegmentId(end, timeline).name(segment_size)
        prefix = low[:8]
        later = (
            name
            for name in segments
            if low <= name < high and name[:8] == prefix and int(name[16:], 16) < per_log
        )
        if found := min(later, default=None):
            return SegmentId.parse(found, segment_size)
    return None
