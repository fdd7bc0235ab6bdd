"""Patroni itself, in charge of one server: recognized, obeyed, and content with what it finds.

Needs `pip install 'patroni[raft]'` beside these tests, readable by the server's account.
"""

from __future__ import annotations

import importlib.util
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError
from pgrescue.postgres.account import can_access
from pgrescue.survey.manager import manager_state
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished
from tests.support.epochs import EpochLog
from tests.support.refused import refused, unchanged

pytestmark = [pytest.mark.server, pytest.mark.slow]

REFUSED = 3
_CONFIGURATION = """\
scope: demo
name: n1
restapi:
  listen: 127.0.0.1:{rest}
  connect_address: 127.0.0.1:{rest}
raft:
  data_dir: {home}/raft
  self_addr: 127.0.0.1:{raft}
bootstrap:
  dcs:
    loop_wait: 1
    postgresql:
      parameters:
        track_commit_timestamp: "on"
postgresql:
  listen: 127.0.0.1:{port}
  connect_address: 127.0.0.1:{port}
  use_unix_socket: true
  data_dir: {data}
  bin_dir: {binaries}
  pgpass: {home}/pgpass
  authentication:
    superuser: {{username: postgres}}
    replication: {{username: postgres}}
  parameters:
    unix_socket_directories: {sockets}
"""


@dataclass(frozen=True, slots=True)
class Patroni:
    """The real one, and what its commands need."""

    python: str
    packages: str
    configuration: Path
    sandbox: Sandbox

    def start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        """Start one of Patroni's programs as the server's account."""
        account, home = self.sandbox.account, self.configuration.parent
        return subprocess.Popen(
            [self.python, str(home / program), *arguments],
            env={**account.environment(), "PYTHONPATH": self.packages},
            cwd=home,
            stdout=(home / "log").open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
            **account.spawn_arguments(),
        )

    def obey(self, command: str) -> None:
        """Do as a plan says: `patronictl ...`."""
        program, *arguments = command.split()
        assert program == "patronictl"
        assert self.start(program, *arguments).wait(60) == 0


@pytest.fixture
def sandbox(workspace: Workspace, any_binaries: ServerBinaries) -> Sandbox:
    """A cluster that Patroni will find."""
    sandbox = workspace.sandbox(any_binaries)
    sandbox.init(segment_size_mb=1, settings={"autovacuum": "off"})
    sandbox.start()
    sandbox.stop()
    workspace.configure(cluster_config(sandbox))
    return sandbox


@pytest.fixture
def patroni(workspace: Workspace, sandbox: Sandbox) -> Iterator[Patroni]:
    """Patroni in charge of it."""
    found = importlib.util.find_spec("patroni")
    if found is None or found.origin is None:
        pytest.skip("Patroni is not installed")
    packages = str(Path(found.origin).parents[1])
    version = f"/usr/bin/python{sys.version_info.major}.{sys.version_info.minor}"
    usable = [p for p in (sys.executable, version) if can_access(sandbox.account, p)]
    if not usable or not can_access(sandbox.account, found.origin):
        pytest.skip("the server's account may not run Patroni here")
    home = workspace.path / "patroni"
    home.mkdir()
    os.chown(home, sandbox.account.uid, sandbox.account.gid)
    configuration = home / "patroni.yml"
    configuration.write_text(
        _CONFIGURATION.format(
            home=home,
            rest=_free_port(),
            raft=_free_port(),
            port=sandbox.endpoint.port,
            data=sandbox.data,
            binaries=sandbox.binaries.bin_directory,
            sockets=sandbox.endpoint.socket_directory,
        )
    )
    # As the packages' own: Patroni starts itself anew to start a server.
    for name, module in (("patroni", "__main__ import main"), ("patronictl", "ctl import ctl")):
        function = module.rpartition(" ")[2]
        lines = f"from patroni.{module}\nif __name__ == '__main__':\n    {function}()\n"
        (home / name).write_text(lines)
    made = Patroni(usable[0], packages, configuration, sandbox)
    process = made.start("patroni", str(configuration))
    try:
        wait_until(lambda: _is_leader(sandbox), "Patroni's server", 90)
        yield made
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_it_is_paused_as_the_plan_says_and_accepts_what_was_restored(
    workspace: Workspace, sandbox: Sandbox, patroni: Patroni
) -> None:
    log = EpochLog(sandbox)
    log.mark("before the backup")
    sandbox.base_backup("full", "-Ft")
    log.mark("kept")
    log.mark("lost")
    sandbox.switch_wal()
    target = ("--before-xid", str(log.epochs[2].xid), "--action", "promote")
    with unchanged(sandbox):
        error = refused(workspace.run("restore", *target, "--yes", "--json"), REFUSED, "Patroni")
    (how,) = [step for step in error["next"] if step.startswith("patronictl")]

    patroni.obey(how.partition(", or")[0])
    assert manager_state(sandbox.data) == "Patroni, paused"
    done = finished(workspace.run("restore", *target, "--yes", "--json", check=True))
    assert done["state"] == "succeeded"
    assert log.rows_visible() == [1, 2]

    plan = document(workspace.run("plan", "--to", "latest", "--json"))
    (finding,) = [f for f in plan["preflight"] if f["code"] == "cluster.manager"]
    assert finding["status"] == "warning", "its file came back out of the backup, unpaused"
    patroni.obey(finding["fix"].removeprefix("afterwards: "))
    wait_until(lambda: manager_state(sandbox.data) == "Patroni, in charge", "the end of the pause")
    wait_until(lambda: _is_leader(sandbox), "Patroni's server", 90)
    assert log.rows_visible() == [1, 2]


def _is_leader(sandbox: Sandbox) -> bool:
    try:
        return sandbox.sql("select pg_is_in_recovery()") == ["f"]
    except PgRescueError:
        return False


def _free_port() -> int:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return int(held.getsockname()[1])
