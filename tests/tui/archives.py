"""Hand-made archives for the map: their pictures by names, and what reading them would tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pgrescue.history.model import (
    BackupMark,
    HitRelation,
    Incident,
    NamedPoint,
    RecoverableWindow,
    SegmentGlance,
    TimelineLane,
    TimelinePicture,
)
from pgrescue.plan.model import Transaction
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.segment import SegmentId
from pgrescue.wal.timelines import Gap, TimelineInfo

SIZE = 16 << 20
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
A_MINUTE = timedelta(minutes=1)


def at(number: float) -> Lsn:
    """A position, counted in segments."""
    return Lsn(int(number * SIZE))


def name(timeline: int, number: int) -> str:
    """A segment's name."""
    return SegmentId(number, timeline).name(SIZE)


def commit(number: float, xid: int | None = None) -> Transaction:
    """A commit at a position; a minute a segment."""
    seconds = timedelta(seconds=round(number * 60, 3))
    return Transaction(xid or 700 + int(number * 10), NOON + seconds, at(number))


def lane(
    timeline: int,
    *ranges: tuple[int, int],
    parent: int | None = None,
    forked_at: Lsn | None = None,
) -> TimelineLane:
    """A timeline with these segments."""
    count = sum(last - first + 1 for first, last in ranges)
    info = TimelineInfo(
        id=timeline,
        parent=parent,
        forked_at=forked_at,
        first_segment=name(timeline, ranges[0][0]) if ranges else None,
        last_segment=name(timeline, ranges[-1][1]) if ranges else None,
        segments=count,
        bytes=count * SIZE,
    )
    return TimelineLane(info, ranges, None, None)


def gap(timeline: int, first: int, last: int) -> Gap:
    """Segments that are not there."""
    return Gap(timeline, name(timeline, first), name(timeline, last), last - first + 1)


def window(timeline: int, first: float, last: float, backup: str = "monday") -> RecoverableWindow:
    """What one backup reaches."""
    return RecoverableWindow(
        backup, timeline, at(first), None, at(last), None, "end_of_archive", "the last one", False
    )


def backup(number: float, timeline: int = 1, *, usable: bool = True) -> BackupMark:
    """A backup that ends there."""
    return BackupMark(f"backup-{number:g}", timeline, at(number - 0.5), at(number), NOON, usable)


def picture(
    lanes: Iterable[TimelineLane],
    *,
    gaps: Iterable[Gap] = (),
    windows: Iterable[RecoverableWindow] = (),
    backups: Iterable[BackupMark] = (),
    current: int | None = None,
) -> TimelinePicture:
    """An archive of these timelines."""
    lanes = tuple(lanes)
    return TimelinePicture(
        path="/srv/wal/main",
        segment_size=SIZE,
        segments=sum(entry.info.segments for entry in lanes),
        bytes=sum(entry.info.bytes for entry in lanes),
        lanes=lanes,
        gaps=tuple(gaps),
        problems=(),
        windows=tuple(windows),
        backups=tuple(backups),
        current_timeline=current,
    )


def glances(
    timeline: int,
    commits: Sequence[int],
    first: int = 0,
    *,
    damaged: Iterable[int] = (),
    points: Iterable[tuple[str, float]] = (),
) -> tuple[SegmentGlance, ...]:
    """Segments that have been read, from `first` on, by their numbers of commits."""
    named = [NamedPoint(word, timeline, at(n), commit(n).time) for word, n in points]
    bad = set(damaged)
    return tuple(
        SegmentGlance(
            number=number,
            timeline=timeline,
            commits=count,
            first_commit=commit(number + 0.1) if count else None,
            last_commit=commit(number + 0.9) if count else None,
            restore_points=tuple(p for p in named if p.lsn // SIZE == number),
            checkpoints=(),
            problem="the CRC of a record is wrong" if number in bad else None,
        )
        for number, count in enumerate(commits, first)
    )


def incident(number: float, timeline: int = 1, table: str = "orders") -> Incident:
    """A table that was dropped."""
    found = commit(number)
    return Incident(
        time=found.time,
        xid=found.xid,
        lsn=found.lsn,
        first_lsn=Lsn(found.lsn - 8192),
        timeline=timeline,
        kind="drop_table",
        database="shop",
        relations=(HitRelation("public", table, 16401, 16405),),
        rows=48211,
        share=1.0,
        arguments=("--before-xid", str(found.xid), "--timeline", str(timeline)),
    )


EMPTY = replace(picture(()), path="")

ONE = picture(
    [lane(1, (1, 40))],
    windows=[window(1, 5, 41)],
    backups=[backup(5), backup(25), backup(30, usable=False)],
    current=1,
)
"""One timeline, forty segments."""
ONE_READ = glances(
    1,
    [0, 3, 9, 40, 120, 250, 400, 420, 380, 90, 0, 0, 7, 8, 50, 300, 410, 90, 3, 1],
    first=12,
    points=[("before the release", 18.5)],
)

FORKS = picture(
    [
        lane(1, (1, 19)),
        lane(2, (20, 29), parent=1, forked_at=at(20.25)),
        lane(3, (26, 40), parent=2, forked_at=at(26.5)),
        lane(5, (10, 22), parent=1, forked_at=at(10.5)),
    ],
    windows=[window(3, 4, 41), window(2, 4, 30), window(1, 4, 20), window(5, 4, 23)],
    backups=[backup(4), backup(33, 3)],
    current=3,
)
"""Timeline 3 left 2, and 2 and 5 left 1; of 1 the last segment is only in its children."""

GAPS = picture(
    [lane(1, (1, 9), (13, 20), (22, 40))],
    gaps=[gap(1, 10, 12), gap(1, 21, 21)],
    windows=[window(1, 3, 10), window(1, 24, 41)],
    backups=[backup(3), backup(24)],
)

MANY = 100_000
HUGE = picture(
    [
        lane(1, (1, 39_999), (40_001, MANY)),
        lane(2, (80_000, 90_000), parent=1, forked_at=at(80_000.5)),
    ],
    gaps=[gap(1, 40_000, 40_000)],
    windows=[window(1, 50_000, MANY + 1), window(2, 50_000, 90_001)],
    backups=[backup(n) for n in range(50_000, MANY, 5_000)],
    current=1,
)

HOSTILE_NAMES = (
    "[bold red]not markup[/]",
    "two\nrows\rand\x1b[2J\x1b]0;title\x07escapes",
    "\u202egnol\u200bzero",
    "誰" * 63,
    "quote\"and'more; rm -rf /",
)
