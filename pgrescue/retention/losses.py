"""What the removal of backups takes away from the recoverable windows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from pgrescue.catalog.model import Backup
from pgrescue.history.model import RecoverableWindow
from pgrescue.retention.model import LostSpan


def lost_with(
    backup: Backup, windows: Sequence[RecoverableWindow], staying: set[str]
) -> tuple[LostSpan, ...]:
    """The parts of a backup's windows that lie in no window of a backup that stays.

    Where its end is not known its start is taken for it: better tell too much than too little.
    """
    lost: list[LostSpan] = []
    for window in windows:
        if window.backup != backup.id:
            continue
        span = _span(replace(window, from_lsn=window.from_lsn or backup.start_lsn))
        if span is not None:
            others = [w for w in windows if w.backup in staying and w.timeline == span.timeline]
            lost += _without(span, [s for s in map(_span, others) if s is not None])
    return tuple(lost)


def cover_of(
    backup: str, windows: Sequence[RecoverableWindow], staying: Iterable[str]
) -> str | None:
    """The first of those that stay which leads everywhere the backup does; None if none does."""
    own = [s for w in windows if w.backup == backup and (s := _span(w)) is not None]
    for other in staying:
        theirs = [s for w in windows if w.backup == other and (s := _span(w)) is not None]
        if own and all(any(_contains(t, span) for t in theirs) for span in own):
            return other
    return None


def _span(window: RecoverableWindow) -> LostSpan | None:
    """A window as a span; None where it is not known from where to where it goes."""
    if window.from_lsn is None or window.to_lsn is None:
        return None
    end = max(window.to_lsn, window.from_lsn)
    return LostSpan(window.timeline, window.from_lsn, window.from_time, end, window.to_time)


def _contains(outer: LostSpan, inner: LostSpan) -> bool:
    return (
        outer.timeline == inner.timeline
        and outer.from_lsn <= inner.from_lsn
        and inner.to_lsn <= outer.to_lsn
    )


def _without(span: LostSpan, covers: Sequence[LostSpan]) -> list[LostSpan]:
    """What is left of a span once all that others cover is cut out of it."""
    left = [span]
    for cover in covers:
        left = [part for whole in left for part in _cut(whole, cover)]
    return left


def _cut(span: LostSpan, cover: LostSpan) -> list[LostSpan]:
    if cover.to_lsn < span.from_lsn or span.to_lsn < cover.from_lsn:
        return [span]
    before = LostSpan(span.timeline, span.from_lsn, span.from_time, cover.from_lsn, cover.from_time)
    after = LostSpan(span.timeline, cover.to_lsn, cover.to_time, span.to_lsn, span.to_time)
    return [part for part in (before, after) if part.from_lsn < part.to_lsn]
