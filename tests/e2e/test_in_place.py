"""Restoring a cluster where it is: tablespaces, linked pg_wal, odd names, segment sizes; undo."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.e2e.conftest import SourceFactory
from tests.support.command import finished
from tests.support.files import SERVER_LEFTOVERS, Entry, differences, file_tree
from tests.support.places import Place, free_port
from tests.support.source import Source

pytestmark = pytest.mark.server

FORMS = {"tar": ("-Ft", "-z", "-Xs"), "plain": ("-Fp", "-Xs")}
BIG = "select count(*), sum(n) from elsewhere"


def with_tablespaces(source: Source, form: str = "tar") -> dict[str, Path]:
    """Two tablespaces with a table in one of them, a backup, and an epoch after it."""
    places = {name: source.sandbox.create_tablespace(name) for name in ("fast", "empty")}
    source.sandbox.sql(
        "create table elsewhere tablespace fast as select n from generate_series(1, 20000) n"
    )
    source.log.mark("in the backup")
    options = FORMS[form]
    if form == "plain":  # on the same machine a plain backup must put them somewhere else
        for name, path in places.items():
            options += (f"-T{path}={source.sandbox.backups / f'plain-{name}'}",)
    source.backup(form, *options)
    source.sandbox.sql("insert into elsewhere select n from generate_series(20001, 20010) n")
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    return places


def locations(place_sql: list[str]) -> list[str]:
    """Where a server has its tablespaces."""
    return sorted(line for line in place_sql if line)


WHERE = "select pg_tablespace_location(oid) from pg_tablespace where oid >= 16384"


@pytest.mark.parametrize("form", FORMS)
def test_tablespaces_go_back_to_their_places(
    server_binaries: ServerBinaries, source_factory: SourceFactory, form: str
) -> None:
    source = source_factory(server_binaries)
    places = with_tablespaces(source, form)
    source.sandbox.crash()
    for path in (source.sandbox.data, *places.values()):
        shutil.rmtree(path)
    mapping: list[str] = []
    if form == "plain":  # with the cluster gone, nobody else knows where they belong
        assert source.restore(check=False).returncode == 3
        for name, path in places.items():
            mapping += ["--tablespace", f"{source.sandbox.backups / f'plain-{name}'}={path}"]
    source.restore(*mapping)
    assert source.place.rows() == [1, 2, 3]
    assert source.place.sql(BIG) == ["20010|200210055"]
    assert locations(source.place.sql(WHERE)) == sorted(map(str, places.values()))
    source.place.sql("create table more tablespace empty as select 1")


@pytest.mark.both_servers
def test_tablespaces_in_place_with_undo(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = source_factory(server_binaries)
    with_tablespaces(source)
    source.sandbox.sql("delete from elsewhere")
    source.sandbox.stop()
    before = snapshot(source.sandbox)
    source.restore("--before-xid", str(source.log.epochs[-1].xid), "--action", "promote")
    assert source.place.rows() == [1, 2]
    assert source.place.sql(BIG) == ["20010|200210055"]
    source.workspace.run("undo", "--yes", check=True)
    source.workspace.run("discard", "--yes", check=True)
    assert not source.place.is_running, "it did not run before"
    assert differences(before, snapshot(source.sandbox)) == []
    source.sandbox.start()
    assert source.sandbox.sql("select count(*) from elsewhere") == ["0"]


def test_tablespace_mapped_to_another_place(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = source_factory(server_binaries)
    places = with_tablespaces(source)
    new = source.sandbox.tablespaces / "fast on the new disk"
    source.restore("--tablespace", f"{places['fast']}={new}")
    assert source.place.sql(BIG) == ["20010|200210055"]
    assert locations(source.place.sql(WHERE)) == sorted([str(new), str(places["empty"])])
    source.workspace.run("undo", "--yes", check=True)
    assert locations(source.place.sql(WHERE)) == sorted(map(str, places.values()))
    assert source.place.rows() == source.log.expected("latest")
    assert source.place.sql(BIG) == ["20010|200210055"]


@pytest.mark.parametrize("form", FORMS)
def test_clone_has_tablespaces_of_its_own(
    server_binaries: ServerBinaries, source_factory: SourceFactory, form: str
) -> None:
    source = source_factory(server_binaries)
    places = with_tablespaces(source, form)
    with source.clone() as clone:
        assert clone.rows() == [1, 2, 3]
        assert clone.sql(BIG) == ["20010|200210055"]
        own = locations(clone.sql(WHERE))
        assert len(own) == 2
        assert set(own).isdisjoint(map(str, places.values()))
        clone.sql("drop table elsewhere; create table elsewhere (n int) tablespace fast")
        assert source.place.sql(BIG) == ["20010|200210055"], "production is untouched"


def test_linked_pg_wal_stays_on_its_disk(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = source_factory(server_binaries)
    disk = move_wal_away(source.sandbox)
    source.backup("nightly", "-Ft", "-z", "-Xs")
    source.log.mark("after the backup")
    source.sandbox.stop()
    before = snapshot(source.sandbox)
    source.restore()
    assert source.place.rows() == [1, 2], "what only the linked pg_wal had was rescued"
    assert os.readlink(source.sandbox.data / "pg_wal") == str(disk)
    assert any(disk.glob("00000002*")), "the new WAL is on the old disk"
    source.workspace.run("undo", "--yes", check=True)
    source.workspace.run("discard", "--yes", check=True)
    assert differences(before, snapshot(source.sandbox)) == []
    source.sandbox.start()
    assert source.place.rows() == [1, 2]


def move_wal_away(sandbox: Sandbox) -> Path:
    """Put `pg_wal` on another disk, behind a link."""
    sandbox.stop()
    disk = sandbox.directory / "wal disk"
    (sandbox.data / "pg_wal").rename(disk)
    (sandbox.data / "pg_wal").symlink_to(disk)
    sandbox.start()
    return disk


def test_undo_brings_a_stopped_cluster_back_byte_for_byte(victim: Source) -> None:
    victim.sandbox.stop()
    before = file_tree(victim.sandbox.data)
    last = finished(victim.restore("--to", "immediate", "--action", "promote"))
    assert tuple(victim.place.rows()) == victim.backups["nightly"].rows
    assert Path(str(last["set_aside"])).is_dir()
    last = finished(victim.workspace.run("undo", "--yes", "--json", check=True))
    assert last["state"] == "undone"
    assert last["set_aside"] is None
    assert not victim.place.is_running
    assert differences(before, file_tree(victim.sandbox.data)) == []
    victim.sandbox.start()
    assert victim.place.rows() == victim.log.expected("latest")


def test_undo_brings_a_running_cluster_back_running(victim: Source) -> None:
    victim.log.mark("not archived by anybody")
    before = file_tree(victim.sandbox.data / "base", SERVER_LEFTOVERS)
    victim.restore("--to", "immediate", "--action", "pause")
    assert victim.place.in_recovery()
    victim.workspace.run("undo", "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
    assert not victim.place.in_recovery()
    after = file_tree(victim.sandbox.data / "base", SERVER_LEFTOVERS)
    assert before.keys() == after.keys()
    victim.log.mark("and goes on")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("segment_size_mb", "checksums"),
    [
        (1, False),
        (64, True),
        pytest.param(1, True, marks=pytest.mark.slow),
        pytest.param(64, False, marks=pytest.mark.slow),
    ],
)
def test_segment_sizes_and_checksums(
    any_binaries: ServerBinaries,
    source_factory: SourceFactory,
    segment_size_mb: int,
    checksums: bool,
) -> None:
    source = source_factory(any_binaries, segment_size_mb=segment_size_mb, checksums=checksums)
    source.backup("nightly", "-Ft", "-z", "-Xs")
    source.log.mark("archived")
    source.sandbox.switch_wal()
    source.log.mark("only in pg_wal")
    source.sandbox.crash()
    source.restore()
    assert source.place.rows() == [1, 2, 3]
    assert source.place.sql("show wal_segment_size") == [f"{segment_size_mb}MB"]
    assert source.place.sql("show data_checksums") == ["on" if checksums else "off"]


QUOTES = 'it\'s "my" cluster'
COMMANDS = "50% $(touch pwned) `touch pwned` %f %p"


@pytest.mark.parametrize(
    ("form", "name"),
    [
        pytest.param("tar", QUOTES, marks=pytest.mark.slow),
        ("plain", COMMANDS),
        pytest.param("tar", "größe\\n ünï", marks=pytest.mark.slow),
        pytest.param("plain", QUOTES, marks=pytest.mark.slow),
        pytest.param("tar", COMMANDS, marks=pytest.mark.slow),
        pytest.param("plain", "-dash & ; | > newest", marks=pytest.mark.slow),
    ],
)
def test_odd_names_in_the_path(
    any_binaries: ServerBinaries, source_factory: SourceFactory, form: str, name: str
) -> None:
    source = source_factory(any_binaries, name=name)
    options = FORMS[form]
    if "'" not in name:  # PostgreSQL forbids it in a tablespace's location
        path = source.sandbox.create_tablespace("fast")
        source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
        if form == "plain":
            options = (*options, f"-T{path}={source.sandbox.backups / 'fast'}")
    source.backup("nightly", *options)
    source.log.mark("archived")
    source.sandbox.switch_wal()
    source.log.mark("only in pg_wal")
    source.sandbox.crash()
    source.restore("--to-xid", str(source.log.epochs[-1].xid), "--action", "promote")
    assert source.place.rows() == [1, 2, 3]
    if "'" not in name:
        assert source.place.sql("select n from elsewhere") == ["1"]
    source.workspace.run("undo", "--yes", check=True)
    assert source.place.rows() == [1, 2, 3]
    assert not list(source.workspace.path.rglob("pwned"))


def snapshot(sandbox: Sandbox) -> dict[str, Entry]:
    """Every byte of the cluster; its log, its archive and its backups may grow."""
    tree = file_tree(sandbox.directory)
    volatile = ("log", "wal/", "backups/")
    return {path: entry for path, entry in tree.items() if not path.startswith(volatile)}


@pytest.mark.parametrize("name", ['it\'s "my" clone, $(touch pwned)', "50%f `touch pwned` \\ x"])
def test_clone_into_an_odd_name(victim: Source, name: str) -> None:
    path = victim.clone_path().parent / name
    where = ("--into", str(path), "--port", str(free_port()))
    completed = victim.restore(*where, "--to-xid", str(victim.log.epochs[3].xid))
    clone = Place(path, victim.sandbox)
    assert finished(completed)["state"] == "waiting"
    assert clone.rows() == [1, 2, 3, 4]
    victim.workspace.run("resume", "--yes", check=True)
    assert not clone.in_recovery()
    assert clone.rows() == [1, 2, 3, 4]
    assert not list(victim.workspace.path.rglob("pwned"))
    assert not (clone.data / "pwned").exists()
