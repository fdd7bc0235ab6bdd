"""Every kind of service stops and starts the server; its own status agrees afterwards.

No systemd runs where tests run: its kind is tested with a `systemctl` of ours in PATH, which
shows that the right commands are given and that their effects are awaited, and nothing about
systemd itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_servers_below
from pgrescue.postgres.service import ServiceKind, ServiceSpec
from tests.services.conftest import Stage
from tests.support.cluster import cluster_config
from tests.support.command import Completed, finished, run_pgrescue
from tests.support.pg_service import ServiceScript

pytestmark = pytest.mark.server

UNIT = "postgresql@15-tested"
_STOP_AND_START = ("stop", "start")


@dataclass(frozen=True, slots=True)
class Served:
    """A stage whose server has a service of one kind."""

    stage: Stage
    script: ServiceScript
    programs: Path

    def run(self, *args: str) -> Completed:
        """Run pgrescue, with our programs before the system's."""
        path = f"{self.programs}:{os.environ['PATH']}"
        workspace = self.stage.workspace
        return run_pgrescue(
            *args, config=workspace.config, state=workspace.state, check=True, env={"PATH": path}
        )

    def use(self, kind: ServiceKind, *, log: bool = True) -> None:
        """Configure a service of that kind, with the server's log known or not."""
        spec = {
            "pg_ctl": ServiceSpec("pg_ctl"),
            "command": self.script.spec,
            "systemd": ServiceSpec("systemd", unit=UNIT),
        }[kind]
        config = replace(cluster_config(self.stage.sandbox), service=spec)
        self.stage.workspace.configure(config if log else replace(config, log=None))

    def status(self, kind: ServiceKind) -> int:
        """The exit code of the service's own status command."""
        if kind == "pg_ctl":
            return 0 if self.stage.sandbox.is_running() else 3
        verb = ("is-active", UNIT) if kind == "systemd" else ("status",)
        return subprocess.run((str(self.script.path), *verb), check=False).returncode


@pytest.fixture
def served(stage: Stage) -> Served:
    """The stage with a service of our own beside it."""
    programs = stage.workspace.path / "programs"
    programs.mkdir()
    script = ServiceScript(stage.sandbox, programs / "systemctl")
    return Served(stage, script, programs)


@pytest.mark.every_day(1)
@pytest.mark.parametrize(
    "kind", ["pg_ctl", pytest.param("command", marks=pytest.mark.slow), "systemd"]
)
def test_restore_and_undo_through_the_service(served: Served, kind: ServiceKind) -> None:
    served.use(kind)
    restored = served.run("restore", *served.stage.before(3))
    assert finished(restored)["state"] == "succeeded"
    assert served.stage.log.rows_visible() == [1, 2]
    assert served.status(kind) == 0
    served.run("undo", "--yes")
    assert served.stage.log.rows_visible() == [1, 2, 3, 4]
    assert served.status(kind) == 0
    suffix = f" {UNIT}" if kind == "systemd" else ""
    wanted = [] if kind == "pg_ctl" else [f"{verb}{suffix}" for verb in _STOP_AND_START * 2]
    changing = [call for call in served.script.calls if call.split()[0] in _STOP_AND_START]
    assert changing == wanted


@pytest.mark.parametrize("kind", [pytest.param("pg_ctl", marks=pytest.mark.slow), "command"])
def test_stopped_cluster_is_started_but_not_stopped(served: Served, kind: ServiceKind) -> None:
    served.use(kind)
    served.stage.sandbox.stop()
    restored = served.run("restore", "--to", "latest", "--yes", "--json")
    assert finished(restored)["state"] == "succeeded"
    assert served.stage.log.rows_visible() == [1, 2, 3, 4]
    assert "stop" not in served.script.calls
    # It was shut down in good order before: after an undo it is down again.
    served.run("undo", "--yes")
    assert served.status(kind) != 0


def test_stopped_unit_is_stopped_all_the_same(served: Served) -> None:
    """It may be about to start the server: a start job, or a restart after a crash."""
    served.use("systemd")
    served.stage.sandbox.stop()
    served.run("restore", "--to", "latest", "--yes")
    assert served.script.calls[:2] == [f"stop {UNIT}", f"start {UNIT}"]
    assert served.stage.log.rows_visible() == [1, 2, 3, 4]


def test_log_is_not_known_but_the_target_is_reached(served: Served) -> None:
    """A dead cluster whose service logs to where only the service knows."""
    served.use("command", log=False)
    stop_servers_below(served.stage.sandbox.data)
    shutil.rmtree(served.stage.sandbox.data)
    target = ("--to-xid", str(served.stage.log.epochs[1].xid), "--action", "promote")
    restored = served.run("restore", *target, "--yes", "--json")
    assert finished(restored)["state"] == "succeeded"
    assert served.stage.log.rows_visible() == [1, 2]
