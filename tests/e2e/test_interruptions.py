"""A run survives its watcher, its runner's death, and being stopped: no data is ever lost."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys

import pytest

from pgrescue.demo.processes import wait_until
from tests.support.command import command_environment, document, events, finished
from tests.support.runs import (
    held,
    is_asked_to_stop,
    journal,
    kill_runner,
    start_detached,
    status,
    wait_for_end,
    wait_for_step,
)
from tests.support.source import Source

pytestmark = pytest.mark.server

BULK = """
create table bulk as select n, repeat(md5(n::text), 30) as text from generate_series(1, {rows}) n;
"""
COMMON = {("set_aside", "undo"), ("start", "resume")}
STEPS = (
    "stop",
    "rescue_wal",
    "set_aside",
    "extract",
    "place_wal",
    "configure",
    "complete",
    "start",
    "replay",
    "verify",
    "tidy",
)


@pytest.fixture
def large_victim(any_victim: Source) -> Source:
    """A cluster whose extraction takes long enough to be caught in the middle."""
    any_victim.sandbox.sql(BULK.format(rows=150_000))
    any_victim.backup("large", "-Ft", "-Xs")
    any_victim.log.mark("after the large backup")
    return any_victim


def caught_in_the_middle(source: Source) -> str:
    """A restore whose runner was killed while it extracted."""
    workspace = source.workspace
    run = start_detached(workspace, "--backup", source.id_of("large"))
    wait_for_step(workspace, run, "extract")
    kill_runner(workspace, run)
    seen = status(workspace, run)
    assert (seen["state"], seen["step"]) == ("interrupted", "extract")
    assert not (source.sandbox.data / "global" / "pg_control").exists(), "cannot be started"
    return run


def test_killed_while_extracting_then_resumed(large_victim: Source) -> None:
    run = caught_in_the_middle(large_victim)
    resumed = large_victim.workspace.run("resume", "--yes", "--json", check=True)
    assert finished(resumed)["state"] == status(large_victim.workspace, run)["state"] == "succeeded"
    assert len(events(resumed)) == 1, "one object; what happens until then is narrated"
    assert "> " in resumed.stderr
    assert "done in" in resumed.stderr
    assert large_victim.place.rows() == large_victim.log.expected("latest")
    assert large_victim.place.sql("select count(*) from bulk") == ["150000"]


@pytest.mark.slow
def test_killed_while_extracting_then_undone(large_victim: Source) -> None:
    caught_in_the_middle(large_victim)
    undone = large_victim.workspace.run("undo", "--yes", "--json", check=True)
    assert finished(undone)["state"] == "undone"
    assert large_victim.place.rows() == large_victim.log.expected("latest")
    assert not large_victim.place.in_recovery()


@pytest.mark.parametrize("then", ["resume", "undo"])
def test_aborted_while_extracting(large_victim: Source, then: str) -> None:
    workspace = large_victim.workspace
    run = start_detached(workspace, "--backup", large_victim.id_of("large"))
    wait_for_step(workspace, run, "extract")
    with held(workspace, run) as pid:
        asked = subprocess.Popen(
            (sys.executable, "-m", "pgrescue", "-c", workspace.config, "abort", run, "--yes"),
            env=command_environment(workspace.state),
        )
        wait_until(lambda: is_asked_to_stop(pid), "the request to stop")
    assert asked.wait(60) == 0
    seen = status(workspace, run)
    assert (seen["state"], seen["step"]) == ("aborted", "extract")
    assert not large_victim.place.is_running
    again = document(workspace.run("plan", "--json"))["preflight"]
    (said,) = [one for one in again if one["status"] == "blocker"]
    assert said["fix"] == f"pgrescue resume {run}, or pgrescue undo {run}"
    workspace.run(then, "--yes", check=True)
    assert large_victim.place.rows() == large_victim.log.expected("latest")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "then"),
    [
        pytest.param(step, then, marks=() if (step, then) in COMMON else pytest.mark.slow)
        for step, then in itertools.product(STEPS, ("resume", "undo"))
    ],
)
def test_killed_around_any_step(any_victim: Source, step: str, then: str) -> None:
    """Wherever the blow lands, going on and going back both work."""
    workspace = any_victim.workspace
    any_victim.log.mark("only in pg_wal")
    run = start_detached(workspace, "--to", "latest")
    wait_for_step(workspace, run, step)
    kill_runner(workspace, run)
    seen = status(workspace, run)["state"]
    assert seen in ("interrupted", "succeeded")
    if then == "undo" or seen == "interrupted":
        completed = workspace.run(then, run, "--yes", "--json")
        nothing_to_undo = then == "undo" and completed.returncode == 2
        assert completed.returncode == 0 or nothing_to_undo, completed.stderr
        if nothing_to_undo:
            workspace.run("resume", run, "--yes", check=True)
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    assert not any_victim.place.in_recovery()


@pytest.mark.slow
@pytest.mark.parametrize("then", [pytest.param("resume", marks=pytest.mark.slow), "undo"])
def test_runner_killed_while_undoing(large_victim: Source, then: str) -> None:
    workspace = large_victim.workspace
    workspace.run("restore", "--to", "immediate", "--action", "promote", "--yes", check=True)
    (run,) = (status(workspace)["run"],)
    workspace.run("undo", "--yes", "--detach", check=True)
    wait_for_step(workspace, run, "undo_move")
    kill_runner(workspace, run)
    if status(workspace, run)["state"] != "undone":
        workspace.run(then, run, "--yes", check=True)
    assert status(workspace, run)["state"] == "undone"
    assert large_victim.place.rows() == large_victim.log.expected("latest")


def test_detached_run_can_be_watched_later(any_victim: Source) -> None:
    workspace = any_victim.workspace
    run = start_detached(workspace)
    attached = workspace.run("attach", run, "--json", check=True)
    told = events(attached)
    assert [record["seq"] for record in told[:-1]] == list(range(1, len(told)))
    assert told[0]["event"] == "created"
    last = finished(attached)
    assert (last["run"], last["state"]) == (run, "succeeded")
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    again = workspace.run("attach", "--json", check=True)
    assert again.stdout == attached.stdout, "what has ended can be watched again"


@pytest.mark.parametrize(
    "blow",
    [
        signal.SIGHUP,
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGKILL, marks=pytest.mark.slow),
    ],
)
def test_run_outlives_its_terminal(any_victim: Source, blow: signal.Signals) -> None:
    workspace = any_victim.workspace
    watcher = subprocess.Popen(
        (sys.executable, "-m", "pgrescue", "-c", str(workspace.config), "restore", "--yes"),
        cwd=workspace.path,
        env=command_environment(workspace.state),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert watcher.stderr is not None
    for line in watcher.stderr:
        if line.startswith(b"> "):
            break
    os.killpg(watcher.pid, blow)
    watcher.communicate(timeout=30)
    last = wait_for_end(workspace, status(workspace)["run"])
    assert last["state"] == "succeeded"
    assert any_victim.place.rows() == any_victim.log.expected("latest")


@pytest.mark.slow
def test_second_restore_waits_its_turn(large_victim: Source) -> None:
    workspace = large_victim.workspace
    run = start_detached(workspace, "--backup", large_victim.id_of("large"))
    with held(workspace, run):
        refused = large_victim.restore(check=False)
        assert refused.returncode == 3
        assert run in refused.stderr
        undo = workspace.run("undo", run, "--yes")
        assert undo.returncode == 3
    assert wait_for_end(workspace, run)["state"] == "succeeded"
    assert large_victim.place.rows() == large_victim.log.expected("latest")


@pytest.mark.slow
def test_torn_journal_line_is_survived(any_victim: Source) -> None:
    workspace = any_victim.workspace
    run = start_detached(workspace, "--to", "latest")
    wait_for_step(workspace, run, "set_aside")
    kill_runner(workspace, run)
    path = workspace.state / "runs" / run / "journal.jsonl"
    with path.open("ab") as file:
        file.write(b'{"event":"step_ended","step":"ext')
    if status(workspace, run)["state"] == "interrupted":
        workspace.run("resume", run, "--yes", check=True)
    assert journal(workspace, run)[-1]["event"] == "finished"
    assert any_victim.place.rows() == any_victim.log.expected("latest")
