"""Traps are foretold, and the way around them that the plan offers works."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document
from tests.support.recovery import Bench, Running

pytestmark = pytest.mark.server


class Scene:
    """A sandbox with one backup; statements, plans, and recoveries from it."""

    def __init__(self, workspace: Workspace, binaries: ServerBinaries) -> None:
        self.workspace = workspace
        self.sandbox: Sandbox = workspace.sandbox(binaries)
        self.sandbox.init(1, settings={"max_prepared_transactions": "5", "autovacuum": "off"})
        self.sandbox.start()
        workspace.configure(cluster_config(self.sandbox))
        self.sql("create table keep (n int)", "insert into keep values (1)")

    def sql(self, *statements: str) -> list[str]:
        """Each its own transaction; the rows of the last one."""
        rows: list[str] = []
        for statement in statements:
            rows = self.sandbox.sql(statement)
        return rows

    def backup(self) -> Path:
        """A base backup with its WAL."""
        return self.sandbox.base_backup("one", "-Ft", "-Xstream")

    def plan(self, *options: str, code: int = 0, clone: bool = True) -> dict[str, Any]:
        """The dry run of a clone, or of a restore in place."""
        where = ("--into", str(self.workspace.path / "clone")) if clone else ()
        completed = self.workspace.run("plan", *where, *options, "--json")
        assert completed.returncode == code, completed.stdout
        plan: dict[str, Any] = document(completed)
        return plan

    @contextmanager
    def recovered(self, backup: Path, settings: dict[str, str], action: str) -> Iterator[Running]:
        """A server that PostgreSQL itself has recovered."""
        sandbox = self.sandbox
        with (
            Bench(sandbox.account, sandbox.binaries, sandbox.wal) as bench,
            bench.server(backup, settings, action=action) as running,  # type: ignore[arg-type]
        ):
            yield running


@pytest.fixture
def scene(workspace: Workspace, any_binaries: ServerBinaries) -> Scene:
    """A running sandbox."""
    return Scene(workspace, any_binaries)


def finding(plan: dict[str, Any], code: str) -> dict[str, Any] | None:
    """The finding of that code, if the plan has it."""
    return next((item for item in plan["preflight"] if item["code"] == code), None)


def offered(text: str) -> tuple[str, str]:
    """The LSN target that a fix offers, as options."""
    found = re.search(r"--to-lsn ([0-9A-F]+/[0-9A-F]+) --exclusive", text)
    assert found is not None, text
    return "--to-lsn", found[1]


def test_a_pause_before_a_drop_locks_the_table(scene: Scene) -> None:
    scene.sql("create table doomed (n int)", "insert into doomed values (1)")
    backup = scene.backup()
    (xid, *_) = scene.sql("begin; drop table doomed; select txid_current(); commit")
    scene.sandbox.switch_wal()
    trap = finding(scene.plan("--before-xid", xid), "trap.locked")
    assert trap is not None
    assert "public.doomed in postgres" in trap["message"]
    option, lsn = offered(trap["fix"])
    assert "loses nothing more" in trap["fix"]
    before = {"recovery_target_xid": xid, "recovery_target_inclusive": "off"}
    with scene.recovered(backup, before, "pause") as running:
        assert is_locked(running)
    assert finding(scene.plan(option, lsn, "--exclusive"), "trap.locked") is None
    early = {"recovery_target_lsn": lsn, "recovery_target_inclusive": "off"}
    with scene.recovered(backup, early, "pause") as running:
        assert not is_locked(running)
    promoted = scene.plan("--before-xid", xid, "--action", "promote")
    assert finding(promoted, "trap.locked") is None


def is_locked(running: Running) -> bool:
    with psycopg.connect(running.conninfo(), autocommit=True) as connection:
        connection.execute("set lock_timeout = '500ms'")
        try:
            connection.execute("select count(*) from doomed")
        except psycopg.errors.LockNotAvailable:
            return True
    return False


@pytest.mark.slow
def test_a_dropped_database_is_gone_before_the_commit(scene: Scene) -> None:
    scene.sql("create database doomed")
    backup = scene.backup()
    scene.sql("insert into keep values (2)", "drop database doomed")
    scene.sandbox.switch_wal()
    listed = document(scene.workspace.run("incidents", "--json", check=True))["incidents"]
    (drop,) = [item for item in listed if item["kind"] == "drop_database"]
    trap = finding(scene.plan("--before-xid", str(drop["xid"])), "trap.dropped_database")
    assert trap is not None
    assert "database doomed" in trap["message"]
    _, lsn = offered(trap["fix"])
    assert drop["arguments"][:2] == ["--to-lsn", lsn]
    safe = scene.plan(*drop["arguments"])
    assert finding(safe, "trap.dropped_database") is None
    early = {"recovery_target_lsn": lsn, "recovery_target_inclusive": "off"}
    with scene.recovered(backup, early, "promote") as running:
        assert running.reached is not None
        assert running.reached.promoted
        with psycopg.connect(running.conninfo("doomed")) as connection:
            assert connection.execute("select 1").fetchone() == (1,)
    late = {"recovery_target_xid": str(drop["xid"]), "recovery_target_inclusive": "off"}
    with (
        scene.recovered(backup, late, "promote") as running,
        pytest.raises(psycopg.OperationalError),
    ):
        psycopg.connect(running.conninfo("doomed"))


def test_a_pause_that_turns_into_a_promotion(scene: Scene) -> None:
    with psycopg.connect(scene.sandbox.conninfo()) as busy:
        for number in range(80):
            busy.execute("savepoint s")
            busy.execute("insert into keep values (%s)", (number,))
        backup = scene.backup()
        scene.sql("insert into keep values (-1)")
        (xid, *_) = scene.sql("begin; insert into keep values (-2); select txid_current(); commit")
        scene.sql("insert into keep values (-3)")
        scene.sandbox.switch_wal()
        busy.rollback()
    trap = finding(scene.plan("--to-xid", xid), "trap.no_pause")
    assert trap is not None
    assert "--action shutdown" in trap["fix"]
    with scene.recovered(backup, {"recovery_target_xid": xid}, "pause") as running:
        assert running.reached is not None
        assert running.reached.promoted
        assert not running.reached.paused
    assert finding(scene.plan("--to-xid", xid, "--action", "shutdown"), "trap.no_pause") is None


def test_an_ordinary_pause_is_a_pause(scene: Scene) -> None:
    scene.backup()
    (xid, *_) = scene.sql("begin; insert into keep values (2); select txid_current(); commit")
    scene.sandbox.switch_wal()
    plan = scene.plan("--to-xid", xid)
    traps = [item["code"] for item in plan["preflight"] if item["code"].startswith("trap.")]
    assert traps == []


def test_a_restore_point_that_is_there_twice(scene: Scene) -> None:
    scene.backup()
    for number in (2, 3):
        scene.sql(f"insert into keep values ({number})", "select pg_create_restore_point('twice')")
    scene.sandbox.switch_wal()
    plan = scene.plan("--to-name", "twice")
    trap = finding(plan, "trap.duplicate_name")
    assert trap is not None
    assert "2 restore points" in trap["message"]
    assert plan["stop"]["discarded_transactions"] == 1, "it stops at the first"
    unknown = scene.plan("--to-name", "twise", code=3)
    blocker = finding(unknown, "target.no_such_name")
    assert blocker is not None
    assert "--to-name twice" in blocker["fix"]


def test_settings_that_were_raised_later_are_raised(scene: Scene) -> None:
    scene.backup()
    scene.sql("alter system set max_connections = 77")
    scene.sandbox.stop()
    scene.sandbox.start()
    (xid, *_) = scene.sql("begin; insert into keep values (2); select txid_current(); commit")
    scene.sandbox.switch_wal()
    assert scene.plan("--to-xid", xid)["settings"]["max_connections"] == "77"
    assert scene.plan("--to", "immediate")["settings"].get("max_connections") != "77"


def test_a_tablespace_that_replay_will_make(scene: Scene) -> None:
    scene.backup()
    scene.sql("insert into keep values (2)")
    path = scene.sandbox.create_tablespace("later")
    scene.sandbox.switch_wal()
    trap = finding(scene.plan("--to", "latest", code=3), "trap.tablespace_created")
    assert trap is not None
    assert (trap["status"], str(path) in trap["message"]) == ("blocker", True)
    option, lsn = offered(trap["fix"])
    early = scene.plan(option, lsn, "--exclusive")
    assert finding(early, "trap.tablespace_created") is None
    scene.sandbox.stop()
    in_place = scene.plan("--to", "latest", clone=False)
    trap = finding(in_place, "trap.tablespace_created")
    assert trap is not None
    assert trap["status"] == "warning"


def test_a_subtransaction_leads_to_its_transaction(scene: Scene) -> None:
    scene.backup()
    script = (
        "begin; insert into keep values (2); savepoint s; insert into keep values (3); "
        "select xmin::text from keep where n = 3; release s; select txid_current(); commit"
    )
    sub, top = scene.sql(script)
    scene.sandbox.switch_wal()
    blocker = finding(scene.plan("--to-xid", sub, code=3), "target.subtransaction")
    assert blocker is not None
    assert f"--to-xid {top}" in blocker["fix"]


@pytest.mark.slow
def test_a_target_in_the_backup_is_reached_from_an_earlier_one(scene: Scene) -> None:
    scene.backup()
    (xid, *_) = scene.sql("begin; insert into keep values (2); select txid_current(); commit")
    scene.sql("insert into keep values (3)")
    scene.sandbox.base_backup("two", "-Ft", "-Xstream")
    scene.sandbox.switch_wal()
    listed = document(scene.workspace.run("catalog", "--json", check=True))["backups"]
    ids = {Path(item["path"]).name: item["id"] for item in listed}
    assert scene.plan("--to-xid", xid)["backup"] == ids["one"]
    assert scene.plan("--to", "latest")["backup"] == ids["two"]
    blocked = scene.plan("--to-xid", xid, "--backup", ids["two"], code=3)
    assert finding(blocked, "target.no_such_transaction") is not None
