"""Watching a detached run from outside, and killing its runner at a chosen moment."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgrescue.demo.processes import wait_until
from pgrescue.postgres.postmaster import is_alive
from tests.support.cluster import Workspace
from tests.support.command import document, events


def start_detached(workspace: Workspace, *options: str) -> str:
    """Start a restore and leave it alone; returns the run's name."""
    completed = workspace.run("restore", *options, "--yes", "--json", "--detach", check=True)
    started = events(completed)[-1]
    assert started["event"] == "started"
    run: str = started["run"]
    return run


def journal(workspace: Workspace, run: str) -> list[dict[str, Any]]:
    """The run's whole journal records."""
    path = workspace.state / "runs" / run / "journal.jsonl"
    lines = path.read_text().split("\n")[:-1]
    return [json.loads(line) for line in lines]


def wait_for_step(workspace: Workspace, run: str, step: str) -> None:
    """Return as soon as the journal announces the step (or the run has come to an end)."""

    def is_there() -> bool:
        return any(
            record["event"] == "finished" or record.get("step") == step
            for record in journal(workspace, run)
        )

    wait_until(is_there, f"the step {step} of {run}")


def kill_runner(workspace: Workspace, run: str) -> None:
    """Kill the run's runner as an out-of-memory killer would."""
    started = [record for record in journal(workspace, run) if record["event"] == "started"]
    pid: int = started[-1]["pid"]
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not is_alive(pid), "the end of the killed runner")


@contextlib.contextmanager
def held(workspace: Workspace, run: str) -> Iterator[int]:
    """The runner (its pid is given) stands still meanwhile, however fast the machine is."""
    started = [record for record in journal(workspace, run) if record["event"] == "started"]
    pid = int(started[-1]["pid"])
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGCONT)


def is_asked_to_stop(pid: int) -> bool:
    """Whether SIGTERM waits for a process that stands still (proc(5), ShdPnd)."""
    pending = re.search(r"^ShdPnd:\s+(\w+)", Path(f"/proc/{pid}/status").read_text(), re.M)
    return pending is not None and bool(int(pending[1], 16) >> (signal.SIGTERM - 1) & 1)


def status(workspace: Workspace, *run: str) -> dict[str, Any]:
    """What `pgrescue status --json` says."""
    said: dict[str, Any] = document(workspace.run("status", *run, "--json", check=True))
    return said


def wait_for_end(workspace: Workspace, run: str) -> dict[str, Any]:
    """The run's status once nobody works on it any more."""
    wait_until(lambda: status(workspace, run)["state"] != "running", f"the end of {run}")
    return status(workspace, run)
