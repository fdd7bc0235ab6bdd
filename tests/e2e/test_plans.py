"""`restore --plan FILE` executes exactly that plan, or says why it does not."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Completed, document, finished
from tests.support.runs import status
from tests.support.source import Source

pytestmark = pytest.mark.server


def keep_plan(source: Source, *options: str) -> Path:
    """A plan, reviewed and kept in a file."""
    path = source.workspace.path / "reviewed.json"
    path.write_text(source.workspace.run("plan", *options, "--json", check=True).stdout)
    return path


def execute(source: Source, plan: Path) -> Completed:
    """Execute the plan in that file."""
    return source.workspace.run("restore", "--plan", str(plan), "--yes", "--json")


def test_exactly_that_plan(victim: Source) -> None:
    epoch = victim.log.epochs[2]
    plan = keep_plan(victim, "--to-xid", str(epoch.xid), "--action", "promote")
    completed = execute(victim, plan)
    assert completed.returncode == 0, completed.stderr
    assert finished(completed)["plan"] == json.loads(plan.read_text())["id"]
    assert victim.place.rows() == [1, 2, 3]
    run = victim.workspace.state / "runs" / status(victim.workspace)["run"]
    assert json.loads((run / "plan.json").read_text()) == json.loads(plan.read_text())


def test_altered_plan_is_refused(any_victim: Source) -> None:
    plan = keep_plan(any_victim, "--to-xid", str(any_victim.log.epochs[2].xid))
    reviewed = plan.read_text()
    for alter in (another_target, another_command, another_place, one_more, one_less):
        content = json.loads(reviewed)
        alter(content)
        plan.write_text(json.dumps(content))
        completed = execute(any_victim, plan)
        assert completed.returncode == 3, alter
        assert "altered" in completed.stderr
    assert any_victim.place.rows() == any_victim.log.expected("latest")


def another_target(content: dict[str, Any]) -> None:
    content["target"]["xid"] += 1


def another_command(content: dict[str, Any]) -> None:
    content["steps"][0]["commands"] = ["rm -rf /"]


def another_place(content: dict[str, Any]) -> None:
    content["work"]["data_directory"] = "/srv/somewhere/else"


def one_more(content: dict[str, Any]) -> None:
    content["steps"][0]["approved_by"] = "anna"


def one_less(content: dict[str, Any]) -> None:
    """One that has a default, which it was planned with."""
    del content["work"]["neighbours"]


def test_something_else_is_no_plan(any_victim: Source) -> None:
    path = any_victim.workspace.path / "no-plan.json"
    path.write_text('{"hello": "world"}')
    assert execute(any_victim, path).returncode == 2
    assert execute(any_victim, path.with_name("missing.json")).returncode == 2


def touch_the_backup(source: Source) -> str:
    archive = source.backups["nightly"].path / "base.tar.gz"
    os.utime(archive, (0, 0))
    return str(archive)


def stop_the_server(source: Source) -> str:
    source.sandbox.stop()
    return "server"


def replace_the_data_directory(source: Source) -> str:
    source.sandbox.stop()
    data = source.sandbox.data
    subprocess.run(("cp", "-a", data, f"{data}.copy"), check=True)
    data.rename(f"{data}.original")
    Path(f"{data}.copy").rename(data)
    source.sandbox.start()
    return str(data)


def add_a_tablespace(source: Source) -> str:
    source.sandbox.create_tablespace("new")
    return "tablespaces"


@pytest.mark.parametrize(
    "change", [touch_the_backup, stop_the_server, replace_the_data_directory, add_a_tablespace]
)
def test_stale_plan_is_refused_and_says_what_changed(
    any_victim: Source, change: Callable[[Source], str]
) -> None:
    plan = keep_plan(any_victim)
    named = change(any_victim)
    completed = execute(any_victim, plan)
    assert completed.returncode == 3, completed.stderr
    said = json.dumps(finished(completed)["error"]) if completed.stdout else completed.stderr
    assert named in said
    if change is stop_the_server:
        any_victim.sandbox.start()
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    fresh = document(any_victim.workspace.run("plan", "--json"))
    assert not [finding for finding in fresh["preflight"] if finding["status"] == "blocker"]


def test_plan_alone_changes_nothing(any_victim: Source) -> None:
    before = sorted(os.listdir(any_victim.sandbox.directory))
    for form in ("text", "markdown", "shell", "json"):
        any_victim.workspace.run("plan", "--format", form, check=True)
    assert sorted(os.listdir(any_victim.sandbox.directory)) == before
    assert any_victim.place.rows() == any_victim.log.expected("latest")
