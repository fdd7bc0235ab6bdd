"""What lies where: tablespaces of plain backups, backups in odd places, archives in directories."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.retention.test_prune import everything, hidden, listed, prune
from tests.support.cluster import cluster_config
from tests.support.command import document, finished
from tests.support.files import differences
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = pytest.mark.server


@pytest.mark.slow
def test_a_plain_backup_goes_with_its_tablespaces(source: Source) -> None:
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    beside = source.sandbox.backups / "plain.tablespaces"
    source.backup("plain", "-Fp", f"-T{where}={beside / 'fast'}")
    source.backup("last", "-Ft", "-z")
    source.sandbox.switch_wal()
    before = everything(source)
    run = finished(prune(source, source.id_of("plain")))["run"]
    assert not beside.exists()
    assert {path.name for path in hidden(source)[0].iterdir()} == {"plain", "plain.tablespaces"}
    source.workspace.run("undo", str(run), "--yes", check=True)
    assert differences(before, everything(source)) == []
    assert source.place.sql("select n from elsewhere") == ["1"]


def test_the_servers_own_tablespace_is_never_taken(source: Source) -> None:
    """A plain backup that was brought back to its server has links to the living tablespace."""
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    copy = source.sandbox.backups / "copy"
    taken = source.backup("plain", "-Fp", f"-T{where}={copy}").path
    for link in (taken / "pg_tblspc").iterdir():
        link.unlink()
        link.symlink_to(where)
    cluster = replace(
        cluster_config(source.sandbox), backups=(source.sandbox.backups, source.sandbox.tablespaces)
    )
    source.workspace.configure(cluster)
    prune(source, source.id_of("plain"), "--delete")
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert copy.exists()
    assert len(list(where.iterdir())) == 1


@pytest.mark.slow
def test_a_configured_directory_that_is_a_backup_stays(source: Source) -> None:
    backups = tuple(source.sandbox.backups / name for name in ("first", "second", "third"))
    source.workspace.configure(replace(cluster_config(source.sandbox), backups=backups))
    said = document(source.workspace.run("retention", "--keep-count", "1", "--json", check=True))
    assert said["removable"] == []
    refused(prune(source, source.id_of("first"), check=False), 3, "configured directories")


@pytest.mark.slow
def test_a_backup_with_another_one_inside_stays(source: Source) -> None:
    inside = source.sandbox.backups / "first" / "kept-here"
    shutil.move(source.sandbox.backups / "third", inside)
    inner = next(item["id"] for name, item in listed(source).items() if name == "kept-here")
    refused(prune(source, source.id_of("first"), check=False), 3, f"{inner} lies inside it")


@pytest.mark.slow
def test_a_directory_for_backups_that_is_empty_stops_the_wal_from_going(source: Source) -> None:
    nas = source.workspace.path / "nas"
    nas.mkdir()
    both = (source.sandbox.backups, nas)
    source.workspace.configure(replace(cluster_config(source.sandbox), backups=both))
    said = document(source.workspace.run("retention", "--keep-count", "1", "--json", check=True))
    assert said["wal"]["files"] == 0
    assert str(nas) in said["wal"]["blocked"]
    prune(source, "--keep-count", "1")
    assert [path.parent for path in hidden(source)] == [source.sandbox.backups]


@pytest.mark.slow
def test_wal_in_directories_of_its_own_is_set_aside_in_them(source: Source) -> None:
    names = sorted(path.name for path in source.sandbox.wal.iterdir() if path.is_file())
    for name in names:
        below = source.sandbox.wal / name[:16]
        below.mkdir(exist_ok=True)
        below.chmod(0o755)
        shutil.move(source.sandbox.wal / name, below / name)
    source.sandbox.wal.chmod(0o755)
    before = everything(source)
    last = finished(prune(source, "--keep-count", "1"))
    below = source.sandbox.wal / names[0][:16]
    (aside,) = below.glob(".pgrescue-removed-*")
    assert len(list(aside.iterdir())) > 0
    assert Path(str(last["set_aside"])).is_dir()
    source.workspace.run("undo", str(last["run"]), "--yes", check=True)
    assert differences(before, everything(source)) == []


@pytest.mark.slow
def test_a_directory_reached_through_a_link_is_the_same(source: Source) -> None:
    link = source.workspace.path / "link"
    link.symlink_to(source.sandbox.backups)
    source.workspace.configure(replace(cluster_config(source.sandbox), backups=(link,)))
    third = listed(source)["third"]["id"]
    source.workspace.run("verify", third, check=True)
    prune(source, "--keep-count", "1", "--delete")
    assert set(listed(source)) == {"third"}
    assert [path.name for path in source.sandbox.backups.iterdir()] == ["third"]
    with source.clone("--backup", third) as clone:
        assert clone.rows() == source.log.expected("latest")
