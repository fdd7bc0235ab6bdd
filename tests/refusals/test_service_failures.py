"""Services that fail, lie or hang: exit code 4, and the state in which things are is told."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.postgres.postmaster import is_alive
from tests.refusals.conftest import Scene, make_scene
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished
from tests.support.files import differences, file_tree
from tests.support.pg_service import ServiceScript
from tests.support.refused import refused, unchanged

pytestmark = pytest.mark.server

REFUSED, STEP_FAILED = 3, 4
STOP_TIMEOUT = 3.0


@dataclass(frozen=True, slots=True)
class Served:
    """A scene whose server is stopped and started by a script of ours."""

    scene: Scene
    service: ServiceScript

    @property
    def rows(self) -> list[int]:
        """What the server shows."""
        return self.scene.log.rows_visible()

    def status(self) -> dict[str, Any]:
        """The last run's status."""
        return dict(document(self.scene.run("status")))


@pytest.fixture
def served(any_binaries: ServerBinaries) -> Iterator[Served]:
    """A scene of its own for every test, with short patience for a stop."""
    workspace = Workspace.make()
    try:
        scene = make_scene(workspace, any_binaries)
        service = ServiceScript(scene.sandbox)
        config = replace(cluster_config(scene.sandbox), service=service.spec)
        file = workspace.configure(config)
        file.write_text(f"stop_timeout = {STOP_TIMEOUT}\n{file.read_text()}")
        yield Served(scene, service)
    finally:
        workspace.destroy()


@pytest.mark.every_day(1)
@pytest.mark.parametrize(
    ("stop", "said"),
    [("echo no permission to stop; exit 7", "no permission to stop"), ("exit 0", "still work in")],
    ids=["fails", "lies"],
)
def test_stop_without_effect(served: Served, stop: str, said: str) -> None:
    served.service.behave(stop=stop)
    with unchanged(served.scene.sandbox, may_hold_wal=True):
        completed = served.scene.restore("--action", "promote")
        told = refused(completed, STEP_FAILED, "still running", said, "pgrescue resume")
    assert "Nothing has been moved" in told["evidence"]
    last = finished(completed)
    assert (last["step"], last["set_aside"]) == ("stop", None)
    assert served.rows == [1, 2, 3, 4]

    # The cause mended, the same run goes on to its end.
    served.service.behave()
    served.scene.run("resume", "--yes").check_returncode()
    assert served.status()["state"] == "succeeded"
    assert served.rows == [1, 2, 3, 4]


def test_stop_that_never_ends(served: Served) -> None:
    mark = served.scene.sandbox.directory / "sleeping"
    mark.touch()
    served.service.behave(stop=f"echo $$ >{mark}; exec sleep 600")
    began = time.monotonic()
    try:
        with unchanged(served.scene.sandbox, may_hold_wal=True):
            completed = served.scene.restore()
        refused(completed, STEP_FAILED, "did not end within 3 seconds", "pgrescue resume")
        assert time.monotonic() - began < STOP_TIMEOUT + 20
        assert served.rows == [1, 2, 3, 4]
    finally:
        _end(mark)


def _end(mark: Path) -> None:
    pid = int(mark.read_text())
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: not is_alive(pid), "the end of the hanging stop command")


@pytest.mark.parametrize(
    ("start", "said"),
    [
        pytest.param("echo unit is masked; exit 5", "unit is masked", id="fails"),
        pytest.param("exit 0", "no server is there", id="lies", marks=pytest.mark.slow),
    ],
)
def test_start_without_effect(served: Served, start: str, said: str) -> None:
    scene = served.scene
    served.service.behave(start=start)
    completed = scene.restore("--action", "promote")
    refused(completed, STEP_FAILED, "did not start", said, "pgrescue resume", "pgrescue undo")
    last = finished(completed)
    assert last["step"] == "start"
    aside = Path(last["set_aside"])
    assert (aside / "global" / "pg_control").exists()
    assert (scene.sandbox.data / "recovery.signal").exists()
    assert not scene.sandbox.is_running()

    served.service.behave()
    scene.run("resume", "--yes").check_returncode()
    assert served.status()["state"] == "succeeded"
    assert served.rows == [1, 2, 3, 4]


def test_old_data_comes_back_after_a_start_that_failed(served: Served) -> None:
    scene = served.scene
    scene.sandbox.stop()
    before = file_tree(scene.sandbox.data)
    served.service.behave(start="exit 5")
    refused(scene.restore(), STEP_FAILED, "did not start")
    scene.run("undo", "--yes").check_returncode()
    assert served.status()["state"] == "undone"
    assert differences(before, file_tree(scene.sandbox.data)) == []
    served.service.behave()
    scene.sandbox.start()
    assert served.rows == [1, 2, 3, 4]


def test_service_that_restarts_the_server_behind_our_back(served: Served) -> None:
    """A supervisor that is not told: the server is up again before its stop command ends."""
    scene = served.scene
    working = served.service.working
    served.service.behave(stop=f"{working['stop']}; {working['start']}")
    place = scene.sandbox.data.stat().st_ino
    refused(scene.restore(), STEP_FAILED, "still running")
    assert scene.sandbox.data.stat().st_ino == place
    assert served.status()["set_aside"] is None
    wait_until(lambda: scene.sandbox.is_running(), "the supervised server")


@pytest.mark.slow
def test_run_at_work_is_not_disturbed(served: Served) -> None:
    scene = served.scene
    go = scene.workspace.path / "go"
    served.service.behave(
        start=f"while ! test -e {go}; do sleep 0.1; done; {served.service.working['start']}"
    )
    scene.restore("--to", "latest", "--detach").check_returncode()
    wait_until(lambda: served.status()["step"] == "start", "the start of the server")
    run = served.status()["run"]
    try:
        refused(scene.restore(), REFUSED, run, "at work", f"pgrescue attach {run}")
        for command in ("resume", "undo", "discard"):
            refused(scene.run(command, "--yes"), REFUSED, run)
        assert served.status()["state"] == "running"
    finally:
        go.touch()
    assert finished(scene.run("attach"))["state"] == "succeeded"
    assert served.rows == [1, 2, 3, 4]
