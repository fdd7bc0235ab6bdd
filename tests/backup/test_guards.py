"""What must never happen: a backup that hides another, is of another cluster, or is not whole."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.load import load_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.desk import Desk
from pgrescue.postgres.postmaster import is_alive
from pgrescue.run.acts import start
from tests.support.backups import ask, everything, listed, start_backup, told, wait_until_half_way
from tests.support.cluster import Workspace
from tests.support.command import finished
from tests.support.damage import change_file, flip_in
from tests.support.runs import held, kill_runner, wait_for_end
from tests.support.source import Source

pytestmark = pytest.mark.server

SLOWLY = ("--max-rate=16M", "--checkpoint=fast", "--name=nightly")
PARTIAL = ".nightly.partial"


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """One cluster for all: none of this harms it."""
    workspace = Workspace.make()
    try:
        yield Source.make(workspace, any_binaries)
    finally:
        workspace.destroy()


@pytest.fixture
def root(source: Source) -> Path:
    """The directory for its backups, empty."""
    assert everything(source.sandbox.backups) == []
    return source.sandbox.backups


@pytest.mark.slow
def test_place_that_is_taken_meanwhile(source: Source, root: Path) -> None:
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY)
    (root / "nightly").mkdir()
    (root / "nightly" / "precious").write_text("mine")
    completed = workspace.run("attach", run, "--json")
    assert completed.returncode == 4
    assert f"{root / 'nightly'} exists already" in told(completed)
    assert "stays hidden" in told(completed)
    assert finished(completed)["step"] == "publish"
    assert everything(root) == [PARTIAL, "nightly"]
    assert everything(root / "nightly") == ["precious"]
    taken = (root / PARTIAL).stat().st_ino
    (root / "nightly").rename(root.parent / "moved-away")
    workspace.run("resume", run, "--yes", check=True)
    assert everything(root) == ["nightly"]
    assert (root / "nightly").stat().st_ino == taken, "it was not taken again"
    assert [one["verified_at"] is not None for one in listed(workspace)] == [True]
    (root / "nightly").rename(root.parent / "the-backup")


def test_damage_on_the_way_keeps_it_hidden(source: Source, root: Path) -> None:
    """The disk turns a byte between writing and reading."""
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY)
    tool = wait_until_half_way(workspace, run, root)
    name = source.sandbox.sql("select pg_relation_filepath('pg_class')")[0]
    with held(workspace, run):
        wait_until(lambda: not is_alive(tool), "the end of pg_basebackup")
        change_file(root / PARTIAL, name, lambda content: flip_in(content, 8192))
    completed = workspace.run("attach", run, "--json")
    assert completed.returncode == 4
    said = told(completed)
    for words in ("not what its manifest says: 1 problems", name, "stays hidden", "pgrescue undo"):
        assert words in said
    assert finished(completed)["step"] == "verify"
    assert everything(root) == [PARTIAL]
    assert listed(workspace) == []
    again = workspace.run("resume", run, "--yes", "--json")
    assert again.returncode == 4, "it does not become better by being looked at again"
    assert everything(root) == [PARTIAL]
    workspace.run("undo", run, "--yes", check=True)
    assert everything(root) == []


@pytest.fixture
def double(source: Source) -> Iterator[Sandbox]:
    """Another cluster that can answer where the first one did; the first one runs afterwards."""
    name = f"double{len(source.workspace.sandboxes)}"
    sandbox = source.workspace.sandbox(source.sandbox.binaries, name)
    sandbox.endpoint = source.sandbox.endpoint
    sandbox.init()
    yield sandbox
    sandbox.stop()
    source.sandbox.start()


@pytest.mark.parametrize("verify", [pytest.param(True, marks=pytest.mark.slow), False])
def test_another_cluster_answers_meanwhile(
    source: Source, root: Path, double: Sandbox, verify: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = source.workspace
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))
    config = load_config(workspace.config)
    desk = Desk(config, config.clusters["main"])
    plan = desk.backup_plan(BackupRequest(name="nightly", verify=verify))
    source.sandbox.stop()
    double.start()
    run = start(plan).id
    last = wait_for_end(workspace, run)
    assert last["state"] == "failed"
    assert last["error"]["exit_code"] == 4
    assert "Another cluster than the planned one" in last["error"]["title"]
    assert plan.work.system_identifier in last["error"]["cause"]
    assert everything(root) == [PARTIAL]
    assert listed(workspace) == []
    workspace.run("undo", run, "--yes", check=True)
    assert everything(root) == []


@pytest.mark.parametrize("then", ["resume", pytest.param("undo", marks=pytest.mark.slow)])
def test_hidden_directory_that_was_exchanged(source: Source, root: Path, then: str) -> None:
    """What somebody else has put there is neither emptied nor deleted."""
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY)
    wait_until_half_way(workspace, run, root)
    kill_runner(workspace, run)
    elsewhere = source.workspace.path / f"exchanged-{then}"
    (root / PARTIAL).rename(elsewhere)
    (root / PARTIAL).mkdir()
    (root / PARTIAL / "precious").write_text("mine")
    completed = workspace.run(then, run, "--yes", "--json")
    assert completed.returncode == 4
    assert "not the directory that this run has made" in told(completed)
    assert (root / PARTIAL / "precious").read_text() == "mine"
    (root / PARTIAL / "precious").unlink()
    (root / PARTIAL).rmdir()
    workspace.run("undo", run, "--yes", check=True)
    assert everything(root) == []


def test_mapped_place_that_is_somebody_elses(source: Source, root: Path) -> None:
    """A tablespace's place that is not empty is seen beforehand."""
    place = source.workspace.path / "full"
    place.mkdir()
    (place / "precious").write_text("mine")
    where = source.sandbox.create_tablespace("fast")
    try:
        refused = ask(source.workspace, "--format=plain", f"--tablespace={where}={place}")
    finally:
        source.sandbox.sql("drop tablespace fast")
    assert refused.returncode == 3
    assert "no empty directory" in told(refused)
    assert (place / "precious").read_text() == "mine"
    assert everything(root) == []
