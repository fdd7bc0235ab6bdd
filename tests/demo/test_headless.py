"""`pgrescue demo` as its users run it: the whole story, refusals, and an orderly end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgrescue.demo.binaries import PREFERENCE, ServerBinaries
from pgrescue.demo.processes import processes_with, servers_below
from pgrescue.demo.session import MARK
from tests.support.cluster import Workspace
from tests.support.command import command_environment, document, run_pgrescue

INTERRUPTED = 130


def _environment(workspace: Workspace, binaries: ServerBinaries) -> dict[str, str]:
    """Demos of this test live in its workspace."""
    return {PREFERENCE: binaries.origin, "TMPDIR": str(workspace.path)}


def _demos(workspace: Workspace) -> list[Path]:
    return list(workspace.path.glob("pgrescue-demo-*"))


@pytest.mark.server
def test_story_ends_well_and_leaves_nothing(
    any_binaries: ServerBinaries, workspace: Workspace
) -> None:
    completed = run_pgrescue(
        *("demo", "--headless", "--json"),
        config=None,
        state=workspace.state,
        env=_environment(workspace, any_binaries),
    )
    assert completed.returncode == 0, completed.stderr
    report = document(completed)
    assert report["ok"] is True
    assert report["server_version"] == any_binaries.version_text
    assert [act["exit_code"] for act in report["acts"]] == [0, 0, 0, 0]
    assert report["directory"] in completed.stderr
    assert _demos(workspace) == []
    assert servers_below(workspace.path) == []
    assert processes_with(MARK, report["directory"]) == []


@pytest.mark.slow
@pytest.mark.server
def test_chosen_directory_stays_and_is_not_played_twice(
    any_binaries: ServerBinaries, workspace: Workspace
) -> None:
    where = workspace.path / "here"
    command = ("demo", "--headless", "--dir", str(where))
    environment = _environment(workspace, any_binaries)
    first = run_pgrescue(*command, config=None, state=workspace.state, env=environment)
    assert first.returncode == 0, first.stderr
    assert json.loads((where / "truth.json").read_text())["dropped_table"] == "invoices"
    assert servers_below(where) == []
    again = run_pgrescue(*command, config=None, state=workspace.state, env=environment)
    assert again.returncode == 2
    assert str(where) in again.stderr


def test_directory_of_somebody_else_is_refused(workspace: Workspace) -> None:
    (workspace.path / "thesis.txt").write_text("irreplaceable")
    completed = run_pgrescue(
        *("demo", "--headless", "--dir", str(workspace.path)), config=None, state=workspace.state
    )
    assert completed.returncode == 2
    assert "not empty" in completed.stderr


def test_ui_without_a_terminal_points_to_headless(workspace: Workspace) -> None:
    completed = run_pgrescue("demo", config=None, state=workspace.state)
    assert completed.returncode == 2
    assert "--headless" in completed.stderr
    assert _demos(workspace) == []


@pytest.mark.server
@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, marks=pytest.mark.slow),
        pytest.param(signal.SIGTERM, marks=pytest.mark.slow),
        signal.SIGHUP,
    ],
)
@pytest.mark.parametrize("moment", ["Base backup 1", "$ pgrescue"])
def test_interrupted_demo_leaves_no_process(
    any_binaries: ServerBinaries, workspace: Workspace, number: signal.Signals, moment: str
) -> None:
    demo = subprocess.Popen(
        (sys.executable, "-m", "pgrescue", "demo", "--headless"),
        cwd=workspace.path,
        env=command_environment(workspace.state, _environment(workspace, any_binaries)),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert demo.stderr is not None
    for line in demo.stderr:
        if moment in line:
            break
    os.kill(demo.pid, number)
    demo.stderr.read()
    assert demo.wait(timeout=90) == INTERRUPTED
    demo.stderr.close()
    assert [processes_with(MARK, str(left)) for left in _demos(workspace)] in ([], [[]])
    assert servers_below(workspace.path) == []
