"""The command that is told how a run ended."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_processes_with, wait_until
from tests.support.cluster import cluster_config
from tests.support.command import events, finished
from tests.support.runs import kill_runner, status, wait_for_step
from tests.support.source import Source

pytestmark = pytest.mark.server


def told(source: Source, command: str) -> Path:
    """Configure a command; `{}` in it is where it writes what it was told."""
    path = source.workspace.path / "told.json"
    told_to = command.format(path)
    source.workspace.configure(replace(cluster_config(source.sandbox), notify=told_to))
    return path


def test_the_end_of_a_backup_and_of_a_drill_is_told(any_victim: Source) -> None:
    path = told(any_victim, "cat >{0}.new && mv {0}.new {0}")
    finished(
        any_victim.workspace.run("backup", "--checkpoint", "fast", "--yes", "--json", check=True)
    )
    wait_until(path.exists, "the notification of the backup")
    result = json.loads(path.read_text())
    assert (result["kind"], result["state"], result["exit_code"]) == ("backup", "succeeded", 0)
    assert result["backup"]["verified"] is True
    assert Path(result["report"]).exists()
    path.unlink()
    with any_victim.clone("--to", "latest"):
        wait_until(path.exists, "the notification of the drill")
        assert json.loads(path.read_text())["kind"] == "drill"


def test_a_failed_run_is_told_too_and_a_failing_command_is_noted(any_victim: Source) -> None:
    path = told(any_victim, "cat >{0}.new && mv {0}.new {0}; exit 7")
    bad = ("--label", "x", "--name", "taken", "--checkpoint", "fast")
    finished(any_victim.workspace.run("backup", *bad, "--yes", "--json", check=True))
    wait_until(path.exists, "the notification")
    run = json.loads(path.read_text())["run"]

    def noted() -> bool:
        return any("exit code 7" in note for note in status(any_victim.workspace, run)["notes"])

    wait_until(noted, "the note on the command's failure")
    assert status(any_victim.workspace, run)["state"] == "succeeded"


def test_what_is_not_begun_is_told(any_victim: Source) -> None:
    path = told(any_victim, "cat >{0}.new && mv {0}.new {0}")
    any_victim.sandbox.stop()
    assert any_victim.workspace.run("backup", "--yes").returncode == 3
    result = json.loads(path.read_text())
    assert (result["kind"], result["state"], result["exit_code"]) == ("backup", "failed", 3)
    assert "no server runs" in result["error"]["title"]
    path.unlink()
    any_victim.workspace.run("backup", "--dry-run")
    assert not path.exists(), "nobody meant to begin anything"


def test_a_run_without_its_runner_is_told_by_whoever_watches(any_victim: Source) -> None:
    path = told(any_victim, "cat >{0}.new && mv {0}.new {0}")
    workspace = any_victim.workspace
    slowly = ("--max-rate", "1M", "--checkpoint", "fast", "--yes", "--json", "--detach")
    run = events(workspace.run("backup", *slowly, check=True))[-1]["run"]
    wait_for_step(workspace, run, "take")
    with ThreadPoolExecutor(1) as pool:
        watching = pool.submit(workspace.run, "attach", run)
        time.sleep(3)
        kill_runner(workspace, run)
        watching.result()
    result = json.loads(path.read_text())
    assert (result["kind"], result["state"]) == ("backup", "interrupted")
    workspace.run("undo", run, "--yes", check=True)


@pytest.mark.slow
def test_a_command_that_hangs_holds_nobody_up(any_victim: Source) -> None:
    path = told(any_victim, "cat >{0}; sleep 300")
    begun = time.monotonic()
    taken = ("--name", "taken", "--checkpoint", "fast", "--yes", "--json")
    finished(any_victim.workspace.run("backup", *taken, check=True))
    assert time.monotonic() - begun < 60
    run = json.loads(path.read_text())["run"]

    def noted() -> bool:
        return any("still at work" in note for note in status(any_victim.workspace, run)["notes"])

    wait_until(noted, "the note on the command that hangs")
    stop_processes_with("PGRESCUE_STATE", str(any_victim.workspace.state))
