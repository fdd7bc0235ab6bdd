"""WAL of servers that crashed: records that were never completed, pages of older segments."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import NEWEST, OLDEST
from pgrescue.wal.segment import NAME, SegmentId
from tests.conftest import SandboxFactory
from tests.support.wal_workload import RealWal, settings
from tests.wal.test_against_waldump import dump, headers_of, stretch_of
from tests.wal.test_walk_properties import compare

pytestmark = pytest.mark.server

SIZE = 1 << 20
MAJORS = range(OLDEST, NEWEST + 1)
PAGE = 8192


def _copied(sandbox: Sandbox, target: Path) -> RealWal:
    """What is in pg_wal, as it is."""
    target.mkdir()
    target.chmod(0o755)
    for segment in (sandbox.data / "pg_wal").iterdir():
        if NAME.fullmatch(segment.name):
            shutil.copy(segment, target)
            (target / segment.name).chmod(0o644)
    return RealWal(sandbox.binaries, target, SIZE)


def _lose_from(sandbox: Sandbox, position: int) -> None:
    """What the server wrote from a position on never got to the disk."""
    at = position
    while True:
        name = SegmentId.at(Lsn(at), 1, SIZE).name(SIZE)
        path = sandbox.data / "pg_wal" / name
        if not path.exists():
            return
        with path.open("r+b") as segment:
            segment.seek(at % SIZE)
            segment.write(bytes(SIZE - at % SIZE))
        at += SIZE - at % SIZE


def _message(sandbox: Sandbox, length: int) -> Lsn:
    """Write a record of that length; where it begins."""
    (position,) = sandbox.sql("select pg_current_wal_insert_lsn()")
    sandbox.sql(
        f"select pg_logical_emit_message(false, 'm', repeat('x', {length}));"
        "insert into t values (1)"
    )
    return Lsn.parse(position)


@pytest.fixture(params=["newest", *(pytest.param(m, marks=pytest.mark.slow) for m in MAJORS)])
def binaries(request: pytest.FixtureRequest, servers: dict[int, ServerBinaries]) -> ServerBinaries:
    """The newest server; in the long run every one."""
    major = max(servers) if request.param == "newest" else request.param
    if major not in servers:
        pytest.skip(f"there are no binaries of PostgreSQL {major} here")
    return servers[major]


@pytest.fixture
def crashed(sandbox_factory: SandboxFactory, binaries: ServerBinaries) -> Sandbox:
    """A server with segments of 1 MB whose WAL stays where it is."""
    own = settings(binaries.major, "replica") | {"synchronous_commit": "on"}
    sandbox = sandbox_factory(binaries, segment_size_mb=1, settings=own)
    sandbox.sql("create table t (n int)")
    return sandbox


def _losses(start: int) -> list[int]:
    """Where the WAL may end within a record that begins here: on its second page, within its
    segment, with it, within the second, with that, within the third.
    """
    page, segment = start // PAGE * PAGE, start // SIZE * SIZE
    return [
        page + PAGE,
        page + 20 * PAGE,
        segment + SIZE,
        segment + SIZE + 37 * PAGE,
        segment + 2 * SIZE,
        segment + 2 * SIZE + 5 * PAGE,
    ]


@pytest.mark.every_day(1)
def test_records_that_were_overwritten(crashed: Sandbox, request: pytest.FixtureRequest) -> None:
    """The server crashes in the middle of large records, and goes on behind what it has of them."""
    lost = []
    every_day = request.node.get_closest_marker("slow") is None
    for number in (0, 3, 4) if every_day else range(6):
        start = _message(crashed, 5 * SIZE // 2)
        crashed.crash()
        lost.append(_losses(start)[number])
        _lose_from(crashed, lost[-1])
        crashed.start()
        crashed.sql(f"insert into t values ({number})")
    crashed.stop()
    wal = _copied(crashed, crashed.directory / "copy")
    stretch = stretch_of(wal, checked=True)
    assert stretch.why == "end_of_wal"
    walks = {
        name: compare(wal.content(name), wal.start(name), check_crc=False) for name in wal.names
    }
    overwriting = [
        record.lsn // PAGE * PAGE
        for walk in walks.values()
        for record in walk.records
        if (record.rmid, record.info & 0xF0) == (0, 0xD0)
    ]
    assert overwriting == lost
    headers = list(headers_of(stretch))
    assert set(lost) <= {header[0] // PAGE * PAGE for header in headers}
    if wal.binaries.major >= 14:  # older ones may come with tools that do not know of it
        assert headers == [record.header for record in dump(wal, stretch.start)]


def test_the_wal_directory_of_a_crashed_server(
    sandbox_factory: SandboxFactory, binaries: ServerBinaries
) -> None:
    """Behind the end there are segments that were written long ago, under other names."""
    sandbox = sandbox_factory(
        binaries,
        segment_size_mb=1,
        settings={
            "archive_mode": "off",
            "autovacuum": "off",
            "min_wal_size": "12MB",
            "max_wal_size": "12MB",
        },
    )
    sandbox.sql("create table t (n int)")
    for _ in range(4):
        sandbox.sql("insert into t select generate_series(1, 40000); checkpoint;")
    sandbox.sql("insert into t select generate_series(1, 5000)")
    sandbox.crash()
    wal = _copied(sandbox, sandbox.directory / "copy")
    stretch = stretch_of(wal, checked=True)
    dumped = dump(wal, stretch.start)
    assert list(headers_of(stretch)) == [record.header for record in dumped]
    assert stretch.why == "end_of_wal"
    walks = [compare(wal.content(name), wal.start(name), check_crc=False) for name in wal.names]
    recycled = [walk for walk in walks if walk.why == "page" and not walk.blank]
    assert len(recycled) >= 2, "nothing was recycled"


def test_a_segment_within_its_own_wal(crashed: Sandbox) -> None:
    """The records in a copy of WAL in the WAL are none, though they name each other and have the
    right CRCs.
    """
    (name,) = crashed.sql("select pg_walfile_name(pg_current_wal_insert_lsn())")
    crashed.sql("insert into t select generate_series(1, 2000)")
    copy = f"pg_read_binary_file('pg_wal/{name}', 0, 300000)"
    for shift in range(8):
        prefix = "p" * (shift + 1)
        crashed.sql(f"select pg_logical_emit_message(false, '{prefix}', {copy})")
    crashed.sql("create table copies (content bytea)")
    crashed.sql("alter table copies alter column content set storage external")
    crashed.sql(f"insert into copies values ({copy})")
    crashed.stop()
    wal = _copied(crashed, crashed.directory / "copy")
    stretch = stretch_of(wal)
    assert list(headers_of(stretch)) == [record.header for record in dump(wal, stretch.start)]
    for name in wal.names:
        compare(wal.content(name), wal.start(name), check_crc=False)
