"""Whatever ends a backup early: nothing half-done looks like one, and it can be taken again."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.postgres.postmaster import is_alive
from tests.support.backups import (
    BULK,
    everything,
    hidden,
    listed,
    start_backup,
    verified,
    wait_until_half_way,
)
from tests.support.cluster import Workspace
from tests.support.command import events, finished
from tests.support.runs import held, journal, kill_runner, status, wait_for_end, wait_for_step
from tests.support.source import Source

pytestmark = pytest.mark.server

SLOWLY = ("--max-rate=16M", "--checkpoint=fast", "--name=nightly")
STEPS = ("prepare", "take", "verify", "publish")
NOT_ARCHIVING = {"archive_command": "false"}


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster with one tablespace; no interruption of a backup harms it."""
    workspace = Workspace.make()
    try:
        source = Source.make(workspace, any_binaries)
        source.sandbox.create_tablespace("fast")
        source.sandbox.sql("create table kept tablespace fast as select 1 as n")
        yield source
    finally:
        workspace.destroy()


@pytest.fixture
def root(source: Source) -> Iterator[Path]:
    """The directory for its backups, empty at first."""
    yield source.sandbox.backups
    for path in source.sandbox.backups.iterdir():
        shutil.rmtree(path)


def assert_taken(source: Source, run: str) -> None:
    """The run has ended with one good backup, and nothing else is there."""
    last = status(source.workspace, run)
    assert (last["state"], last["error"]) == ("succeeded", None)
    (known,) = listed(source.workspace)
    assert (known["id"], known["usable"]) == (last["backup"]["id"], True)
    assert known["verified_at"] is not None
    assert set(everything(source.sandbox.backups)) <= {"nightly", "nightly.tablespaces"}
    assert verified(source.workspace, known["id"])["ok"]


def test_pg_basebackup_killed(source: Source, root: Path) -> None:
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY)
    os.kill(wait_until_half_way(workspace, run, root), signal.SIGKILL)
    attached = workspace.run("attach", run, "--json")
    assert attached.returncode == 4
    last = finished(attached)
    assert (last["state"], last["step"], last["backup"]) == ("failed", "take", None)
    assert "gave no reason" in last["error"]["cause"]
    assert "Nothing of it is left" in last["error"]["evidence"]
    assert any("pgrescue resume" in step for step in last["error"]["next"])
    assert everything(root) == []
    assert listed(workspace) == []
    workspace.run("resume", run, "--yes", check=True)
    assert_taken(source, run)


def interrupted(source: Source, root: Path, *options: str) -> str:
    """A run whose runner was killed while files came."""
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY, *options)
    wait_until_half_way(workspace, run, root)
    kill_runner(workspace, run)
    last = status(workspace, run)
    assert (last["state"], last["step"], last["backup"]) == ("interrupted", "take", None)
    assert everything(root) == [".nightly.partial"]
    assert listed(workspace) == [], "what is not whole is no backup"
    return run


@pytest.mark.slow
def test_runner_killed_then_resumed(source: Source, root: Path) -> None:
    run = interrupted(source, root)
    source.workspace.run("resume", run, "--yes", check=True)
    assert_taken(source, run)


@pytest.mark.slow
def test_runner_killed_then_undone(source: Source, root: Path) -> None:
    """What still writes there is ended first, whatever words its command has."""
    run = interrupted(source, root, "--max-rate=1M", "--label=before systemctl restart")
    again = source.workspace.run("backup", "--name=nightly", "--yes", "--json")
    assert again.returncode == 3
    assert "pgrescue undo" in again.stderr, "its name is not free yet"
    undone = source.workspace.run("undo", run, "--yes", "--json", check=True)
    assert finished(undone)["state"] == "undone"
    assert everything(root) == []
    pids = [one["pid"] for one in journal(source.workspace, run) if one["event"] == "command_began"]
    assert pids
    assert not any(is_alive(pid) for pid in pids), "pg_basebackup is not left behind"


@pytest.mark.parametrize("form", ["tar", pytest.param("plain", marks=pytest.mark.slow)])
def test_aborted(source: Source, root: Path, form: str) -> None:
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY, "--max-rate=8M", f"--format={form}")
    if form == "tar":
        wait_until_half_way(workspace, run, root)
    else:
        wait_until(lambda: any(root.glob(".*.partial/*")), "the first files")
    aborted = workspace.run("abort", run, "--yes", "--json", check=True)
    assert finished(aborted)["state"] == "aborted"
    assert everything(root) == []
    assert listed(workspace) == []
    workspace.run("resume", run, "--yes", check=True)
    assert_taken(source, run)


