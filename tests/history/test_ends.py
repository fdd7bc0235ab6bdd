"""Commits whose record begins in one segment and ends in the next."""

from __future__ import annotations

import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgrescue.history.cursor import Cursor
from pgrescue.history.ends import LineEnds, first_commit, last_commit
from pgrescue.history.glance import commits_of, glance_at
from pgrescue.history.lines import locate
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.transactions import microseconds_of
from tests.support.wal_writer import PAGE, SEGMENT, WalWriter

XACT = 1
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
BEFORE, CROSSING, BEHIND = 1000, 1001, 1002


@pytest.fixture(params=[8, 16, 24, 32])
def line(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[SegmentRef], Lsn]:
    """Three commits, a minute apart; the second crosses with so many bytes before the border."""
    writer = WalWriter()
    writer.record(_commit(0), rmid=XACT, xid=BEFORE)
    while writer.at % SEGMENT < SEGMENT - 2 * PAGE:
        writer.record(bytes(4000))
    while writer.at % SEGMENT < SEGMENT - PAGE:
        writer.fill(PAGE if writer.room == 0 else 64)
        writer.record(bytes(40))
    writer.fill(request.param)
    where = writer.record(_commit(1), rmid=XACT, xid=CROSSING)
    writer.record(_commit(2), rmid=XACT, xid=BEHIND)
    assert where % SEGMENT == SEGMENT - request.param
    refs = []
    for at, content in enumerate(writer.segments(), writer.start // SEGMENT):
        file = tmp_path / f"{1:08X}{0:08X}{at:08X}"
        file.write_bytes(content)
        refs.append(SegmentRef(file.name, 1, Lsn(at * SEGMENT), SegmentFile(str(file))))
    assert len(refs) == 2
    return refs, Lsn(where)


def test_it_belongs_to_the_segment_in_which_it_begins(
    line: tuple[list[SegmentRef], Lsn],
) -> None:
    refs, where = line
    index = WalIndex(IndexStore(None), 0)
    assert [commit.xid for commit in commits_of(index, refs, 0)] == [BEFORE, CROSSING]
    assert [commit.xid for commit in commits_of(index, refs, 1)] == [BEHIND]
    glance = glance_at(index, refs, 0)
    assert (glance.commits, glance.last_commit and glance.last_commit.lsn) == (2, where)
    assert LineEnds(index, refs).commits(0).max_xid == CROSSING


def test_it_is_found_by_time_and_beside_a_position(line: tuple[list[SegmentRef], Lsn]) -> None:
    refs, where = line
    index = WalIndex(IndexStore(None), 0)
    assert locate(index, refs, microseconds_of(NOON + timedelta(seconds=30))) == where
    before, behind = Cursor(index, refs, where).around()
    assert (before and before.xid, behind and behind.xid) == (BEFORE, CROSSING)
    assert Cursor(index, refs, where).lost() == (2, True)
    last = last_commit(index, refs[:1])
    assert last is not None
    assert last.xid == BEFORE, "what ends in a segment that is not there is not committed"
    first = first_commit(index, refs, where)
    assert first is not None
    assert first.xid == CROSSING


def _commit(minutes: int) -> bytes:
    moment = NOON + timedelta(minutes=minutes)
    return bytes([255, 8]) + struct.pack("<q", microseconds_of(moment))
