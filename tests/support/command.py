"""Running pgrescue as its users do: a process of its own, judged by exit code and output."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 300.0

Completed = subprocess.CompletedProcess[str]


def command_environment(state: Path, extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The environment in which a test runs pgrescue, from the source tree it belongs to."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
    paths = (str(ROOT), *filter(None, (os.environ.get("PYTHONPATH"),)))
    chosen = {"PYTHONPATH": os.pathsep.join(paths), "PGRESCUE_STATE": str(state)}
    return inherited | chosen | dict(extra or {})


def run_pgrescue(
    *args: str,
    config: Path | None,
    state: Path,
    check: bool = False,
    input: str | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT,
) -> Completed:
    """Run `pgrescue -c CONFIG ARGS`; with `check`, anything but success fails the test.

    Without `input`, standard input is not a terminal and empty.
    """
    before = () if config is None else ("-c", str(config))
    completed = subprocess.run(
        (sys.executable, "-m", "pgrescue", *before, *args),
        cwd=state.parent,
        env=command_environment(state, env),
        input=input or "",
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=timeout,
        check=False,
    )
    if check and completed.returncode != 0:
        raise AssertionError(
            f"pgrescue {' '.join(args)} ended with {completed.returncode}\n"
            f"--- standard output\n{completed.stdout}\n--- standard error\n{completed.stderr}"
        )
    return completed


def document(completed: Completed) -> Any:  # noqa: ANN401 - JSON by nature
    """The one JSON object that a command printed."""
    return json.loads(completed.stdout)


def events(completed: Completed) -> list[dict[str, Any]]:
    """The event stream of `restore`, `backup` or `attach`: one object a line."""
    return [json.loads(line) for line in completed.stdout.splitlines()]


def finished(completed: Completed) -> dict[str, Any]:
    """The last event, which says how the run ended."""
    last = events(completed)[-1]
    assert last["event"] == "finished", last
    return last
