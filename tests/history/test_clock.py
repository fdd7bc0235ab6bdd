"""A server's clock that was set back: commits whose times do not follow the WAL."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta

from pgrescue.history.lines import locate
from pgrescue.history.namebook import NameBook
from pgrescue.history.replayed import Replayed
from pgrescue.history.stop_point import stop_point
from pgrescue.history.traps.every import traps
from pgrescue.plan.target import Target
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.stretch import Stretch, read_stretch
from pgrescue.wal.summary import SegmentSummary
from pgrescue.wal.transactions import microseconds_of
from tests.support.segment_bytes import SegmentBytes
from tests.support.wal_writer import SEGMENT, WalWriter

XACT = 1
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
INDEX = WalIndex(IndexStore(None), workers=0)


def written(*minutes: float, segments: int = 1) -> tuple[list[SegmentRef], Lsn]:
    """Commits 1000, 1001, ... at these minutes after noon, spread evenly over some segments."""
    writer = WalWriter()
    start = Lsn(writer.at)
    for number, minute in enumerate(minutes):
        moment = NOON + timedelta(minutes=minute)
        data = bytes([255, 8]) + struct.pack("<q", microseconds_of(moment))
        writer.record(data, rmid=XACT, xid=1000 + number)
        if segments > 1 and (number + 1) % (len(minutes) // segments) == 0:
            writer.switch()
    refs = [
        SegmentRef(f"{1:08X}{0:08X}{at:08X}", 1, Lsn(at * SEGMENT), SegmentBytes(content))
        for at, content in enumerate(writer.segments(), writer.start // SEGMENT)
    ]
    return refs, start


def stretch_of(*minutes: float) -> Stretch:
    """The same, joined."""
    refs, start = written(*minutes)
    stretch = read_stretch(INDEX, refs, start)
    assert stretch is not None
    assert stretch.commits == len(minutes)
    return stretch


def at(minute: float, *, inclusive: bool = True) -> Target:
    """A time target."""
    return Target("time", inclusive, "promote", time=NOON + timedelta(minutes=minute))


def kept(stretch: Stretch, target: Target) -> tuple[int | None, int | None, list[str]]:
    """The last transaction kept, how many are lost, and what is warned of."""
    point = stop_point(stretch, target, stretch.start, 1)
    assert point.unreachable is None
    replayed = Replayed(stretch, point.boundary, None)
    found = traps(replayed, target, lambda: NameBook(None), forks=(), clone=True)
    last = point.stop.last_kept
    return (
        (last.xid if last else None),
        point.stop.discarded_transactions,
        [item.code for item in found],
    )


def test_recovery_stops_at_the_first_later_commit_whatever_follows() -> None:
    stretch = stretch_of(0, 1, 2, 30, 3, 4, 5)
    assert kept(stretch, at(10)) == (1002, 4, ["trap.clock"])
    assert kept(stretch, at(1.5)) == (1001, 5, [])
    assert kept(stretch, at(1)) == (1001, 5, [])
    assert kept(stretch, at(1, inclusive=False)) == (1000, 6, [])


def test_commits_that_overtake_each_other_by_little_are_no_step() -> None:
    stretch = stretch_of(0, 1, 1.001, 0.999, 2, 3)
    assert kept(stretch, at(1.0005)) == (1001, 4, [])


def test_a_time_is_located_by_a_few_segments() -> None:
    refs, _ = written(*range(600), segments=300)
    asked: set[str] = set()

    class Counting(WalIndex):
        def summary(self, ref: SegmentRef, *, checked: bool = False) -> SegmentSummary:
            asked.add(ref.name)
            return super().summary(ref, checked=checked)

    found = locate(
        Counting(IndexStore(None), 0), refs, microseconds_of(NOON + timedelta(minutes=421.5))
    )
    assert found is not None
    assert found // SEGMENT == 5 + 422 // 2
    assert len(asked) <= 12


def test_nothing_is_located_behind_the_last_commit() -> None:
    refs, _ = written(0, 1, 2)
    assert locate(INDEX, refs, microseconds_of(NOON + timedelta(minutes=2))) is None
