"""Sizes, times and lengths as the screens write them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from humanize import naturaldelta, naturalsize
from rich.cells import cell_len, set_cell_size

from pgrescue.run.deletable import Deletable


def size(count: int | None) -> str:
    """Bytes with a binary unit, such as `281.0 GiB`."""
    return "-" if count is None else naturalsize(count, binary=True)


def short_size(count: int | None) -> str:
    """The same in six columns: `281.0G`."""
    return "-" if count is None else naturalsize(count, gnu=True)


def moment(time: datetime | None) -> str:
    """A time in UTC to the second, with its offset."""
    return "-" if time is None else f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}+00"


def short_moment(time: datetime | None) -> str:
    """Month, day and minute in UTC."""
    return "-" if time is None else f"{time.astimezone(UTC):%m-%d %H:%M}"


def exact_moment(time: datetime) -> str:
    """A time in UTC as exact as commits are told apart, at least to the hundredth of a second."""
    shown = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"
    head, digits = shown[:-4], shown[-4:].rstrip("0")
    return f"{head}{digits} UTC"


def age(time: datetime | None, now: datetime) -> str:
    """How long ago that was, roughly."""
    return "-" if time is None else f"{naturaldelta(now - time)} ago"


def deletions(items: Sequence[Deletable]) -> tuple[str, ...]:
    """What will be deleted, with its size and age, a line each."""
    now = datetime.now(UTC)
    return tuple(f"{item.path} is DELETED: {item.described(now)}." for item in items)


def clock(seconds: float | None) -> str:
    """A duration as `m:ss` or `h:mm:ss`."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def about(seconds: float) -> str:
    """A guess at a duration; no more exact than it deserves."""
    if seconds < 60:
        return f"{max(round(seconds), 1)} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def in_ascii(text: str) -> str:
    """The text for a terminal that has no other letters."""
    return text.encode("ascii", "backslashreplace").decode()


def fit(text: str, width: int, cut: str) -> str:
    """The text in at most `width` cells, of which some letters take two; its end cut off."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, max(width - 1, 0)).rstrip() + cut


def shorten(text: str, width: int, cut: str) -> str:
    """The text in at most `width` cells, its end cut off."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + cut


def shorten_path(text: str, width: int, cut: str) -> str:
    """The text in at most `width` cells; the end of a path says more than its beginning."""
    return text if len(text) <= width else cut + text[len(text) - max(width - 1, 0) :]
