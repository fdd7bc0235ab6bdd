"""A plan as a shell script does by hand what pgrescue does: the same rows in the end."""

from __future__ import annotations

import shutil

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.e2e.conftest import SourceFactory
from tests.support.by_hand import run_by_hand, script_of
from tests.support.files import differences, file_tree
from tests.support.places import Place, free_port
from tests.support.source import Source

pytestmark = pytest.mark.server


def prepare(source: Source, *options: str, tablespace: bool = False) -> Source:
    """Two epochs in the backup and three after it, the last of them not archived."""
    source.log.mark("in the backup")
    if tablespace:
        source.sandbox.create_tablespace("fast")
        source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    source.backup("nightly", *options)
    source.log.mark("archived")
    source.log.mark("archived")
    source.sandbox.switch_wal()
    source.log.mark("only in pg_wal")
    return source


@pytest.mark.both_servers
def test_tar_with_tablespace_in_place_and_promoted(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(server_binaries), "-Ft", "-z", "-Xs", tablespace=True)
    run_by_hand(script_of(source, "--to", "latest"))
    assert source.place.rows() == source.log.expected("latest")
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert not source.place.in_recovery()
    assert "recovery_target" not in (source.sandbox.data / "postgresql.auto.conf").read_text()
    assert len(list(source.sandbox.directory.glob("data.pgrescue-*Z"))) == 1, "set aside"


def test_crashed_cluster_in_place(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(server_binaries), "-Ft", "-z", "-Xf")
    source.sandbox.crash()
    run_by_hand(script_of(source, "--to", "latest"))
    assert source.place.rows() == source.log.expected("latest"), "the tail was rescued"


@pytest.mark.parametrize("promote", [False, True])
def test_pause_in_place(
    server_binaries: ServerBinaries, source_factory: SourceFactory, promote: bool
) -> None:
    source = prepare(source_factory(server_binaries), "-Fp", "-Xs")
    epoch = source.log.epochs[2]
    script = script_of(source, "--to-xid", str(epoch.xid))
    run_by_hand(script, *(("promote",) if promote else ()))
    assert source.place.rows() == [1, 2, 3]
    assert source.place.in_recovery() == (not promote)
    configured = (source.sandbox.data / "postgresql.auto.conf").read_text()
    assert ("recovery_target" in configured) == (not promote)


def test_shutdown_at_the_target(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(server_binaries), "-Ft", "-Xs")
    name = source.log.epochs[2].restore_point
    run_by_hand(script_of(source, "--to-name", name, "--action", "shutdown"))
    assert not source.place.is_running
    source.place.start("recovery_target_action=pause")
    assert source.place.rows() == [1, 2, 3]


@pytest.mark.parametrize(
    "options",
    [
        ("-Ft", "-z", "-Xs"),
        ("-Fp", "-Xn"),
        pytest.param(("-Ft", "-Xn"), marks=pytest.mark.slow),
        pytest.param(("-Fp", "-Xf"), marks=pytest.mark.slow),
    ],
)
def test_clone_of_a_running_cluster(
    server_binaries: ServerBinaries, source_factory: SourceFactory, options: tuple[str, ...]
) -> None:
    source = prepare(source_factory(server_binaries), *options, tablespace=options[0] == "-Ft")
    path = source.clone_path()
    where = ("--into", str(path), "--port", str(free_port()))
    before = source.log.epochs[3].xid
    run_by_hand(script_of(source, *where, "--before-xid", str(before), "--action", "promote"))
    clone = Place(path, source.sandbox)
    assert clone.rows() == [1, 2, 3]
    assert not clone.in_recovery()
    if options[0] == "-Ft":
        assert clone.sql("select n from elsewhere") == ["1"]
    assert source.place.rows() == source.log.expected("latest")


def test_paused_clone_of_a_running_cluster(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(server_binaries), "-Ft", "-z", "-Xs")
    path = source.clone_path()
    where = ("--into", str(path), "--port", str(free_port()))
    name = source.log.epochs[2].restore_point
    run_by_hand(script_of(source, *where, "--to-name", name))
    clone = Place(path, source.sandbox)
    assert clone.rows() == [1, 2, 3]
    assert clone.in_recovery()


def test_linked_pg_wal(server_binaries: ServerBinaries, source_factory: SourceFactory) -> None:
    source = source_factory(server_binaries)
    source.sandbox.stop()
    disk = source.sandbox.directory / "wal-disk"
    (source.sandbox.data / "pg_wal").rename(disk)
    (source.sandbox.data / "pg_wal").symlink_to(disk)
    source.sandbox.start()
    prepare(source, "-Ft", "-z", "-Xs")
    run_by_hand(script_of(source, "--to", "latest"))
    assert source.place.rows() == source.log.expected("latest")
    assert (source.sandbox.data / "pg_wal").resolve() == disk


def test_plain_backup_whose_wal_is_elsewhere(
    any_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    """`pg_wal` of such a backup is a link: what it leads to is the backup's, and stays there."""
    source = source_factory(any_binaries)
    elsewhere = source.sandbox.directory / "wal of the backup"
    prepare(source, "-Fp", "-Xs", f"--waldir={elsewhere}")
    before = file_tree(elsewhere)
    run_by_hand(script_of(source, "--to", "latest"))
    assert source.place.rows() == source.log.expected("latest")
    assert not (source.sandbox.data / "pg_wal").is_symlink()
    assert differences(before, file_tree(elsewhere)) == []


def test_odd_names(any_binaries: ServerBinaries, source_factory: SourceFactory) -> None:
    source = source_factory(any_binaries, name='it\'s "50%" $(touch pwned) %f \\n')
    prepare(source, "-Ft", "-z", "-Xs")  # PostgreSQL forbids quotes in a tablespace's location
    run_by_hand(script_of(source, "--to", "latest"))
    assert source.place.rows() == source.log.expected("latest")
    assert not list(source.workspace.path.rglob("pwned"))


@pytest.mark.slow
def test_second_timeline_that_only_pg_wal_knows(
    any_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(any_binaries), "-Ft", "-z", "-Xs")
    source.restore()
    assert source.place.rows() == source.log.expected("latest")
    source.log.mark("on the second timeline")
    source.sandbox.crash()
    for archived in source.sandbox.wal.glob("00000002*"):
        archived.unlink()
    run_by_hand(script_of(source))
    assert source.place.rows() == source.log.expected("latest")


def test_data_directory_gone(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = prepare(source_factory(server_binaries), "-Ft", "-z", "-Xs")
    source.sandbox.crash()
    shutil.rmtree(source.sandbox.data)
    run_by_hand(script_of(source))
    assert source.place.rows() == [1, 2, 3, 4]
