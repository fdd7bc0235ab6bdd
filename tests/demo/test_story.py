"""The demo's story: what it claims to be true is what PostgreSQL itself recovers."""

from __future__ import annotations

import shutil
import tomllib
from datetime import UTC, datetime

import pytest

from pgrescue.demo import story
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.directory import DemoDirectory, chosen_directory, fresh_directory
from pgrescue.demo.headless import compare
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.demo.story import TableState, Truth
from pgrescue.errors import UsageError
from pgrescue.postgres.conf_file import quote
from tests.support.cluster import Workspace


def _told(workspace: Workspace, binaries: ServerBinaries) -> tuple[DemoDirectory, Sandbox, Truth]:
    demo = DemoDirectory(workspace.path)
    sandbox = workspace.sandbox(binaries, demo.cluster.name)
    story.build(demo, sandbox)
    sandbox.start()
    return demo, sandbox, story.tell(demo, sandbox, lambda line: None)


def _recover_by_hand(sandbox: Sandbox, backup: str, settings: dict[str, str]) -> None:
    """What a DBA does with nothing but PostgreSQL: the plain backup, a target, a start."""
    sandbox.stop()
    shutil.rmtree(sandbox.data)
    shutil.copytree(sandbox.backups / backup, sandbox.data)
    (sandbox.data / "recovery.signal").touch()
    wanted = {"restore_command": f"cp {sandbox.wal}/%f %p", "archive_mode": "off", **settings}
    with (sandbox.data / "postgresql.auto.conf").open("a") as configuration:
        configuration.writelines(f"{name} = {quote(value)}\n" for name, value in wanted.items())
    for path in (sandbox.data, *sandbox.data.rglob("*")):
        shutil.chown(path, sandbox.account.uid, sandbox.account.gid)
    sandbox.start()
    wait_until(lambda: sandbox.sql("select pg_is_in_recovery()") == ["f"], "promotion")


@pytest.mark.every_day(1)
@pytest.mark.server
def test_truth_is_what_postgresql_recovers(
    server_binaries: ServerBinaries, workspace: Workspace
) -> None:
    demo, sandbox, truth = _told(workspace, server_binaries)
    assert story.read_truth(demo) == truth
    assert truth.dropped_table in truth.before_drop
    assert truth.dropped_table not in truth.at_end
    assert truth.at_end["orders"].rows > truth.before_drop["orders"].rows
    age = datetime.now(UTC) - datetime.fromisoformat(truth.drop_time)
    assert 0 <= age.total_seconds() < 600
    target = {
        "recovery_target_xid": str(truth.drop_xid),
        "recovery_target_inclusive": "off",
        "recovery_target_action": "promote",
        "recovery_target_timeline": "current",
    }
    _recover_by_hand(sandbox, "tuesday", target)
    assert story.look(sandbox) == truth.before_drop
    _recover_by_hand(sandbox, "tuesday", {"recovery_target_timeline": "current"})
    assert story.look(sandbox) == truth.at_end


@pytest.mark.server
def test_configuration_names_what_is_there(
    any_binaries: ServerBinaries, workspace: Workspace
) -> None:
    demo, sandbox, _ = _told(workspace, any_binaries)
    cluster = tomllib.loads(demo.config.read_text())["clusters"]["shop"]
    assert cluster["data_directory"] == str(sandbox.data)
    assert (sandbox.backups / "monday" / "base.tar.gz").exists()
    assert (sandbox.backups / "tuesday" / "PG_VERSION").exists()
    assert sandbox.sql_at(cluster["conninfo"], "select current_database()") == ["shop"]


def test_comparison_names_the_table_and_the_difference() -> None:
    expected = {"a": TableState(3, "x"), "b": TableState(1, "x"), "c": TableState(1, "x")}
    found = {"a": TableState(2, "y"), "b": TableState(1, "z"), "d": TableState(0, "")}
    assert compare(expected, expected) == []
    assert compare(expected, found) == [
        "table a has 2 rows instead of 3",
        "table b has 1 rows, but other content",
        "table c is missing",
        "table d should not be there",
    ]


def test_directory_of_somebody_else_is_refused(workspace: Workspace) -> None:
    theirs = workspace.path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("irreplaceable")
    with pytest.raises(UsageError):
        chosen_directory(theirs)
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]


def test_clearing_leaves_what_is_not_the_demos() -> None:
    demo = fresh_directory()
    demo.cluster.mkdir()
    demo.truth.write_text("{}")
    notes = demo.path / "notes.txt"
    notes.write_text("mine")
    demo.clear()
    assert list(demo.path.iterdir()) == [notes]
    notes.unlink()
    demo.clear()
    assert not demo.path.exists()
