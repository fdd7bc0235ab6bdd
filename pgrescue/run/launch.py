"""Starting a runner that outlives the terminal, and stopping one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pgrescue
from pgrescue.backup.model import BackupPlan
from pgrescue.errors import PgRescueError, Refused
from pgrescue.plan.model import Plan
from pgrescue.run.journal import read_journal
from pgrescue.run.records import AnyRecord, Purpose, Started
from pgrescue.run.run_directory import RunDirectory, is_runner_alive

_READY_SECONDS = 20.0
_POLL_SECONDS = 0.05
_TO_THE_SOURCE = ("PGPASSWORD", "PGSERVICEFILE", "PGSYSCONFDIR")
"""What a plan cannot hold of the way to the server that is backed up, or a standby filled from."""


def launch(directory: RunDirectory, purpose: Purpose) -> None:
    """Start a runner in a session of its own and wait until it has taken over.

    Raises `Refused` or `PgRescueError` with what the runner said if it has not.
    """
    before = len(read_journal(directory.journal_path))
    with directory.runner_errors.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "pgrescue.run", str(directory.path), purpose],
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            cwd="/",
            env=_environment(asks_elsewhere=_asks_elsewhere(directory)),
            start_new_session=True,
        )
    deadline = time.monotonic() + _READY_SECONDS
    while time.monotonic() < deadline:
        if any(isinstance(record, Started) for record in _new_records(directory, before)):
            return
        if process.poll() is not None:
            if any(isinstance(record, Started) for record in _new_records(directory, before)):
                return  # it took over and has ended already
            raise _not_started(directory)
        time.sleep(_POLL_SECONDS)
    process.kill()
    process.wait()
    raise _not_started(directory)


def _new_records(directory: RunDirectory, before: int) -> list[AnyRecord]:
    return read_journal(directory.journal_path)[before:]


def request_abort(directory: RunDirectory) -> bool:
    """Ask a run's runner to stop where it is safe; False if none is at work."""
    state = directory.state()
    if state.runner is None or not is_runner_alive(state):
        return False
    os.kill(state.runner.pid, signal.SIGTERM)
    return True


def _asks_elsewhere(directory: RunDirectory) -> bool:
    """Whether the plan is about a server that the environment may lead to."""
    plan = directory.plan()
    return isinstance(plan, BackupPlan) or (isinstance(plan, Plan) and plan.work.seed is not None)


def _environment(*, asks_elsewhere: bool) -> dict[str, str]:
    """Ours, with the place that this program was imported from, wherever we are started."""
    home = str(Path(pgrescue.__file__).parent.parent)
    others = os.environ.get("PYTHONPATH")
    # libpq's variables (PGHOSTADDR, PGSERVICE, ...) would lead our questions to another server.
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("PG")
        or name.startswith("PGRESCUE_")
        or (asks_elsewhere and name in _TO_THE_SOURCE)
    }
    return {**kept, "PYTHONPATH": f"{home}:{others}" if others else home}


def _not_started(directory: RunDirectory) -> PgRescueError:
    said = directory.runner_errors.read_text(errors="replace").strip()
    if said.startswith("refused: "):
        return Refused("The run was not started.", said.removeprefix("refused: "))
    return PgRescueError(
        "The runner did not start.",
        said or "It said nothing.",
        next_steps=(f"look into {directory.runner_errors}",),
    )
