"""Summaries that are kept, made by other processes, and joined: they cost time or save it, and
are never wrong.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest

from pgrescue.demo.account import server_account
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal import index as index_module
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.index_store import IndexStore, decode_summary, encode_summary
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.stretch import read_stretch
from pgrescue.wal.summarize import summarize
from pgrescue.wal.summary import SegmentSummary
from pgrescue.wal.worker import Task, Worker, WorkerLost
from tests.support.naive_wal import walk_segment
from tests.support.segment_bytes import SegmentBytes
from tests.support.wal_workload import RealWal

pytestmark = pytest.mark.server

SIZE = 1 << 20
WORKER = b"from pgrescue.wal.worker import"


@pytest.fixture
def wal(real_wal: RealWal, tmp_path: Path) -> RealWal:
    """A copy that a test may change."""
    target = tmp_path / "wal"
    shutil.copytree(real_wal.directory, target)
    return RealWal(real_wal.binaries, target, real_wal.segment_size)


@pytest.fixture
def many(wal: RealWal) -> list[SegmentRef]:
    """So many segments that it is worth starting workers."""
    refs = wal.refs()
    for turn in range(60 // len(refs)):
        for name in wal.names[: len(refs)]:
            copy = wal.directory / f"copy-{turn}-{name}"
            os.link(wal.directory / name, copy)
            refs.append(SegmentRef(copy.name, 1, wal.start(name), SegmentFile(str(copy))))
    return refs


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Paths of the segments that this process walks."""
    found: list[str | None] = []
    real = index_module._summarize

    def counting(ref: SegmentRef, checked: bool) -> SegmentSummary:
        found.append(ref.path)
        return real(ref, checked)

    monkeypatch.setattr(index_module, "_summarize", counting)
    return found


def truth(refs: list[SegmentRef], *, checked: bool = False) -> list[SegmentSummary]:
    """What there is to say of them, found without an index."""
    return [summarize(ref.source, ref.start, ref.timeline, check_crc=checked) for ref in refs]


def fresh(path: Path | None, workers: int = 0) -> WalIndex:
    """As a new process has it."""
    return WalIndex(IndexStore(path), workers=workers)


# ---- what is kept


def test_what_was_read_is_not_read_again(
    wal: RealWal, tmp_path: Path, reads: list[str | None]
) -> None:
    store, refs = tmp_path / "index", wal.refs()
    expected = truth(refs)
    assert fresh(store).summaries(refs) == expected
    assert len(reads) == len(refs)
    index = fresh(store)
    assert index.summaries(refs) == expected == index.summaries(refs)
    assert len(reads) == len(refs)


def test_without_crcs_does_not_pass_for_with(
    wal: RealWal, tmp_path: Path, reads: list[str | None]
) -> None:
    store, refs = tmp_path / "index", wal.refs()[:3]
    fresh(store).summaries(refs)
    assert [summary.checked for summary in fresh(store).summaries(refs, checked=True)] == [True] * 3
    assert len(reads) == 6
    # The other way round it does.
    assert [summary.checked for summary in fresh(store).summaries(refs)] == [True] * 3
    assert len(reads) == 6


def _shorten(path: Path) -> None:
    with path.open("r+b") as segment:
        segment.truncate(SIZE - 8192)


