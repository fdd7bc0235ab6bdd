"""A recovery foretold: the WAL it will replay, read before it is begun."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from pgrescue.findings import Finding
from pgrescue.history.ends import LineEnds
from pgrescue.history.lines import locate
from pgrescue.history.namebook import NameBook
from pgrescue.history.nearest import unreadable
from pgrescue.history.replayed import Replayed, limits_in
from pgrescue.history.stop_point import StopPoint, consistent_at, nowhere, stop_point
from pgrescue.history.traps.every import traps
from pgrescue.plan.foretold import BEFORE_BACKUP, Foretold, Unreachable
from pgrescue.plan.model import Stop
from pgrescue.plan.target import Target
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import Progress, SegmentRef, WalIndex
from pgrescue.wal.stretch import Stretch, read_stretch
from pgrescue.wal.transactions import microseconds_of

_COUNTED_BEHIND = 2048
"""Segments behind the stop in which lost transactions are counted; more would only take time."""
_DECIDED = (None, BEFORE_BACKUP)
"""Codes of answers that more WAL would not change."""


@dataclass(frozen=True, slots=True)
class WayToGo:
    """A recovery from one backup along one timeline."""

    refs: Sequence[SegmentRef]
    start: Lsn
    """Where the backup's WAL begins."""
    stop: Lsn | None
    """Where it ends, as far as the backup says."""
    timeline: int
    forks: tuple[Lsn, ...]
    """Where it goes over to another timeline."""
    clone: bool
    more_elsewhere: bool
    """Whether recovery can fetch WAL that is not among `refs`, by a configured command."""


def foretell(
    index: WalIndex,
    way: WayToGo,
    target: Target,
    names: Callable[[], NameBook],
    progress: Progress | None = None,
) -> Foretold | None:
    """Where the recovery will end; None where there is no WAL to read.

    Every record up to the stop is checked. `names` is asked only if something has to be named.
    """
    read = _read(index, way, target, progress)
    if read is None:
        return _first_is_no_wal(index, way, target)
    stretch, point, consistent, is_all = read
    replayed = Replayed(stretch, point.boundary, consistent)
    stop, unreachable = point.stop, point.unreachable
    found: tuple[Finding, ...] = ()
    if way.more_elsewhere:
        stop, unreachable, found = _only_as_far_as_listed(stop, unreachable)
    elif not is_all:
        stop = replace(stop, discarded_transactions=None)
    if unreachable is None:
        found += traps(replayed, target, names, forks=way.forks, clone=way.clone)
    return Foretold(
        stop=stop,
        unreachable=unreachable,
        traps=found,
        limits=limits_in(replayed),
        end=stretch.end,
        end_reason=stretch.reason,
        end_segment=stretch.segment,
        is_damage=stretch.why in ("damage", "foreign"),
    )


def _first_is_no_wal(index: WalIndex, way: WayToGo, target: Target) -> Foretold | None:
    """Recovery could not even begin; unless WAL comes from elsewhere, too."""
    if not way.refs or way.more_elsewhere:
        return None
    first = index.summary(way.refs[0])
    return Foretold(
        stop=nowhere(target, way.timeline),
        unreachable=unreadable(way.refs[0].name, first.reason),
        traps=(),
        limits=None,
        end=first.start,
        end_reason=first.reason,
        end_segment=way.refs[0].name,
        is_damage=True,
    )


def _only_as_far_as_listed(
    stop: Stop, unreachable: Unreachable | None
) -> tuple[Stop, Unreachable | None, tuple[Finding, ...]]:
    """Where the WAL that was read ends, more may come: what was not found is only not known."""
    if unreachable is not None and unreachable.code != BEFORE_BACKUP:
        finding = Finding(
            "target.not_listed",
            "warning",
            f"In the WAL that can be listed here the target was not found. {unreachable.why} "
            "Recovery also fetches WAL with restore_command.",
        )
        return stop, None, (finding,)
    if stop.kind == "end_of_wal":
        return replace(stop, lsn=None, last_kept=None, replayed_to=None), unreachable, ()
    return replace(stop, discarded_transactions=None), unreachable, ()


def _read(
    index: WalIndex, way: WayToGo, target: Target, progress: Progress | None
) -> tuple[Stretch, StopPoint, Lsn | None, bool] | None:
    """The WAL with the stop in it, and whether that is all there is.

    What recovery replays is checked record by record; what lies behind is only counted.
    """
    refs, count = way.refs, _portion(index, way, target)
    if count < len(refs):
        part = _stretch(index, way, count, checked=True, progress=progress)
        if part is None:
            return None
        point, _ = _stop_in(part, way, target)
        code = point.unreachable.code if point.unreachable else None
        if code in _DECIDED:
            reading = min(count + _COUNTED_BEHIND, len(refs))
            whole = _stretch(index, way, reading, checked=False, progress=progress)
            if whole is not None and whole.end >= part.end:
                return whole, *_stop_in(whole, way, target), reading == len(refs)
    everything = _stretch(index, way, len(refs), checked=True, progress=progress)
    if everything is None:
        return None
    return everything, *_stop_in(everything, way, target), True


def _stretch(
    index: WalIndex, way: WayToGo, count: int, *, checked: bool, progress: Progress | None
) -> Stretch | None:
    return read_stretch(index, way.refs[:count], way.start, checked=checked, progress=progress)


def _stop_in(stretch: Stretch, way: WayToGo, target: Target) -> tuple[StopPoint, Lsn | None]:
    consistent = consistent_at(stretch, way.start, way.stop)
    return stop_point(stretch, target, consistent, way.timeline), consistent


def _portion(index: WalIndex, way: WayToGo, target: Target) -> int:
    """How many segments are likely to hold the stop: found by halving, not by reading all."""
    refs = way.refs
    position: Lsn | None = None
    match target.kind:
        case "lsn":
            position = target.lsn
        case "immediate":
            position = way.stop
        case "time" if target.time is not None:
            position = locate(index, refs, microseconds_of(target.time))
        case "xid" if target.xid is not None:
            return min(_with_xid(index, refs, target.xid & 0xFFFFFFFF) + 2, len(refs))
        case _:
            pass
    if position is None:
        return len(refs)
    return min(sum(1 for ref in refs if ref.start <= position) + 1, len(refs))


def _with_xid(index: WalIndex, refs: Sequence[SegmentRef], xid: int) -> int:
    """The first segment, of those that are asked, in which ids have come as far."""
    ends = LineEnds(index, refs)
    low, high = 0, len(refs)
    while low < high:
        middle = (low + high) // 2
        number = next((at for at in range(middle, high) if ends.commits(at).count), None)
        if number is None or ends.commits(number).max_xid >= xid:
            high = middle
        else:
            low = number + 1
    return low
