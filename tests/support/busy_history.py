"""A busy cluster's archive with every kind of transaction, and the truth about it.

The work is random, the truth is not computed but read: from pg_waldump, from the history files and
from what the clients saw. Every transaction that writes also inserts its own number into `done`,
so that a recovered server shows exactly which of them it has.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import psycopg

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.archiving import archive_command
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_work import Numbers, Trace, Worker, fresh_numbers, prepare_tables
from tests.support.cluster import Workspace
from tests.support.recovery import Bench
from tests.support.waldump import (
    Ending,
    Record,
    RestorePoint,
    endings,
    read_records,
    restore_points,
)

SETTINGS = {
    "max_prepared_transactions": "20",
    "wal_writer_delay": "10ms",
    "checkpoint_timeout": "30s",
    "autovacuum": "off",
}
SEGMENT_SIZE = 1 << 20
SEGMENTS_AFTER_THE_BACKUP = 8
"""What the first timeline has at least behind its last backup."""
_FORK_ORIGINS = (1, 2, 1, 3)
"""The timeline on which each fork begins."""
_HISTORY_LINE = re.compile(r"(\d+)\t([0-9A-F]+/[0-9A-F]+)\t(.*)")
_BACKUP_LINE = re.compile(r"(START|STOP) WAL LOCATION: ([0-9A-F]+/[0-9A-F]+)")


@dataclass(frozen=True, slots=True)
class BackupTruth:
    """A base backup and the WAL that it needs to be consistent."""

    name: str
    path: Path
    timeline: int
    start_lsn: Lsn
    stop_lsn: Lsn


@dataclass(frozen=True, slots=True)
class TimelineTruth:
    """What lies on one timeline itself: from its fork to the end of what has been archived."""

    id: int
    parent: int | None
    forked_at: Lsn | None
    reason: str | None
    records: Sequence[Record] = field(repr=False)
    endings: Sequence[Ending] = field(repr=False)
    restore_points: Sequence[RestorePoint] = field(repr=False)


@dataclass(slots=True)
class BusyHistory:
    """An archive with one or more timelines, backups in it, and what is true about them."""

    sandbox: Sandbox
    bench: Bench
    backups: list[BackupTruth] = field(default_factory=list)
    timelines: dict[int, TimelineTruth] = field(default_factory=dict)
    traces: dict[int, Trace] = field(default_factory=dict)
    """By timeline: what the clients did while it was the current one."""

    @property
    def archive(self) -> Path:
        """Where the WAL of all timelines is."""
        return self.sandbox.wal

    def ancestry(self, timeline: int) -> list[tuple[int, Lsn | None, Lsn | None]]:
        """The parts of a timeline's history, oldest first: its id, where it begins and ends."""
        parts: list[tuple[int, Lsn | None, Lsn | None]] = []
        end: Lsn | None = None
        current: int | None = timeline
        while current is not None:
            truth = self.timelines[current]
            parts.append((current, truth.forked_at, end))
            current, end = truth.parent, truth.forked_at
        return parts[::-1]

    def records(self, timeline: int) -> list[Record]:
        """Every record that recovery along this timeline replays, in order."""
        return [
            record
            for part, _, end in self.ancestry(timeline)
            for record in self.timelines[part].records
            if end is None or record.lsn < end
        ]

    def endings(self, timeline: int) -> list[Ending]:
        """Every commit and abort along this timeline, in WAL order."""
        return endings(self.records(timeline))

    def restore_points(self, timeline: int) -> list[RestorePoint]:
        """Every restore point along this timeline, in WAL order."""
        return restore_points(self.records(timeline))

    def backups_for(self, timeline: int) -> list[BackupTruth]:
        """The backups that lie on this timeline's history, before its forks."""
        ends = {part: end for part, _, end in self.ancestry(timeline)}
        return [
            backup
            for backup in self.backups
            if backup.timeline in ends
            and ((end := ends[backup.timeline]) is None or backup.stop_lsn <= end)
        ]

    def backup(self, name: str) -> BackupTruth:
        """The backup of that name."""
        return next(backup for backup in self.backups if backup.name == name)

    def ids(self, timeline: int, before: Lsn | None = None) -> set[int]:
        """The rows of `done` that recovery shows, if the records before this LSN are replayed."""
        visible = set()
        for ending in self.endings(timeline):
            if ending.is_commit and (before is None or ending.lsn < before):
                visible |= self.ids_of(ending, timeline)
        return visible

    def ids_of(self, ending: Ending, timeline: int) -> set[int]:
        """The row of `done` that a transaction inserted, if any.

        Timelines give out the same xids after a fork; a transaction prepared before it may end
        after it.
        """
        parts = [part for part, _, _ in self.ancestry(timeline) if part <= ending.timeline]
        for part in reversed(parts if ending.is_prepared else parts[-1:]):
            if ending.xid in self.traces[part].ids:
                return {self.traces[part].ids[ending.xid]}
        return set()

    def trace(self, timeline: int) -> Trace:
        """What the clients did, along this timeline's history."""
        merged = Trace()
        for part, _, _ in self.ancestry(timeline):
            merged.absorb(self.traces[part])
        return merged

    def destroy(self) -> None:
        """Give back what its recoveries use; the cluster is its workspace's."""
        self.bench.destroy()

    def time_inversions(self, timeline: int) -> int:
        """How often a commit or abort is earlier than the one before it in the WAL."""
        times = [ending.time for ending in self.endings(timeline)]
        return sum(later < earlier for earlier, later in pairwise(times))

    def visible(self, conninfo: str) -> set[int]:
        """The rows of `done` that a server shows; never waits for locks."""
        with psycopg.connect(conninfo, autocommit=True) as connection:
            connection.execute("set lock_timeout = '5s'")
            return {row[0] for row in connection.execute("select id from done")}