def _rewrite(path: Path) -> None:
    """Other content of the same size, at the same time of modification."""
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[SIZE // 2 :] = bytes(SIZE // 2)
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def _replace(path: Path) -> None:
    """As `mv` does it: another file in its place."""
    before = path.stat()
    other = path.with_name("other")
    content = bytearray(path.read_bytes())
    content[8192:] = bytes(SIZE - 8192)
    other.write_bytes(content)
    os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
    other.rename(path)


def _change_header(path: Path) -> None:
    with path.open("r+b") as segment:
        segment.seek(24)
        segment.write(b"\x07")


def _touch(path: Path) -> None:
    os.utime(path)


@pytest.mark.parametrize("change", [_shorten, _rewrite, _replace, _change_header, _touch])
@pytest.mark.parametrize("same_process", [False, True])
def test_a_changed_file_is_read_again(
    wal: RealWal,
    tmp_path: Path,
    reads: list[str | None],
    change: Callable[[Path], None],
    same_process: bool,
) -> None:
    refs = wal.refs()[2:5]
    index = fresh(tmp_path / "index")
    index.summaries(refs)
    reads.clear()
    time.sleep(0.02)  # the kernel's clock for files does not tick more often
    change(wal.directory / refs[1].name)
    index = index if same_process else fresh(tmp_path / "index")
    assert index.summaries(refs) == truth(refs)
    assert reads == [refs[1].path]
    assert index.summaries(refs) == truth(refs)
    assert len(reads) == 1


def test_a_file_that_went(wal: RealWal, tmp_path: Path) -> None:
    refs = wal.refs()[2:5]
    index = fresh(tmp_path / "index")
    index.summaries(refs)
    (wal.directory / refs[1].name).unlink()
    for other in (index, fresh(tmp_path / "index")):
        assert other.summary(refs[1]).end_kind == "unreadable"
    # And is not kept as such.
    shutil.copy(wal.directory / refs[2].name, wal.directory / refs[1].name)
    assert index.summaries(refs) == truth(refs)


def test_the_same_file_taken_for_another_segment(wal: RealWal, tmp_path: Path) -> None:
    """As where an archive was thought to have segments of another size."""
    ref = wal.refs()[2]
    mistaken = SegmentRef(ref.name, 1, Lsn(ref.start * 16), ref.source)
    index = fresh(tmp_path / "index")
    assert index.summary(mistaken).records == 0
    for other in (index, fresh(tmp_path / "index")):
        assert [other.summary(ref)] == truth([ref])


def test_names_that_are_no_text(wal: RealWal, tmp_path: Path) -> None:
    directory = os.fsdecode(bytes(tmp_path) + b"/na\xefve")
    shutil.copytree(wal.directory, directory)
    refs = [
        SegmentRef(ref.name, 1, ref.start, SegmentFile(f"{directory}/{ref.name}"))
        for ref in wal.refs()
    ] * 4
    refs = [SegmentRef(f"{n}", ref.timeline, ref.start, ref.source) for n, ref in enumerate(refs)]
    expected = truth(refs)
    assert fresh(tmp_path / "index", workers=2).summaries(refs) == expected
    store = IndexStore(tmp_path / "index")
    assert WalIndex(store, workers=0).known(refs[0]) == expected[0]
    store.forget_gone(directory, [ref.path or "" for ref in refs])
    assert WalIndex(store, workers=0).known(refs[0]) == expected[0]
    store.forget_gone(directory, [])  # under such a name no file is found; it is only read again
    assert WalIndex(store, workers=0).known(refs[0]) is None


def test_summaries_survive_being_stored(wal: RealWal) -> None:
    for summary in truth(wal.refs()):
        assert decode_summary(encode_summary(summary)) == summary


# ---- a store that is no good


def _garbage(path: Path) -> None:
    path.write_bytes(os.urandom(50_000))


def _torn(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


def _cut(path: Path) -> None:
    with path.open("r+b") as store:
        store.truncate(path.stat().st_size // 2)


def _foreign(path: Path) -> None:
    path.unlink()
    database = sqlite3.connect(path)
    database.execute("create table segment (something text)")
    database.commit()
    database.close()


def _other_summaries(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("update segment set summary = x'c1'")
    database.commit()
    database.close()


def _older(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("update segment set format = 0, summary = x'00'")
    database.commit()
    database.close()


def _directory(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [_garbage, _torn, _cut, _foreign, _other_summaries, _older, _directory]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_store_that_is_damaged(
    wal: RealWal, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    store, refs = tmp_path / "index", wal.refs()
    expected = truth(refs)
    fresh(store).summaries(refs)
    damage(store)
    for _ in range(2):
        assert fresh(store).summaries(refs) == expected


def test_a_store_in_a_directory_that_is_not_there(wal: RealWal, tmp_path: Path) -> None:
    refs = wal.refs()[:3]
    assert fresh(tmp_path / "none" / "index").summaries(refs) == truth(refs)


def _in_child(work: Callable[[], object]) -> int:
    """Do something in a process of its own; its exit status."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("there", [False, True])
def test_a_store_of_somebody_else(wal: RealWal, tmp_path: Path, there: bool) -> None:
    """It can be read, not written, and its mode cannot be changed."""
    if os.getuid() != 0:
        pytest.skip("only root can become somebody else")
    os.chmod(tmp_path, 0o755)
    place = tmp_path / "state"
    place.mkdir(mode=0o755)
    refs = wal.refs()[:3]
    expected = truth(refs)
    if there:
        fresh(place / "index").summaries(refs)
        os.chmod(place / "index", 0o644)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            os.chmod(parent, 0o755)
    account = server_account()

    def work() -> None:
        os.setgroups([])
        os.setgid(account.gid)
        os.setuid(account.uid)
        assert fresh(place / "index").summaries(refs) == expected

    assert _in_child(work) == 0


@pytest.mark.parametrize("limit", [0, 1000, 8192, 20_000, 60_000])
def test_a_disk_that_is_full(wal: RealWal, tmp_path: Path, limit: int) -> None:
    store, refs = tmp_path / "index", wal.refs()
    expected = truth(refs)

    def work() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        assert fresh(store).summaries(refs) == expected
        assert fresh(store).summaries(refs) == expected

    assert _in_child(work) == 0
    assert fresh(store).summaries(refs) == expected


def test_a_process_killed_while_it_writes(wal: RealWal, tmp_path: Path) -> None:
    store, refs = tmp_path / "index", wal.refs()
    expected = truth(refs)
    for turn in range(8):
        child = os.fork()
        if child == 0:
            keeper = IndexStore(store)
            while True:
                entries = [
                    (ref.path or "", os.urandom(40), summary)
                    for ref, summary in zip(refs, expected, strict=True)
                ]
                keeper.put(entries)
        time.sleep(0.02 + 0.01 * turn)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert fresh(store).summaries(refs) == expected


def test_a_store_that_another_process_holds(
    wal: RealWal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.wal.index_store._BUSY_SECONDS", 0.05)
    store, refs = tmp_path / "index", wal.refs()[:4]
    fresh(store).summaries(refs[:2])
    index = fresh(store)
    holder = sqlite3.connect(store)
    holder.execute("begin exclusive")
    assert index.summaries(refs) == truth(refs) == fresh(store).summaries(refs)
    holder.close()


def test_a_store_that_is_held_is_waited_for_once(
    wal: RealWal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.wal.index_store._BUSY_SECONDS", 0.5)
    path, refs = tmp_path / "index", wal.refs()[:12]
    fresh(path).summaries(refs)
    expected, index = truth(refs), fresh(path)
    holder = sqlite3.connect(path)
    holder.execute("begin exclusive")
    waited = time.monotonic()
    for ref in refs:
        assert index.known(ref) is None
    assert time.monotonic() - waited < 2
    assert index.summaries(refs) == expected
    assert [index.known(ref) for ref in refs] == expected
    holder.close()
    assert [fresh(path).known(ref) for ref in refs] == expected


def test_files_that_are_gone_are_forgotten_when_they_are_many(
    wal: RealWal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index_module, "_TOO_MANY", (1.2, 10))
    archive, beside = tmp_path / "archive", tmp_path / "archive2"
    for directory in (archive, beside):
        directory.mkdir()
    (archive / "one.tar").touch()
    (summary,) = truth(wal.refs()[:1])
    store = IndexStore(tmp_path / "index")

    def kept(path: str) -> bool:
        return store.get(path, b"stamp", checked=False) is not None

    there = [f"{archive}/{number:024X}" for number in range(5)]
    for path in there:
        Path(path).touch()
    gone = [f"{archive}/{number:024X}" for number in range(5, 16)]
    others = [f"{archive}/one.tar//{1:024X}", f"{beside}/{1:024X}"]
    store.put([(path, b"stamp", summary) for path in (*there, *gone[:-1], *others)])
    index = WalIndex(store, workers=0)
    index.tidy(str(archive), there)  # 16 for 5 files: not so many yet
    assert all(map(kept, (*there, *gone[:-1], *others)))
    store.put([(gone[-1], b"stamp", summary)])
    index.tidy(str(archive), there[:4])  # one is new since the listing
    assert all(map(kept, (*there, *others)))
    assert not any(map(kept, gone))


def test_several_threads(wal: RealWal, tmp_path: Path) -> None:
    refs = wal.refs()
    expected, index = truth(refs), fresh(tmp_path / "index")
    results: list[list[SegmentSummary]] = []
    threads = [
        threading.Thread(target=lambda: results.append(index.summaries(refs))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


# ---- workers


def workers_of(parent: int) -> list[int]:
    """Process ids of the workers that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            status = (entry / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if WORKER in command and int(status[1]) == parent and status[0] != "Z":
            found.append(int(entry.name))
    return found


def wait_for(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    """Until it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.fixture
def no_workers_left() -> Iterator[None]:
    """None may be left when a test is over."""
    yield
    wait_for(lambda: not workers_of(os.getpid()), 5.0)


@pytest.mark.usefixtures("no_workers_left")
def test_workers_find_the_same(many: list[SegmentRef], reads: list[str | None]) -> None:
    assert fresh(None, workers=2).summaries(many, checked=True) == truth(many, checked=True)
    assert reads == []


@pytest.mark.usefixtures("no_workers_left")
@pytest.mark.parametrize("killed", [1, 2])
def test_workers_that_are_killed(
    many: list[SegmentRef], tmp_path: Path, killed: int, reads: list[str | None]
) -> None:
    found: dict[str, SegmentSummary] = {}
    begin = time.monotonic()
    for number, (ref, summary) in enumerate(fresh(tmp_path / "index", workers=2).stream(many)):
        found[ref.name] = summary
        if number == 5:
            for process in workers_of(os.getpid())[:killed]:
                os.kill(process, signal.SIGKILL)
    assert [found[ref.name] for ref in many] == truth(many)
    assert reads, "no worker was lost"
    assert time.monotonic() - begin < 10


@pytest.mark.usefixtures("no_workers_left")
def test_workers_that_cannot_be_started(
    many: list[SegmentRef], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected, real, allowed = truth(many), subprocess.Popen, [0]

    def failing(*args: object, **options: object) -> object:
        allowed[0] -= 1
        if allowed[0] < 0:
            raise BlockingIOError("no more processes")
        return real(*args, **options)  # type: ignore[call-overload]

    monkeypatch.setattr("pgrescue.wal.worker.subprocess.Popen", failing)
    for count in (0, 1):
        allowed[0] = count
        begin = time.monotonic()
        assert fresh(None, workers=2).summaries(many) == expected
        assert time.monotonic() - begin < 10


def test_a_worker_says_that_it_is_lost(wal: RealWal) -> None:
    worker = Worker()
    worker.close()
    task = Task(os.fsencode(str(wal.directory / wal.names[0])), 0, 1, False)
    with pytest.raises(WorkerLost):
        worker.do(task)


def test_modules_in_the_working_directory_are_not_imported(
    many: list[SegmentRef], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trap = tmp_path / "trap"
    trap.mkdir()
    for name in ("numpy", "struct", "msgspec"):
        (trap / f"{name}.py").write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    monkeypatch.chdir(trap)
    assert fresh(None, workers=2).summaries(many) == truth(many)
    assert not (tmp_path / "sprung").exists()


@pytest.mark.usefixtures("no_workers_left")
def test_asking_for_no_more_stops_the_workers(many: list[SegmentRef], tmp_path: Path) -> None:
    for turn in range(3):
        stream = fresh(tmp_path / f"index-{turn}", workers=2).stream(many)
        assert isinstance(stream, Generator)
        next(stream)
        assert len(workers_of(os.getpid())) == 2
        stream.close()
        assert not workers_of(os.getpid())
    # What had been read is kept.
    index = fresh(tmp_path / "index-2")
    kept = [index.known(ref) for ref in many]
    assert [summary for summary in kept if summary is not None]


_PARENT = """
import pathlib, sys
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef, WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.pages import SegmentFile
refs = [SegmentRef(str(n), 1, Lsn(5 << 20), SegmentFile(sys.argv[1])) for n in range(5000)]
for number, _ in enumerate(WalIndex(IndexStore(None), workers=2).stream(refs, checked=True)):
    if number == 3:
        print("reading", flush=True)
"""


def test_a_killed_parent_leaves_no_worker(wal: RealWal) -> None:
    argv = (sys.executable, "-c", _PARENT, str(wal.directory / wal.names[4]))
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"reading\n"
        workers = workers_of(parent.pid)
        parent.kill()
    assert len(workers) == 2
    wait_for(lambda: not any(Path(f"/proc/{process}").exists() for process in workers), 5.0)


# ---- seams


INDEX = WalIndex(IndexStore(None), workers=0)
"""One for all: what has not changed is not read again."""


def _stretch_of(refs: list[SegmentRef], *, checked: bool = False) -> tuple[str, str, str, int]:
    stretch = read_stretch(INDEX, refs, INDEX.summary(refs[0]).first, checked=checked)
    assert stretch is not None
    return stretch.why, stretch.reason, stretch.segment, stretch.commits


def _whole(refs: list[SegmentRef]) -> int:
    return _stretch_of(refs)[3]


def test_a_missing_segment(wal: RealWal) -> None:
    refs = wal.refs()
    for gap in range(2, len(refs) - 1):
        why, reason, segment, commits = _stretch_of([*refs[:gap], *refs[gap + 1 :]])
        assert (why, segment) in (("damage", refs[gap + 1].name), ("damage", refs[gap - 1].name))
        assert reason
        assert commits == _whole(refs[:gap])


def test_segments_that_end_early(wal: RealWal) -> None:
    refs = wal.refs()
    for count in range(1, len(refs)):
        why, reason, segment, _ = _stretch_of(refs[:count])
        assert (why, reason) == ("end_of_files", "")
        # Or before, where a record does not end in the last one.
        passed = 1 + INDEX.summary(refs[count - 1]).passes_through * 3
        assert segment in [ref.name for ref in refs[max(count - passed, 0) : count]]


def test_a_segment_of_another_cluster(wal: RealWal) -> None:
    """Even one that would fit: only the identifier is another."""
    refs = wal.refs()
    for number in range(2, len(refs)):
        content = bytearray(wal.content(refs[number].name))
        content[24] ^= 1
        changed = [*refs]
        changed[number] = wal.ref(refs[number].name, bytes(content))
        why, reason, segment, commits = _stretch_of(changed)
        assert (why, segment) == ("foreign", refs[number].name)
        assert "another cluster" in reason
        assert commits == _whole(refs[:number])


def test_a_segment_in_the_place_of_another(wal: RealWal) -> None:
    refs = wal.refs()
    for number in range(2, len(refs) - 1):
        changed = [*refs]
        changed[number] = wal.ref(refs[number].name, wal.content(refs[number - 1].name))
        why, _, segment, commits = _stretch_of(changed)
        assert (why, segment) == ("damage", refs[number].name)
        assert commits == _whole(refs[:number])


def test_the_segment_after_a_switch(wal: RealWal) -> None:
    refs = wal.refs()
    summaries = INDEX.summaries(refs)
    switched = [n for n, summary in enumerate(summaries) if summary.end_kind == "switched"]
    assert len(switched) == 2
    for number in switched:
        why, _, _, commits = _stretch_of(refs[number : number + 2])
        assert why in ("end_of_files", "end_of_wal")
        assert commits > _whole(refs[number : number + 1])


def test_segments_that_wait_to_be_written(wal: RealWal) -> None:
    """Behind the end of the WAL, as in pg_wal: empty ones, and old ones under new names."""
    refs = wal.refs()
    expected = _stretch_of(refs)
    assert expected[0] == "end_of_wal"
    last = refs[-1]
    for content in (bytes(SIZE), wal.content(refs[0].name)):
        more = [
            SegmentRef(f"later {n}", 1, Lsn(last.start + n * SIZE), SegmentBytes(content))
            for n in (1, 2)
        ]
        assert _stretch_of([*refs, *more]) == expected
        # Where the WAL that is there ends with a segment, or in a record that crosses into one.
        for count in range(3, len(refs)):
            there = refs[:count]
            later = [
                SegmentRef(f"later {n}", 1, Lsn(there[-1].start + n * SIZE), SegmentBytes(content))
                for n in (1, 2)
            ]
            why, _, _, commits = _stretch_of([*there, *later])
            assert (why, commits) == ("end_of_wal", _whole(there))


def test_only_crcs_tell_of_a_bit_in_row_data(wal: RealWal) -> None:
    refs = wal.refs()
    name = refs[4].name
    walk = walk_segment(wal.content(name), refs[4].start, 1, check_crc=False)
    record = max(walk.records, key=lambda record: record.total)
    content = bytearray(wal.content(name))
    content[record.lsn - refs[4].start + record.total // 2] ^= 0x10
    changed = [*refs]
    changed[4] = wal.ref(name, bytes(content))
    assert _stretch_of(changed)[0] == "end_of_wal"
    why, reason, segment, _ = _stretch_of(changed, checked=True)
    assert (why, segment) == ("damage", name)
    assert "checksum" in reason


def test_a_record_across_a_seam_has_its_header_checked(wal: RealWal) -> None:
    """Its back-link and resource manager are read when both of its parts are there."""
    refs = wal.refs()
    split = [
        number
        for number, ref in enumerate(refs)
        if len(walk_segment(wal.content(ref.name), ref.start, 1, check_crc=False).unfinished) == 8
    ]
    (number,) = split
    for offset, reason in ((40, "prev-link"), (40 + 9, "resource manager")):
        content = bytearray(wal.content(refs[number + 1].name))
        content[offset] ^= 0x40
        changed = [*refs]
        changed[number + 1] = wal.ref(refs[number + 1].name, bytes(content))
        why, said, segment, commits = _stretch_of(changed)
        assert (why, segment) == ("damage", refs[number + 1].name)
        assert reason in said
        assert commits == _whole(refs[: number + 1])