@pytest.mark.slow
def test_aborted_while_verifying(source: Source, root: Path) -> None:
    """Stopped before it has its name it is removed, afterwards it stays; never in between."""
    workspace = source.workspace
    source.sandbox.sql(BULK.format(150_000))
    run = start_backup(workspace, "--name=nightly", "--checkpoint=fast")
    wait_for_step(workspace, run, "verify")
    with held(workspace, run) as pid:
        os.kill(pid, signal.SIGTERM)  # as `abort` does, but before the reading can end
    source.sandbox.sql("drop table bulk")
    if wait_for_end(workspace, run)["state"] == "aborted":
        assert everything(root) == []
        workspace.run("resume", run, "--yes", check=True)
    assert_taken(source, run)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("then", ["resume", "undo"])
@pytest.mark.parametrize("form", ["tar", "plain"])
def test_killed_around_any_step(
    source: Source, root: Path, step: str, then: str, form: str
) -> None:
    """Wherever the blow lands, going on and going back both leave no doubt."""
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY, f"--format={form}")
    wait_for_step(workspace, run, step)
    kill_runner(workspace, run)
    state = status(workspace, run)["state"]
    assert state in ("interrupted", "succeeded")
    completed = workspace.run(then, run, "--yes", "--json")
    if then == "resume" and state == "interrupted":
        assert completed.returncode == 0, completed.stderr
        assert_taken(source, run)
    elif everything(root):
        assert completed.returncode in (2, 3), "a backup that is whole is not deleted by an undo"
        if status(workspace, run)["state"] != "succeeded":
            workspace.run("resume", run, "--yes", check=True)
        assert_taken(source, run)
    else:
        assert completed.returncode == 0, completed.stderr
        assert status(workspace, run)["state"] == "undone"


def forget(workspace: Workspace, run: str, since: str) -> None:
    """Cut the journal off as a crash would, before the first record of a kind."""
    path = workspace.state / "runs" / run / "journal.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    kinds = [json.loads(line)["event"] for line in lines]
    path.write_text("".join(lines[: kinds.index(since)]))


@pytest.mark.slow
@pytest.mark.parametrize("form", [pytest.param("tar", marks=pytest.mark.slow), "plain"])
def test_killed_between_renaming_and_entering(source: Source, root: Path, form: str) -> None:
    """It bears its name already: it is not taken again, and not torn by an undo."""
    workspace = source.workspace
    run = start_backup(workspace, "--name=nightly", f"--format={form}")
    assert wait_for_end(workspace, run)["state"] == "succeeded"
    place = (root / "nightly").stat().st_ino
    forget(workspace, run, "entered")
    assert status(workspace, run)["state"] == "interrupted"
    undo = workspace.run("undo", run, "--yes", "--json")
    assert undo.returncode == 3
    assert "pgrescue resume" in undo.stderr
    workspace.run("resume", run, "--yes", check=True)
    assert (root / "nightly").stat().st_ino == place
    assert_taken(source, run)


@pytest.mark.slow
@pytest.mark.parametrize("blow", ["abort", "kill"])
def test_stopped_while_it_waits_for_the_archive(
    any_binaries: ServerBinaries, workspace: Workspace, blow: str
) -> None:
    """The backup is there by then; only the word on its archiving is missing."""
    source = Source.make(workspace, any_binaries, settings=NOT_ARCHIVING)
    run = start_backup(workspace, "--name=nightly")

    def waits() -> bool:
        return any("in the archive" in one.get("detail", "") for one in journal(workspace, run))

    wait_until(waits, "the wait for the archive")
    if blow == "abort":
        workspace.run("abort", run, "--yes", check=True)
    else:
        kill_runner(workspace, run)
    (known,) = listed(workspace)
    assert known["verified_at"] is not None
    works = f"cp %p {source.sandbox.wal}/%f"
    source.sandbox.sql(f"alter system set archive_command = '{works}'; select pg_reload_conf()")
    last = finished(workspace.run("resume", run, "--yes", "--json", check=True))
    assert last["state"] == "succeeded"
    assert hidden(source.sandbox.backups) == []
    assert [one["path"] for one in listed(workspace)] == [last["backup"]["path"]]
    assert sum(one["event"] == "entered" for one in journal(workspace, run)) == 2


@pytest.mark.slow
def test_two_at_once(source: Source, root: Path) -> None:
    """Each has its own name; the same name is refused to the second."""
    workspace = source.workspace
    first = start_backup(workspace, *SLOWLY, "--max-rate=2M")
    wait_until_half_way(workspace, first, root)
    same = workspace.run("backup", *SLOWLY, "--yes", "--json")
    assert same.returncode == 3
    assert events(same)[-1]["error"]["exit_code"] == 3
    other = workspace.run("backup", "--name=other", "--yes", "--json", check=True)
    assert finished(other)["state"] == "succeeded"
    assert wait_for_end(workspace, first)["state"] == "succeeded"
    assert {Path(one["path"]).name for one in listed(workspace)} == {"nightly", "other"}