def make_history(
    workspace: Workspace,
    binaries: ServerBinaries,
    *,
    seed: int = 1,
    seconds: float = 1.5,
    workers: int = 5,
    forks: int = 2,
    name: str = "busy",
) -> BusyHistory:
    """A history of a few busy seconds, with `forks` further timelines; nothing runs at its end.

    Its backups are `none` and `stream` at the beginning, `middle` in the midst of the work, all on
    timeline 1 and packed, and `child` (plain) on timeline 2 if there is one. Call `destroy` when
    done with it.
    """
    sandbox = workspace.sandbox(binaries, name)
    sandbox.init(1, settings=SETTINGS)
    sandbox.start()
    bench = Bench(sandbox.account, binaries, sandbox.wal)
    history = BusyHistory(sandbox, bench)
    try:
        _make(history, seed, seconds, workers, forks)
    except BaseException:
        history.destroy()
        raise
    return history


def _make(history: BusyHistory, seed: int, seconds: float, workers: int, forks: int) -> None:
    sandbox = history.sandbox
    numbers = fresh_numbers()
    prepare_tables(sandbox.conninfo())
    _pack(history, "none", "-X", "none")
    _pack(history, "stream", "-X", "stream")
    with _busy(history, 1, sandbox.conninfo(), numbers, seed, workers) as busy:
        time.sleep(seconds / 3)
        _pack(history, "middle", "-X", "stream")
        sandbox.sql("select txid_current()")  # the next commit of the others may be far away
        time.sleep(seconds * 2 / 3)
        # However slow the machine is today: the forks and the tests need segments to choose from.
        enough = Lsn(history.backup("middle").stop_lsn + SEGMENTS_AFTER_THE_BACKUP * SEGMENT_SIZE)
        wait_until(lambda: _written(sandbox) >= enough, f"work up to {enough}")
        # Most of it may be of a single transaction: a fork needs commits to choose from, too.
        for _ in range(20):
            sandbox.sql("select txid_current()")
    _finish(history, busy, sandbox.conninfo(), 1)
    # With a transaction in the midst of its work, and some that are only prepared.
    sandbox.stop("immediate")
    read_truth(history, 1)
    for number in range(forks):
        _fork(history, numbers, seed, number, seconds / 2, workers)


def _written(sandbox: Sandbox) -> Lsn:
    """How far a running server has written."""
    (lsn,) = sandbox.sql("select pg_current_wal_lsn()")
    return Lsn.parse(lsn)


def read_truth(history: BusyHistory, timeline: int) -> None:
    """Read what has been archived of a timeline."""
    parent, forked_at, reason = _fork_of(history.archive, timeline)
    pattern = re.compile(f"{timeline:08X}" + "[0-9A-F]{16}")
    names = sorted(path.name for path in history.archive.iterdir() if pattern.fullmatch(path.name))
    start = segment_start(names[0]) if forked_at is None else forked_at
    end = Lsn(segment_start(names[-1]) + SEGMENT_SIZE)
    sandbox = history.sandbox
    records = read_records(sandbox.account, sandbox.binaries, history.archive, timeline, start, end)
    history.timelines[timeline] = TimelineTruth(
        timeline, parent, forked_at, reason, records, endings(records), restore_points(records)
    )


def segment_start(name: str) -> Lsn:
    """Where a segment begins, by its name."""
    return Lsn((int(name[8:16], 16) << 32) + int(name[16:], 16) * SEGMENT_SIZE)


def _fork_of(archive: Path, timeline: int) -> tuple[int | None, Lsn | None, str | None]:
    if timeline == 1:
        return None, None, None
    found = _HISTORY_LINE.findall((archive / f"{timeline:08X}.history").read_text())
    parent, lsn, reason = found[-1]
    return int(parent), Lsn.parse(lsn), reason


def _pack(history: BusyHistory, name: str, *options: str) -> None:
    path = history.sandbox.base_backup(name, "-Ft", "-Z", "1", "-l", name, *options)
    _note_backup(history, name, path, 1)


def _note_backup(history: BusyHistory, name: str, path: Path, timeline: int) -> None:
    """Keep a backup's LSNs, from the file that the server archives for each."""

    def written() -> Mapping[str, str] | None:
        for file in history.archive.glob(f"{timeline:08X}*.backup"):
            text = file.read_text()
            if f"LABEL: {name}\n" in text:
                return dict(_BACKUP_LINE.findall(text))
        return None

    wait_until(lambda: written() is not None, f"the archiving of the backup {name}")
    lsns = written() or {}
    history.backups.append(
        BackupTruth(name, path, timeline, Lsn.parse(lsns["START"]), Lsn.parse(lsns["STOP"]))
    )


