"""The two rulers below the map: positions in the log, and times."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from pgrescue.postgres.lsn import Lsn
from pgrescue.tui.timeline.viewport import Viewport

Tick = tuple[int, str]
"""A column and the label that begins there."""
_SPACE = 2


def lsn_ticks(view: Viewport) -> Iterator[Tick]:
    """Round positions, as many as there is room for."""
    longest = len(str(Lsn(view.last))) + 1 + _SPACE
    between = _round_up(longest * view.step)
    position = -(-view.first // between) * between
    while position < view.last:
        column = view.column(position)
        label = str(Lsn(position))
        if column + 1 + len(label) <= view.columns:
            yield column, label
        position += between


def _round_up(number: int) -> int:
    """The next power of two: in hexadecimal it ends with zeros."""
    return 1 << max(number - 1, 1).bit_length()


def time_ticks(view: Viewport, times: Sequence[tuple[int, datetime]]) -> Iterator[Tick]:
    """When something was committed, wherever that is known and there is room for it."""
    first = bisect_left(times, view.first, key=_position)
    end = bisect_left(times, view.last, lo=first, key=_position)
    if first == end:
        return
    span = times[end - 1][1] - times[first][1]
    free, at, day, before = 0, first, "", ""
    while at < end:
        lsn, time = times[at]
        column = view.column(lsn)
        date, clock = f"{time.astimezone(UTC):%m-%d}", _clock(time, span)
        label = clock if date == day else f"{date} {clock}"
        if column + 1 + len(label) > view.columns:
            return
        if label != before and column >= free:
            yield column, label
            free, day, before = column + 1 + len(label) + _SPACE, date, clock
        at = bisect_left(times, view.start(max(column + 1, free)), lo=at + 1, key=_position)


def _clock(time: datetime, span: timedelta) -> str:
    moment = time.astimezone(UTC)
    if span > timedelta(minutes=20):
        return f"{moment:%H:%M}"
    return f"{moment:%H:%M:%S}" if span > timedelta(seconds=20) else f"{moment:%H:%M:%S.%f}"[:-3]


def _position(entry: tuple[int, datetime]) -> int:
    return entry[0]
