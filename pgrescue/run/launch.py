"""Starting a runner that outlives the terminal, and stopping one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pgrescue
from pgrescue.backup.model import BackupPlan
from pgrescue.errors import PgRescueError, Refused
from pgrescue.plan.model import Plan
from pgrescue.postgres.conninfo import TO_THE_SOURCE
from pgrescue.run.journal import read_journal, reserve_room
from pgrescue.run.records import AnyRecord, Purpose, Started
from pgrescue.run.run_directory import RunDirectory, is_runner_alive

_READY_SECONDS = 20.0
_POLL_SECONDS = 0.05
_ERRORS_BYTES = 4096
REFUSED = "refused: "
"""What a runner begins with to say that it must not run; the lines that follow are next steps."""


def launch(directory: RunDirectory, purpose: Purpose) -> None:
    """Start a runner in a session of its own and wait until it has taken over.

    Raises `Refused` or `PgRescueError` with what the runner said if it has not.
    """
    before = len(read_journal(directory.journal_path))
    with _opened_for_errors(directory) as errors:
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
            raise _not_started(directory, _how_it_ended(process.returncode))
        time.sleep(_POLL_SECONDS)
    process.kill()
    process.wait()
    late = f"It had not taken over after {_READY_SECONDS:.0f} seconds and was ended."
    raise _not_started(directory, late)


def _opened_for_errors(directory: RunDirectory) -> BinaryIO:
    """runner.err, empty, with some room of its own where the file system grants it."""
    try:
        errors = directory.runner_errors.open("wb")
    except OSError as error:
        raise PgRescueError(
            f"The run's directory cannot be written: {error.strerror}.",
            f"A run that cannot keep its journal is not begun: {directory.path}",
            next_steps=("mend the file system of the state directory, then try again",),
        ) from error
    with suppress(OSError):
        reserve_room(errors.fileno(), _ERRORS_BYTES)
    return errors


def _how_it_ended(code: int) -> str:
    if code < 0:
        return f"Signal {-code} ended it before it had taken over."
    return f"It ended with exit code {code} before it had taken over, and said nothing."


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
        or (asks_elsewhere and name in TO_THE_SOURCE)
    }
    return {**kept, "PYTHONPATH": f"{home}:{others}" if others else home}


def _not_started(directory: RunDirectory, ended: str) -> PgRescueError:
    said = directory.last_words()
    if said.startswith(REFUSED):
        why, *steps = said.removeprefix(REFUSED).split("\n")
        return Refused("The run was not started.", why, next_steps=tuple(steps))
    space = os.statvfs(directory.path)
    if not space.f_bavail * space.f_frsize:
        ended += " The file system of the state directory is full."
    return PgRescueError(
        "The runner did not start.",
        said or ended,
        next_steps=(f"look at the state directory: df -h {directory.path.parent}",),
    )
