"""A recovery foretold: the WAL it will replay, read before it is begun."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.history.stop_point import consistent_at, stop_point
from pgrescue.history.traps import Replayed, limits_in, traps
from pgrescue.plan.foretold import Foretold
from pgrescue.plan.target import Target
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.stretch import read_stretch


def foretell(
    index: WalIndex,
    refs: Sequence[SegmentRef],
    start: Lsn,
    stop: Lsn | None,
    target: Target,
    timeline: int,
    *,
    clone: bool,
    progress: Progress | None = None,
) -> Foretold | None:
    """Where a recovery from a backup (its WAL begins at `start`, ends at `stop`) will end.

    None where there is no WAL to read. Every record up to the end of the WAL is checked.
    """
    stretch = read_stretch(index, refs, start, checked=True, progress=progress)
    if stretch is None:
        return None
    consistent = consistent_at(stretch, start, stop)
    point = stop_point(stretch, target, consistent, timeline)
    replayed = Replayed(stretch, point.boundary, consistent)
    return Foretold(
        stop=point.stop,
        unreachable=point.unreachable,
        traps=() if point.unreachable else traps(replayed, target, clone=clone),
        limits=limits_in(replayed),
        end=stretch.end,
        end_reason=stretch.reason,
        end_segment=stretch.segment,
        is_damage=stretch.why in ("damage", "foreign"),
        commits=stretch.commits,
    )