@contextmanager
def _busy(
    history: BusyHistory, timeline: int, conninfo: str, numbers: Numbers, seed: int, count: int
) -> Iterator[list[Worker]]:
    """Workers that are at work until the block ends, and idle connections after it."""
    trace = history.traces.setdefault(timeline, Trace())
    workers = [
        Worker(conninfo, trace, numbers, seed * 10000 + timeline * 100 + number)
        for number in range(count)
    ]
    end = threading.Event()
    threads = [threading.Thread(target=worker.work_until, args=(end,)) for worker in workers]
    for thread in threads:
        thread.start()
    try:
        yield workers
    finally:
        end.set()
        for thread in threads:
            thread.join()
    for worker in workers:
        if worker.failure is not None:
            raise worker.failure


def _fork(
    history: BusyHistory, numbers: Numbers, seed: int, number: int, seconds: float, workers: int
) -> None:
    """Recover to a point in the midst of a timeline, promote, and work on there."""
    origin = _FORK_ORIGINS[number % len(_FORK_ORIGINS)]
    target = _fork_target(history, origin, number)
    archiving = {
        "archive_mode": "on",
        "archive_command": archive_command(str(history.archive)),
        "recovery_target_timeline": str(origin),
    }
    backup = history.backups_for(origin)[-1]
    server = history.bench.start(backup.path, archiving | target, action="promote")
    try:
        assert server.reached is not None
        timeline = server.reached.new_timeline
        assert timeline is not None, server.reached.log
        conninfo = server.conninfo()
        with _busy(history, timeline, conninfo, numbers, seed, workers) as busy:
            time.sleep(seconds / 2)
            if number == 0:
                _back_up_child(history, conninfo, timeline)
            time.sleep(seconds / 2)
        _finish(history, busy, conninfo, timeline)
    finally:
        server.remove()
    read_truth(history, timeline)


def _fork_target(history: BusyHistory, origin: int, number: int) -> dict[str, str]:
    """Somewhere in the middle, after every backup that is on that timeline."""
    after = max(backup.stop_lsn for backup in history.backups if backup.timeline <= origin)
    commits = [
        ending
        for ending in history.timelines[origin].endings
        if ending.is_commit and ending.lsn > after and not _prepared_nearby(history, ending)
    ]
    chosen = commits[len(commits) * 2 // 3]
    if origin == 1:
        # Whole segments lie before it and behind it: where commits are dense differs every time.
        middle = after + SEGMENTS_AFTER_THE_BACKUP // 2 * SEGMENT_SIZE
        chosen = next((ending for ending in commits if ending.lsn >= middle), chosen)
    # Exclusive: an inclusive time would stop at the next ending, where more may be prepared.
    before = {"recovery_target_inclusive": "off"}
    match number % 3:
        case 0:
            return {"recovery_target_time": chosen.time.isoformat(" ")} | before
        case 1:
            return {"recovery_target_xid": str(chosen.xid)} | before
        case _:
            return {"recovery_target_lsn": str(chosen.lsn)}


def _prepared_nearby(history: BusyHistory, ending: Ending) -> bool:
    """Whether a transaction prepared in this segment is open when the other one ends.

    Were the fork here, no server could recover past it: at the new timeline's first checkpoint it
    looks for the PREPARE record in the parent's segment, but has fetched the child's of that
    number ("requested WAL segment ... has already been removed").
    """
    timeline = history.timelines[ending.timeline]
    segment = Lsn(ending.lsn - ending.lsn % SEGMENT_SIZE)
    open_now = set()
    for record in timeline.records:
        if segment <= record.lsn <= ending.lsn and record.operation == "PREPARE":
            open_now.add(record.xid)
    over = {other.xid for other in timeline.endings if other.lsn < ending.lsn}
    return bool(open_now - over - {ending.xid})


def _back_up_child(history: BusyHistory, conninfo: str, timeline: int) -> None:
    sandbox = history.sandbox
    path = sandbox.backups / "child"
    argv = (sandbox.binaries.program("pg_basebackup"), "-d", conninfo, "-D", str(path))
    run_tool(sandbox.account, (*argv, "-c", "fast", "-l", "child"), cwd=Path("/"))
    _note_backup(history, "child", path, timeline)


def _finish(history: BusyHistory, workers: list[Worker], conninfo: str, timeline: int) -> None:
    """Leave a transaction open, have the last segment archived, and let go of the server."""
    history.traces[timeline].unfinished.add(workers[0].begin_and_leave())
    # One byte back: with nothing to switch it is the next segment's first position.
    (switched,) = history.sandbox.sql_at(conninfo, "select pg_switch_wal()")
    query = f"select pg_walfile_name('{Lsn(Lsn.parse(switched) - 1)}')"
    (name,) = history.sandbox.sql_at(conninfo, query)
    wait_until((history.archive / name).exists, f"the archiving of {name}")
    for worker in workers:
        worker.close()
