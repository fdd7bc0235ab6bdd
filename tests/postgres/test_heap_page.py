"""Heap pages, relation maps and the commit log: as a server wrote them, and damaged."""

from __future__ import annotations

import random
import struct

import crc32c
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.errors import InvalidFormat
from pgrescue.postgres.commit_log import CommitLog
from pgrescue.postgres.heap_page import PAGE_SIZE, HeapTuple, heap_tuples, page_tuples
from pgrescue.postgres.relation_map import parse_relation_map
from pgrescue.postgres.system_catalogs import NamedRow
from pgrescue.postgres.visibility import State, newest_versions, state_of
from tests.conftest import SandboxFactory

EMPTY = CommitLog({})


@pytest.mark.server
def test_tuples_are_those_of_the_server(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1)
    sandbox.sql("create table t as select n, null::int as x from generate_series(1, 1000) n")
    sandbox.sql("create table empty (n int)")
    sandbox.sql("begin; delete from t where n % 3 = 0; rollback; delete from t where n % 5 = 0")
    sandbox.sql("set synchronous_commit to on; begin; select 1 from t for update; rollback;")
    expected = sandbox.sql("select ctid, xmin, n from t order by n")
    (path,) = sandbox.sql("select pg_relation_filepath('t')")
    (empty,) = sandbox.sql("select pg_relation_filepath('empty')")
    (map_count,) = sandbox.sql(
        "select count(*) from pg_class"
        " where relfilenode = 0 and relkind in ('r', 'i', 't') and not relisshared"
    )
    (pg_proc,) = sandbox.sql("select pg_relation_filenode('pg_proc')")
    sandbox.stop()
    pages = (sandbox.data / path).read_bytes()
    directory = sandbox.data / "pg_xact"
    log = CommitLog({file.name: file.read_bytes() for file in directory.iterdir()})
    found = [
        f"({number},{found.number})|{found.xmin}|{struct.unpack_from('<i', found.data)[0]}"
        for number in range(len(pages) // PAGE_SIZE)
        for found in page_tuples(pages[number * PAGE_SIZE : (number + 1) * PAGE_SIZE])
        if state_of(found, log) == State.LIVE
    ]
    assert found == expected
    assert list(heap_tuples((sandbox.data / empty).read_bytes())) == []
    filenodes = parse_relation_map((sandbox.data / path).with_name("pg_filenode.map").read_bytes())
    assert len(filenodes) == int(map_count)
    assert filenodes[1255] == int(pg_proc)


def _page(*tuples: bytes) -> bytes:
    """A page as `PageInit` and `PageAddItem` make it."""
    page = bytearray(PAGE_SIZE)
    upper = PAGE_SIZE
    for index, data in enumerate(tuples):
        upper -= -(-len(data) // 8) * 8
        page[upper : upper + len(data)] = data
        struct.pack_into("<I", page, 24 + 4 * index, upper | 1 << 15 | len(data) << 17)
    lower = 24 + 4 * len(tuples)
    struct.pack_into("<HHHH", page, 12, lower, upper, PAGE_SIZE, PAGE_SIZE | 4)
    return bytes(page)


def _tuple(xmin: int, xmax: int, infomask: int, data: bytes) -> bytes:
    return struct.pack("<II12xHBx", xmin, xmax, infomask, 24) + data


def test_zeroed_and_short_pages_have_no_tuples() -> None:
    good = _page(_tuple(5, 0, 0, b"one"), _tuple(6, 7, 0x100, b"two"))
    assert [(found.number, found.data) for found in page_tuples(good)] == [(1, b"one"), (2, b"two")]
    assert len(list(heap_tuples(bytes(PAGE_SIZE) + good + good[:100]))) == 2
    assert list(page_tuples(good[:-1])) == []
    assert list(heap_tuples(b"")) == []


@settings(max_examples=50, deadline=None)
@given(st.randoms(use_true_random=False), st.integers(1, 400))
def test_damaged_pages_never_raise(chance: random.Random, changes: int) -> None:
    page = bytearray(_page(*(_tuple(n, n, n * 97 & 0xFFFF, b"x" * n) for n in range(1, 60))))
    for _ in range(changes):
        page[chance.choice((chance.randrange(300), chance.randrange(PAGE_SIZE)))] = (
            chance.randrange(256)
        )
    for found in page_tuples(bytes(page)):
        assert state_of(found, EMPTY) in State
        assert len(found.data) < PAGE_SIZE


def test_random_pages_never_raise() -> None:
    chance = random.Random(7)
    for _ in range(100):
        page = bytearray(chance.randbytes(PAGE_SIZE))
        page[12:20] = struct.pack("<HHHH", 24 + chance.randrange(4000), 5000, PAGE_SIZE, 0x2004)
        list(page_tuples(bytes(page)))


STATUSES = {4: "in progress", 5: "committed", 6: "aborted", 7: "unknown"}


def test_the_commit_log_holds_two_bits_for_each_transaction() -> None:
    log = CommitLog({"0000": b"\0\xe4" + bytes(10), "0002": b"\x55", "note.txt": b"", "0x": b""})
    assert {xid: log.status(xid) for xid in STATUSES} == STATUSES
    assert log.status(2 << 20 | 3) == "committed"
    assert log.status(2 << 20 | 4) == "unknown"  # beyond the end of the file
    assert log.status(1 << 20) == "unknown"  # in a file that is not there
    assert [log.status(xid) for xid in (0, 1, 2)] == ["unknown", "committed", "committed"]


COMMITTED, ABORTED, RUNNING, UNKNOWN = 5, 6, 4, 1 << 20
LOG = CommitLog({"0000": b"\0\xe4"})


@pytest.mark.parametrize(
    ("xmin", "xmax", "infomask", "state"),
    [
        (COMMITTED, 0, 0, State.LIVE),
        (COMMITTED, COMMITTED, 0, State.DELETED),
        (COMMITTED, ABORTED, 0, State.LIVE),
        (COMMITTED, RUNNING, 0, State.LIVE),
        (COMMITTED, UNKNOWN, 0, State.UNCERTAIN),
        (COMMITTED, COMMITTED, 0x0800, State.LIVE),  # HEAP_XMAX_INVALID
        (COMMITTED, COMMITTED, 0x0080, State.LIVE),  # only locked
        (COMMITTED, COMMITTED, 0x0040, State.LIVE),  # only locked, as before 9.3
        (COMMITTED, UNKNOWN, 0x0400, State.DELETED),  # HEAP_XMAX_COMMITTED
        (COMMITTED, 17, 0x1000, State.UNCERTAIN),  # a multixact that may hold an updater
        (COMMITTED, 17, 0x1080, State.LIVE),  # a multixact of lockers
        (ABORTED, 0, 0, State.NEVER),
        (RUNNING, 0, 0, State.UNCERTAIN),
        (UNKNOWN, 0, 0, State.UNCERTAIN),
        (UNKNOWN, 0, 0x0100, State.LIVE),  # HEAP_XMIN_COMMITTED
        (UNKNOWN, 0, 0x0200, State.NEVER),  # HEAP_XMIN_INVALID
        (UNKNOWN, 0, 0x0300, State.LIVE),  # frozen
        (2, 0, 0, State.LIVE),
    ],
)
def test_a_version_lives_as_its_transactions_ended(
    xmin: int, xmax: int, infomask: int, state: State
) -> None:
    assert state_of(HeapTuple(1, xmin, xmax, infomask, b""), LOG) == state


def _newest(*versions: tuple[int, int, str]) -> tuple[str, State]:
    """Of versions of one row: xmin, infomask, name."""
    tuples = [HeapTuple(1, xmin, 0, infomask, name.encode()) for xmin, infomask, name in versions]
    (best,) = newest_versions(tuples, LOG, lambda data: NamedRow(1, data.decode())).values()
    return best.row.name, best.state


def test_a_live_version_counts_more_than_a_newer_one() -> None:
    assert _newest((COMMITTED, 0, "live"), (ABORTED, 0, "never")) == ("live", State.LIVE)
    assert _newest((RUNNING, 0, "perhaps"), (ABORTED, 0, "never")) == ("perhaps", State.UNCERTAIN)


def test_of_equals_the_newer_counts_also_when_transaction_ids_went_round() -> None:
    assert _newest((900, 0x100, "old"), (1000, 0x100, "new"))[0] == "new"
    assert _newest((1000, 0x100, "new"), (900, 0x100, "old"))[0] == "new"
    assert _newest((0xFFFFFFF0, 0x100, "old"), (100, 0x100, "new"))[0] == "new"
    assert _newest((100, 0x100, "new"), (0xFFFFFFF0, 0x300, "frozen"))[0] == "new"


def _map(size: int, room: int, entries: dict[int, int]) -> bytes:
    head = struct.pack("<ii", 0x592717, len(entries))
    body = b"".join(struct.pack("<II", *entry) for entry in entries.items())
    content = (head + body).ljust(8 + room * 8, b"\0")
    return (content + struct.pack("<I", crc32c.crc32c(content))).ljust(size, b"\0")


@pytest.mark.parametrize(("size", "room"), [(512, 62), (524, 64)])
def test_a_relation_map_of_either_size_is_read_and_damage_noticed(size: int, room: int) -> None:
    entries = {oid: oid + 1 for oid in range(1000, 1000 + room)}
    data = _map(size, room, entries)
    assert parse_relation_map(data) == entries
    for bad in (data[:-1], b"", data[:9] + b"\xff" + data[10:], bytes(size)):
        with pytest.raises(InvalidFormat):
            parse_relation_map(bad)
