"""The command that is told how a run ended."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_processes_with, wait_until
from tests.support.cluster import cluster_config
from tests.support.command import finished
from tests.support.runs import status
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
