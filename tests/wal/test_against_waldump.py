"""Everything that is read of WAL, against what the server's own pg_waldump says of it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest

from pgrescue.demo.account import server_account, tool_environment
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import NEWEST, OLDEST
from pgrescue.wal import events
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.record import RelFileLocator, parse_record
from pgrescue.wal.records import XACT
from pgrescue.wal.stretch import Stretch, read_stretch
from pgrescue.wal.transactions import TransactionEnd, moment_of, parse_transaction_end
from pgrescue.wal.walk import SegmentWalk
from tests.support.naive_wal import walk_segment
from tests.support.segment_bytes import SegmentBytes
from tests.support.wal_workload import RealWal
from tests.wal.conftest import WalOf

pytestmark = pytest.mark.server

# fmt: off
MANAGERS = (
    "XLOG", "Transaction", "Storage", "CLOG", "Database", "Tablespace", "MultiXact", "RelMap",
    "Standby", "Heap2", "Heap", "Btree", "Hash", "Gin", "Gist", "Sequence", "SPGist", "BRIN",
    "CommitTs", "ReplicationOrigin", "Generic", "LogicalMessage",
)
# fmt: on
_LINE = re.compile(
    r"rmgr: (\S+)\s+len \(rec/tot\):\s*\d+/\s*(\d+), tx:\s*(\d+), lsn: ([0-9A-F/]+), "
    r"prev ([0-9A-F/]+), desc: (.*)"
)
_TIME = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{6}) UTC")
_CHECKPOINT = re.compile(r"redo (\S+?); tli (\d+); prev tli (\d+);.*? xid (\d+):(\d+);.* (\w+)$")

Header = tuple[Lsn, int, int, Lsn, str]
"""LSN, length, xid, prev, resource manager."""


@dataclass(frozen=True, slots=True)
class Dumped:
    """A record as pg_waldump prints it."""

    header: Header
    text: str

    @property
    def lsn(self) -> Lsn:
        """Where it begins."""
        return self.header[0]

    @property
    def is_end(self) -> bool:
        """Whether it commits or aborts a transaction."""
        words = ("COMMIT", "ABORT")
        return self.header[4] == "Transaction" and self.text.startswith(words)


@dataclass(frozen=True, slots=True)
class Both:
    """The same WAL, read by pgrescue and by pg_waldump."""

    wal: RealWal
    stretch: Stretch
    dumped: Sequence[Dumped]


def dump(wal: RealWal, start: Lsn) -> list[Dumped]:
    """All records from a position on."""
    account = server_account()
    argv = [wal.binaries.program("pg_waldump"), "-p", str(wal.directory), "-s", str(start)]
    completed = subprocess.run(
        argv,
        cwd="/",
        env=tool_environment(account) | {"TZ": "UTC"},
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,  # it fails at the end of the WAL
        **account.spawn_arguments(),
    )
    found = []
    for line in completed.stdout.splitlines():
        parts = _LINE.match(line)
        assert parts is not None, line
        manager, total, xid, lsn, prev, text = parts.groups()
        header = (Lsn.parse(lsn), int(total), int(xid), Lsn.parse(prev), manager)
        found.append(Dumped(header, text.strip()))
    assert found, completed.stderr
    return found


def stretch_of(wal: RealWal, *, checked: bool = False) -> Stretch:
    """All of it, as far as it goes."""
    index = WalIndex(IndexStore(None), workers=0)
    refs = wal.refs()
    stretch = read_stretch(index, refs, index.summary(refs[0]).first, checked=checked)
    assert stretch is not None
    return stretch


def headers_of(stretch: Stretch) -> Iterator[Header]:
    """What is told of every record of a stretch."""
    for number in range(len(stretch.pieces)):
        for batch in stretch.records_of(number):
            prevs = (batch.word(3).astype("u8") << 32 | batch.word(2)).tolist()
            managers = [MANAGERS[kind >> 8] for kind in batch.kinds.tolist()]
            yield from zip(
                map(Lsn, batch.positions.tolist()),
                batch.lengths.tolist(),
                batch.xids.tolist(),
                map(Lsn, prevs),
                managers,
                strict=True,
            )


def ends_of(stretch: Stretch) -> dict[Lsn, TransactionEnd]:
    """Every commit and abort of a stretch."""
    found = {}
    for number in range(len(stretch.pieces)):
        for batch in stretch.records_of(number):
            for index, kind in enumerate(batch.kinds.tolist()):
                if kind >> 8 != XACT:
                    continue
                position = Lsn(batch.positions[index])
                record = parse_record(batch.bytes_of(index), position, stretch.major)
                assert record is not None
                end = parse_transaction_end(record, kind & 0xFF, stretch.major)
                if end is not None:
                    found[position] = end
    return found


@pytest.fixture(scope="module", params=[(major, 1) for major in range(OLDEST, NEWEST + 1)])
def both(request: pytest.FixtureRequest, wal_of: WalOf) -> Both:
    """WAL of every major there is, in segments of 1 MB."""
    return _both(wal_of(*request.param))


@pytest.fixture(scope="module")
def large(wal_of: WalOf, servers: dict[int, ServerBinaries]) -> Both:
    """The same work in segments of the usual size."""
    return _both(wal_of(min(servers), 16))


def _both(wal: RealWal) -> Both:
    stretch = stretch_of(wal)
    return Both(wal, stretch, dump(wal, stretch.start))


def test_every_record(both: Both) -> None:
    assert list(headers_of(both.stretch)) == [record.header for record in both.dumped]
    assert both.stretch.why == "end_of_wal"
    assert both.stretch.segment == both.wal.names[-1]


def test_every_record_with_crcs_compared(both: Both) -> None:
    checked = stretch_of(both.wal, checked=True)
    assert [(piece.start, piece.end) for piece in checked.pieces] == [
        (piece.start, piece.end) for piece in both.stretch.pieces
    ]


def test_record_counts_of_summaries(both: Both) -> None:
    index = WalIndex(IndexStore(None), workers=0)
    summaries = index.summaries(both.wal.refs())
    crossing = [piece for piece in both.stretch.pieces if piece.crossing is not None]
    assert sum(summary.records for summary in summaries) + len(crossing) == len(both.dumped)
    kinds = {summary.end_kind for summary in summaries[:-1]}
    assert kinds == {"whole", "switched"}


def test_the_work_reaches_every_seam(both: Both) -> None:
    """The workload is worth something: commits are cut at every place, messages fill segments."""
    crossing = [piece for piece in both.stretch.pieces if piece.crossing is not None]
    commits = [piece for piece in crossing if piece.found.commits.count]
    size = both.stretch.segment_size
    left = sorted(-piece.start % size for piece in commits)
    assert left[:4] == [8, 16, 24, 32]
    assert max(len(piece.crossing or b"") for piece in commits) > 8192
    if size == 1 << 20:
        assert max(len(piece.crossing or b"") for piece in crossing) > 3 << 20
        index = WalIndex(IndexStore(None), workers=0)
        assert any(summary.passes_through for summary in index.summaries(both.wal.refs()))
    assert any(piece.end % size == 0 for piece in both.stretch.pieces)


def test_every_end_of_a_transaction(both: Both) -> None:
    _compare_ends(both)


@pytest.mark.slow
def test_segments_of_the_usual_size(large: Both) -> None:
    assert list(headers_of(large.stretch)) == [record.header for record in large.dumped]
    _compare_ends(large)
    test_restore_points_and_checkpoints(large)
    test_the_work_reaches_every_seam(large)


def _compare_ends(both: Both) -> None:
    ends = ends_of(both.stretch)
    dumped = [record for record in both.dumped if record.is_end]
    assert list(ends) == [record.lsn for record in dumped]
    for record in dumped:
        _compare_end(ends[record.lsn], record)
    assert any(end.files for end in ends.values())
    assert max(len(end.subxids) for end in ends.values()) >= 2500
    dropped = any(end.dropped_relations for end in ends.values())
    assert dropped == (both.stretch.major >= 15)
    commits = [record for record in dumped if record.text.startswith("COMMIT")]
    assert both.stretch.commits == len(commits)
    assert {"COMMIT_PREPARED", "ABORT_PREPARED", "COMMIT", "ABORT"} == {
        record.text.split()[0] for record in dumped
    }
    for number, piece in enumerate(both.stretch.pieces):
        inside = [record for record in dumped if piece.start <= record.lsn < piece.end]
        assert both.stretch.ends_of(number).positions.tolist() == [item.lsn for item in inside]
        mine = [(ends[item.lsn].time, ends[item.lsn].xid) for item in inside]
        rows = both.stretch.ends_of(number)
        assert list(zip(rows.times.tolist(), rows.xids.tolist(), strict=True)) == mine
        chosen = [ends[item.lsn] for item in inside if item.text.startswith("COMMIT")]
        counted = piece.found.commits
        assert counted.count == len(chosen)
        if chosen:
            assert counted.min_time == min(end.time for end in chosen)
            assert counted.max_time == max(end.time for end in chosen)
            assert counted.min_xid == min(end.xid for end in chosen)
            assert counted.max_xid == max(end.xid for end in chosen)


def _compare_end(end: TransactionEnd, record: Dumped) -> None:
    text, prepared = record.text, "_PREPARED" in record.text.split()[0]
    time = _TIME.search(text)
    assert time is not None
    stated = datetime.strptime(time[1], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert moment_of(end.time) == stated
    assert end.outcome == text.split("_")[0].split()[0].lower()
    xid = record.header[2]
    if prepared:
        xid = int(text.split()[1].rstrip(":"))
    assert end.xid == xid
    assert [str(xid) for xid in end.subxids] == _listed(text, "subxacts")
    assert [_path_of(file) for file in end.files] == [
        re.sub(r"/PG_\w+/", "/", path) for path in _listed(text, "rels")
    ]
    dropped = [item.split("/") for item in _listed(text, "dropped stats")]
    assert [str(oid) for oid in end.dropped_relations] == [
        oid for kind, _, oid in dropped if kind == "2"
    ]


def _listed(text: str, label: str) -> list[str]:
    found = re.search(rf"; {label}:((?: [^ ;]+)+)", text)
    return found[1].split() if found else []


def _path_of(file: RelFileLocator) -> str:
    if file.tablespace == 1664:
        return f"global/{file.filenode}"
    if file.tablespace == 1663:
        return f"base/{file.database}/{file.filenode}"
    return f"pg_tblspc/{file.tablespace}/{file.database}/{file.filenode}"


def test_restore_points_and_checkpoints(both: Both) -> None:
    points, checkpoints = [], []
    for record in both.dumped:
        word, _, rest = record.text.partition(" ")
        if word == "RESTORE_POINT":
            points.append((record.lsn, rest))
        if word in ("CHECKPOINT_ONLINE", "CHECKPOINT_SHUTDOWN"):
            parts = _CHECKPOINT.match(rest)
            assert parts is not None, rest
            redo, timeline, previous, epoch, xid, how = parts.groups()
            next_xid = int(epoch) << 32 | int(xid)
            checkpoint = (Lsn.parse(redo), int(timeline), int(previous), next_xid)
            checkpoints.append((record.lsn, *checkpoint, how == "shutdown"))
    found = list(both.stretch.events())
    assert len(points) == 3
    assert points == [
        (event.position, event.name) for event in found if isinstance(event, events.RestorePoint)
    ]
    assert checkpoints == [
        (
            event.position,
            event.redo,
            event.timeline,
            event.previous_timeline,
            event.next_xid,
            event.shutdown,
        )
        for event in found
        if isinstance(event, events.Checkpoint)
    ]


def test_the_naive_reader_agrees(both: Both) -> None:
    """What tests compare with elsewhere is right itself."""
    wal = both.wal
    dumped = {record.lsn: record.header for record in both.dumped}
    for name in wal.names:
        walk = walk_segment(wal.content(name), wal.start(name), wal.timeline, check_crc=False)
        for record in walk.records:
            header = (record.total, record.xid, record.prev, MANAGERS[record.rmid])
            assert dumped[Lsn(record.lsn)][1:] == header
        fast = SegmentWalk(SegmentBytes(wal.content(name)), wal.start(name), wal.timeline)
        assert [Lsn(record.lsn) for record in walk.records] == [
            Lsn(position) for batch in fast.batches() for position in batch.positions
        ]
