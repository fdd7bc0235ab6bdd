"""A cluster manager in charge: nothing is stopped behind its back; once it is paused, work goes on.

The manager is a stand-in with Patroni's command line, configuration and REST API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.services.conftest import Stage
from tests.support.command import document, finished
from tests.support.refused import refused, unchanged
from tests.support.runs import status
from tests.support.stand_in import StandIn

pytestmark = pytest.mark.server

REFUSED, STEP_FAILED = 3, 4
IN_PLACE = ("restore", "--to", "latest", "--action", "promote", "--yes", "--json")


@pytest.fixture
def patroni(stage: Stage) -> Iterator[StandIn]:
    """A stand-in that is in charge of the stage's cluster."""
    stand_in = StandIn(stage.workspace.path / "etc", stage.sandbox.data)
    try:
        yield stand_in
    finally:
        stand_in.end()


def findings(stage: Stage) -> list[tuple[str, str]]:
    """Status and message of what a plan says about managers."""
    plan = document(stage.workspace.run("plan", "--json"))
    return [
        (f["status"], f["message"]) for f in plan["preflight"] if f["code"] == "cluster.manager"
    ]


def test_nothing_is_stopped_behind_its_back(stage: Stage, patroni: StandIn) -> None:
    with unchanged(stage.sandbox):
        completed = stage.workspace.run(*IN_PLACE)
    how = f"patronictl -c {patroni.configuration} pause --wait demo"
    refused(completed, REFUSED, "Patroni is in charge", str(patroni.pid), how)

    patroni.pause()
    ((state, message),) = findings(stage)
    assert (state, "is paused" in message) == ("warning", True)
    plan = stage.workspace.path / "plan.json"
    plan.write_text(stage.workspace.run("plan", *IN_PLACE[1:5], "--json", check=True).stdout)
    patroni.resume()
    with unchanged(stage.sandbox):
        completed = stage.workspace.run("restore", "--plan", str(plan), "--yes", "--json")
    assert completed.returncode == REFUSED
    changed = "cluster manager: was Patroni, paused, is Patroni, in charge"
    assert changed in finished(completed)["error"]["cause"]

    patroni.pause()
    assert finished(stage.workspace.run(*IN_PLACE, check=True))["state"] == "succeeded"
    assert stage.log.rows_visible() == [1, 2, 3, 4]


@pytest.mark.slow
def test_resumed_in_the_middle_of_a_run_it_is_left_alone(stage: Stage, patroni: StandIn) -> None:
    patroni.pause()
    epoch = stage.log.epochs[2]
    paused = stage.workspace.run("restore", "--to-xid", str(epoch.xid), "--yes", "--json")
    assert finished(paused)["state"] == "waiting"

    patroni.resume()
    undo = stage.workspace.run("undo", "--yes", "--json")
    assert undo.returncode == STEP_FAILED
    error = finished(undo)["error"]
    assert "Patroni is in charge" in error["title"]
    assert any("patronictl" in step for step in error["next"])
    assert stage.log.rows_visible() == [1, 2, 3]

    patroni.pause()
    stage.workspace.run("undo", "--yes", check=True)
    assert status(stage.workspace)["state"] == "undone"
    assert stage.log.rows_visible() == [1, 2, 3, 4]


def test_file_that_came_out_of_a_backup_does_not_block(stage: Stage) -> None:
    left = stage.sandbox.data / "patroni.dynamic.json"
    left.write_text(json.dumps({"ttl": 30}))
    ((state, message),) = findings(stage)
    assert state == "warning"
    assert str(left) in message


def test_a_clone_beside_it_is_no_business_of_the_manager(stage: Stage, patroni: StandIn) -> None:
    into = ("--into", str(stage.workspace.path / "clone"), "--to", "latest")
    plan = document(stage.workspace.run("plan", *into, "--json", check=True))
    assert "cluster.manager" not in {finding["code"] for finding in plan["preflight"]}
