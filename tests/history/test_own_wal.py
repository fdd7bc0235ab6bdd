"""A backup that carries WAL inside a tar file, which the archive lacks."""

from __future__ import annotations

import gzip
import os
import random
import shutil
import tarfile
import threading
from io import BytesIO
from pathlib import Path

import pytest

from pgrescue.catalog.tar_stream import TarStream
from pgrescue.cli.main import build_parser
from pgrescue.cli.restore_options import request_from
from pgrescue.config.load import load_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.desk import Desk
from pgrescue.history import own_wal
from pgrescue.history.own_wal import SegmentInTar, TarSegments
from pgrescue.plan.model import Stop
from pgrescue.wal import index as index_module
from pgrescue.wal.index import SegmentRef
from pgrescue.wal.segment import NAME
from pgrescue.wal.summary import SegmentSummary
from tests.conftest import SandboxFactory
from tests.support.cluster import Workspace, cluster_config

NAMES = tuple(f"{1:08X}{0:08X}{number:08X}" for number in range(6))
SIZE = 1 << 20


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tar files that were opened for their segments."""
    paths: list[str] = []

    def counting(path: Path) -> TarStream:
        paths.append(path.name)
        return TarStream(path)

    monkeypatch.setattr(own_wal, "TarStream", counting)
    return paths


def write_tar(path: Path, seed: int = 0, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    """A tar file of segments with random bytes, put in place at once."""
    chance = random.Random(seed)
    contents = {name: chance.randbytes(SIZE) for name in names}
    made = BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(f"pg_wal/{name}")
            member.size = len(content)
            tar.addfile(member, BytesIO(content))
    new = path.with_name("new")
    new.write_bytes(gzip.compress(made.getvalue(), 1) if path.suffix == ".gz" else made.getvalue())
    os.replace(new, path)
    return contents


@pytest.mark.parametrize("name", ["pg_wal.tar", "pg_wal.tar.gz"])
@pytest.mark.parametrize("in_memory", [64 << 20, 2 * SIZE], ids=["memory", "file"])
def test_one_pass_for_all(
    tmp_path: Path,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    in_memory: int,
) -> None:
    monkeypatch.setattr(own_wal, "_IN_MEMORY", in_memory)
    contents = write_tar(tmp_path / name)
    segments = TarSegments(str(tmp_path / name), NAMES)
    for segment in random.Random(1).choices(NAMES, k=30):
        with SegmentInTar(segments, segment).open() as stream:
            assert stream.read() == contents[segment]
    assert opened == [name]


def test_no_room_costs_time_only(
    tmp_path: Path, opened: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = write_tar(tmp_path / "pg_wal.tar")
    monkeypatch.setattr(own_wal, "_KEPT", 2 * SIZE)
    segments = TarSegments(str(tmp_path / "pg_wal.tar"), NAMES)
    assert {name: segments.content(name) for name in NAMES} == contents
    assert len(opened) == 1
    assert segments.content(NAMES[1]) == contents[NAMES[1]]
    assert len(opened) == 1
    assert segments.content(NAMES[3]) == contents[NAMES[3]]
    assert len(opened) == 2


def test_a_file_system_that_is_full(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = write_tar(tmp_path / "pg_wal.tar")
    monkeypatch.setattr(own_wal, "_IN_MEMORY", 2 * SIZE)
    monkeypatch.setattr(own_wal, "_free", lambda: 1 << 40)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    segments = TarSegments(str(tmp_path / "pg_wal.tar"), NAMES)
    for names in (NAMES, NAMES[::-1]):
        assert {name: segments.content(name) for name in names} == contents


def test_a_tar_file_that_changes(tmp_path: Path) -> None:
    path = tmp_path / "pg_wal.tar.gz"
    before = write_tar(path)
    segments = TarSegments(str(path), NAMES)
    assert segments.content(NAMES[2]) == before[NAMES[2]]
    after = write_tar(path, seed=1)
    for name in NAMES:
        assert segments.content(name) == after[name]
    path.unlink()
    with pytest.raises(FileNotFoundError):
        segments.content(NAMES[0])


def test_what_is_missing_is_looked_for_once(tmp_path: Path, opened: list[str]) -> None:
    path = tmp_path / "pg_wal.tar"
    write_tar(path, names=NAMES[:3])
    segments = TarSegments(str(path), NAMES)
    for name in NAMES[3:]:
        with pytest.raises(FileNotFoundError):
            segments.content(name)
    assert len(opened) == 1


def test_damage_hides_only_what_comes_behind(tmp_path: Path, opened: list[str]) -> None:
    path = tmp_path / "pg_wal.tar"
    contents = write_tar(path)
    os.truncate(path, 3 * SIZE + SIZE // 2)
    segments = TarSegments(str(path), NAMES)
    for _ in range(2):
        for name in NAMES[:3]:
            assert segments.content(name) == contents[name]
        for name in NAMES[3:]:
            with pytest.raises(OSError, match="is damaged"):
                segments.content(name)
    assert len(opened) == 1


@pytest.mark.every_day(1)
@pytest.mark.server
@pytest.mark.parametrize("method", ["stream", "fetch"])
def test_a_plan_reads_the_tar_file_once(
    workspace: Workspace,
    any_binaries: ServerBinaries,
    sandbox_factory: SandboxFactory,
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
    method: str,
) -> None:
    settings = {"wal_keep_size": "512MB", "max_wal_size": "1GB"}
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1, settings=settings)
    sandbox.sql("create table t (n int)")
    backup = _while_writing(sandbox, "-Ft", "-z", f"-X{method}", "--max-rate=16M")
    sandbox.stop()
    for file in sandbox.wal.iterdir():
        if not file.name.endswith(".backup"):
            file.unlink()
    shutil.rmtree(sandbox.data / "pg_wal")
    (sandbox.data / "pg_wal").mkdir()
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    config = load_config(workspace.configure(cluster_config(sandbox)))
    desk = Desk(config, config.cluster(None))
    tar = "pg_wal.tar.gz" if method == "stream" else "base.tar.gz"
    with tarfile.open(backup / tar) as members:
        assert sum(bool(NAME.fullmatch(Path(name).name)) for name in members.getnames()) >= 3

    options = ["plan", "--to", "immediate", "--into", str(workspace.path / "clone")]
    request = request_from(build_parser().parse_args(options), "UTC")

    def stop() -> Stop:
        plan = desk.plan(request)
        assert plan.stop is not None, plan.blockers
        return plan.stop

    # A first segment that begins before the backup does is walked once more for what it holds
    # behind that place: whatever is kept, that may take a pass of its own.
    summarized: list[str] = []
    real = index_module._summarize

    def counting(ref: SegmentRef, checked: bool) -> SegmentSummary:
        summarized.append(ref.name)
        return real(ref, checked)

    monkeypatch.setattr(index_module, "_summarize", counting)
    first = stop()
    assert first.kind == "consistency"
    assert first.lsn == desk.backups()[0].stop_lsn
    assert len(summarized) >= 3
    assert opened == [tar]
    summarized.clear()
    opened.clear()
    assert stop() == first
    assert summarized == []
    assert opened in ([], [tar])
    opened.clear()
    os.utime(backup / tar)
    assert stop() == first
    assert len(summarized) >= 3
    assert opened == [tar]


def _while_writing(sandbox: Sandbox, *options: str) -> Path:
    """A backup with several segments, since it is made while work goes on."""
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            sandbox.sql("insert into t select generate_series(1, 10000)")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        return sandbox.base_backup("one", *options)
    finally:
        done.set()
        writer.join()
