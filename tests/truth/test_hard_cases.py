"""Cases in which a wrong answer would lead a rescue astray."""

from __future__ import annotations

import gzip
import lzma
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import lz4.frame
import pytest
import zstandard

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.lsn import Lsn
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document
from tests.truth.test_traps import Scene, finding

pytestmark = pytest.mark.server

XID = "begin; {}; select txid_current(); commit"
COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": lambda content: gzip.compress(content, 1),
    ".lz4": lz4.frame.compress,
    ".zst": lambda content: zstandard.ZstdCompressor(1).compress(content),
    ".xz": lambda content: lzma.compress(content, preset=0),
}


@pytest.fixture
def scene(workspace: Workspace, any_binaries: ServerBinaries) -> Scene:
    """A running sandbox."""
    return Scene(workspace, any_binaries)


def incidents(scene: Scene, *options: str) -> dict[str, Any]:
    """What the search says."""
    found: dict[str, Any] = document(
        scene.workspace.run("incidents", *options, "--json", check=True)
    )
    return found


def segments(scene: Scene, timeline: int = 1) -> list[Path]:
    """The archived segments of a timeline, in order."""
    return sorted(
        path for path in scene.sandbox.wal.glob(f"{timeline:08X}*") if len(path.name) == 24
    )


@pytest.mark.every_day(1)
@pytest.mark.parametrize(
    "ending",
    [
        ".gz",
        ".zst",
        pytest.param(".lz4", marks=pytest.mark.slow),
        pytest.param(".xz", marks=pytest.mark.slow),
    ],
)
def test_a_compressed_archive_is_read(scene: Scene, ending: str) -> None:
    scene.sql("create table doomed (n int)")
    scene.backup()
    (xid, *_) = scene.sql(XID.format("drop table doomed"))
    scene.sandbox.switch_wal()
    scene.sandbox.stop()
    for path in segments(scene):
        packed = path.with_name(path.name + ending)
        packed.write_bytes(COMPRESSORS[ending](path.read_bytes()))
        path.unlink()
    (drop,) = incidents(scene)["incidents"]
    assert (drop["kind"], str(drop["xid"])) == ("drop_table", xid)
    stop = scene.plan("--before-xid", xid)["stop"]
    assert str(stop["first_discarded"]["xid"]) == xid
    scene.plan("--to-xid", "99999", code=3)
    window = document(scene.workspace.run("timeline", "--check", "--json", check=True))["windows"]
    assert window[0]["to_time"] == drop["time"]


@pytest.mark.slow
def test_a_backup_whose_own_wal_is_spoiled_is_passed_over(scene: Scene) -> None:
    scene.sandbox.base_backup("early", "-Ft", "-Xnone")
    scene.sql("insert into keep values (2)")
    path = scene.sandbox.base_backup("late", "-Ft", "-Xnone")
    scene.sql("insert into keep values (3)")
    scene.sandbox.switch_wal()
    scene.sandbox.stop()
    listed = document(scene.workspace.run("catalog", "--json", check=True))["backups"]
    ids = {Path(item["path"]).name: item["id"] for item in listed}
    (late,) = [item for item in listed if item["path"] == str(path)]
    number = Lsn.parse(late["start_lsn"]) >> 20
    victim = scene.sandbox.wal / f"00000001{0:08X}{number:08X}"
    whole = victim.read_bytes()
    for spoiled in (bytes(len(whole)), b"x" * len(whole), whole[:100] + bytes(len(whole) - 100)):
        victim.write_bytes(spoiled)
        for options in (("--to", "latest"), ("--to", "immediate")):
            plan = scene.plan("--backup", ids["late"], *options, code=3)
            assert finding(plan, "target.not_consistent") is not None, options
        windows = document(scene.workspace.run("timeline", "--check", "--json", check=True))
        (window,) = [item for item in windows["windows"] if item["backup"] == ids["late"]]
        assert (window["ends"], window["to_lsn"]) == ("damage", None)
        assert finding(scene.plan("--to", "immediate"), "target.not_consistent") is None
        assert scene.plan("--to", "immediate")["backup"] == ids["early"]
        assert [name for name in incidents(scene)["unread"] if name["segment"] == victim.name]


@pytest.mark.slow
def test_wal_that_only_a_command_can_fetch_forbids_nothing(scene: Scene) -> None:
    scene.backup()
    (xid, *_) = scene.sql(XID.format("insert into keep values (2)"))
    scene.sandbox.switch_wal()
    known = cluster_config(scene.sandbox)
    command = f"cp {scene.sandbox.wal}/%f %p"
    scene.workspace.configure(replace(known, wal_archive=None, restore_command=command))
    plan = scene.plan("--to-xid", xid)
    assert finding(plan, "target.not_listed") is not None
    assert plan["stop"]["last_kept"] is plan["stop"]["discarded_transactions"] is None
    latest = scene.plan("--to", "latest")
    assert latest["stop"]["replayed_to"] is None


def fork(scene: Scene, *options: str) -> None:
    """Restore the cluster itself and promote it: a new timeline begins."""
    scene.workspace.run("restore", *options, "--action", "promote", "--yes", check=True)


