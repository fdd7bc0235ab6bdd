"""Telling the outside world how a run ended: a command, with the result on its standard input.

A run ends by itself, is refused before it begins, or is found without its runner.
"""

from __future__ import annotations

import os
import subprocess
from typing import Any, BinaryIO

from pgrescue.codec import dumps
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.conninfo import without_the_source
from pgrescue.postgres.secrets import without_passwords
from pgrescue.run.execution import Execution
from pgrescue.run.fold import fold_one
from pgrescue.run.records import Finished, Note
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.status import exit_code_of, status_of

PATIENCE_SECONDS = 10.0
_TOLD = ("restore", "backup")
"""Purposes whose end is told; taking something back is somebody's own act at a terminal."""


def notify(execution: Execution[SealedPlan], finished: Finished) -> None:
    """Run the configured command, if there is one; that it fails is noted and changes nothing.

    `finished` is told even if the journal could not take it.
    """
    plan, state = execution.plan, fold_one(execution.state(), finished)
    if plan.notify is None or state.purpose not in _TOLD:
        return
    result = {
        **status_of(state),
        "host": plan.host,
        "kind": kind_of(plan),
        "subject": plan.subject,
        "exit_code": exit_code_of(state),
        "report": str(execution.directory.path / "report.md"),
    }
    shown = without_passwords(plan.notify)
    problem = _run(plan.notify, dumps(result) + "\n", execution)
    if problem is not None:
        execution.journal.append(
            Note(step="notify", message=f"The notification command {problem}: {shown}")
        )


def tell_interrupted(directory: RunDirectory) -> None:
    """The same for a run whose runner was killed and can tell nobody; nothing is noted."""
    plan, state = directory.plan(), directory.state()
    if plan.notify is None or state.purpose not in _TOLD:
        return
    result = {
        **status_of(state),
        "host": plan.host,
        "kind": kind_of(plan),
        "subject": plan.subject,
        "exit_code": exit_code_of(state),
        "report": None,
    }
    tell_without_run(plan.notify, result)


def tell_without_run(command: str, result: dict[str, Any]) -> None:
    """Run the command where there is no journal to note in that it failed."""
    with open(os.devnull, "ab") as nowhere:
        _told(command, dumps(result) + "\n", nowhere)


def kind_of(plan: SealedPlan) -> str:
    """What was done, in a word: a restore into a clone is a drill."""
    if isinstance(plan, Plan) and plan.mode != "in_place":
        return "drill" if plan.mode == "clone" else "reseed"
    return plan.kind


def _run(command: str, text: str, execution: Execution[SealedPlan]) -> str | None:
    """What is wrong with it, or None; its output goes to the run's tool.log.

    One that takes long is left to itself: meanwhile the run holds its lock.
    """
    with execution.programs.opened_log(command) as log:
        return _told(command, text, log)


def _told(command: str, text: str, log: BinaryIO) -> str | None:
    try:
        process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd="/",
            env=_environment(),
            start_new_session=True,
        )
        process.communicate(text.encode(errors="surrogateescape"), PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        return f"is still at work after {PATIENCE_SECONDS:.0f} s"
    except OSError as error:
        return f"could not be started ({error.strerror})"
    return None if process.returncode == 0 else f"ended with exit code {process.returncode}"


def _environment() -> dict[str, str]:
    return {**without_the_source(os.environ), "LC_ALL": "C.UTF-8"}