@pytest.mark.slow
def test_incidents_on_both_sides_of_a_fork(scene: Scene) -> None:
    scene.sql("create table first (n int)", "create table second (n int)")
    scene.backup()
    (before, *_) = scene.sql(XID.format("drop table first"))
    (keep, *_) = scene.sql(XID.format("insert into keep values (2)"))
    (abandoned, *_) = scene.sql(XID.format("drop table second"))
    scene.sql("insert into keep select generate_series(1, 50000)")
    scene.sandbox.switch_wal()
    fork(scene, "--to-xid", keep)
    moment = scene.sql("select clock_timestamp()")[0]
    (after, *_) = scene.sql(XID.format("drop table second"))
    scene.sandbox.switch_wal()
    found = incidents(scene)["incidents"]
    told = [(str(item["xid"]), item["timeline"], item["arguments"][-1]) for item in found]
    assert told == [(before, 1, "2"), (abandoned, 1, "1"), (after, 2, "2")]
    recent = incidents(scene, "--from", moment.replace(" ", "T") + ":00")["incidents"]
    assert [str(item["xid"]) for item in recent] == [after], "the old branch reaches higher LSNs"
    # The parent's last segment has not been archived: its beginning is in the child's.
    for path in segments(scene):
        if path.name[8:] >= segments(scene, 2)[0].name[8:]:
            path.unlink()
    left = incidents(scene)["incidents"]
    told = [(str(item["xid"]), item["timeline"], item["arguments"][-1]) for item in left]
    assert told[0] == (before, 1, "2")
    assert told[-1] == (after, 2, "2")
    plan = scene.plan(*left[0]["arguments"])
    assert str(plan["stop"]["first_discarded"]["xid"]) == before


@pytest.mark.slow
def test_a_late_beginning_invents_nothing(scene: Scene) -> None:
    scene.sql("create table retyped (id int, note text)", "create index on retyped (note)")
    scene.backup()
    scene.sql("create table newcomer (n int)")
    start = scene.sql("select pg_current_wal_insert_lsn()")[0]
    scene.sql("alter table retyped alter id type bigint", "reindex table retyped")
    (xid, *_) = scene.sql(XID.format("drop table newcomer"))
    scene.sandbox.switch_wal()
    (drop,) = incidents(scene, "--from", start)["incidents"]
    assert (str(drop["xid"]), drop["relations"][0]["name"]) == (xid, "newcomer")


@pytest.mark.slow
def test_a_window_goes_on_from_the_backups_own_wal(scene: Scene) -> None:
    scene.backup()
    scene.sql("insert into keep values (2)")
    scene.sandbox.switch_wal()
    (listed,) = document(scene.workspace.run("catalog", "--json", check=True))["backups"]
    last = (Lsn.parse(listed["stop_lsn"]) - 1) >> 20
    for path in segments(scene):
        if int(path.name[16:], 16) <= last:
            path.unlink()
    for options in ((), ("--check",)):
        told = document(scene.workspace.run("timeline", *options, "--json", check=True))
        (window,) = told["windows"]
        assert window["ends"] == "end_of_archive", options
        assert window["to_time"] is not None
        assert Lsn.parse(window["to_lsn"]) > Lsn.parse(window["from_lsn"])


def test_what_is_not_archived_yet_is_searched(scene: Scene) -> None:
    scene.sql("create table doomed (n int)")
    scene.backup()
    scene.sandbox.switch_wal()
    (xid, *_) = scene.sql(XID.format("drop table doomed"))
    scene.sandbox.crash()
    (drop,) = incidents(scene)["incidents"]
    assert str(drop["xid"]) == xid
    stop = scene.plan("--before-xid", xid, clone=False)["stop"]
    assert str(stop["first_discarded"]["xid"]) == xid


def test_a_lock_in_a_savepoint_ends_with_its_transaction(scene: Scene) -> None:
    scene.sql("create table a (n int)")
    scene.backup()
    scene.sql("begin; savepoint s; alter table a add m int; release s; commit")
    (xid, *_) = scene.sql(XID.format("insert into keep values (2)"))
    scene.sql("insert into keep values (3)")
    scene.sandbox.switch_wal()
    assert finding(scene.plan("--to-xid", xid), "trap.locked") is None


@pytest.mark.slow
def test_a_vacuum_is_not_taken_for_the_mark_of_a_drop(scene: Scene) -> None:
    scene.sql("create database doomed")
    scene.backup()
    scene.sql("vacuum (freeze)", "select pg_switch_wal()", "insert into keep values (2)")
    scene.sql("drop database doomed")
    scene.sandbox.switch_wal()
    (drop,) = incidents(scene)["incidents"]
    plan = scene.plan(*drop["arguments"])
    assert finding(plan, "trap.dropped_database") is None
    assert plan["stop"]["last_kept"]["time"] > plan["created_at"][:10]
    assert plan["stop"]["discarded_transactions"] <= 2


def test_a_target_before_a_hole_is_not_forbidden(scene: Scene) -> None:
    scene.backup()
    (xid, *_) = scene.sql(XID.format("insert into keep values (2)"))
    for number in range(4):
        scene.sql(f"insert into keep values ({number})")
        scene.sandbox.switch_wal()
    scene.sandbox.stop()
    segments(scene)[-2].unlink()
    plan = scene.plan("--to-xid", xid)
    assert finding(plan, "wal.gap") is None
    assert finding(scene.plan("--to", "latest"), "wal.gap") is not None
