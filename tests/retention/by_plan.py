"""Running the plan of a removal later than it was made, and killing its runner on the way."""

from __future__ import annotations

import os
import subprocess
import sys

from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.plan_file import load_plan
from pgrescue.run.run_directory import create_run
from tests.support.command import command_environment, document
from tests.support.source import Source

_RUNNER = """
import os, signal, sys
from pgrescue.run.__main__ import main
left, rename = int(sys.argv[1]), os.rename
def dying(source, destination):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    rename(source, destination)
    if left == 0 and sys.argv[2] == "after":
        os.kill(os.getpid(), signal.SIGKILL)
os.rename = dying
main(sys.argv[3], sys.argv[4])
"""


def planned(source: Source, *options: str) -> PrunePlan:
    """A plan that is kept and not executed."""
    shown = source.workspace.run("prune", *options, "--dry-run", "--json", check=True)
    plan = load_plan(source.workspace.state / "plans" / f"{document(shown)['id']}.json")
    assert isinstance(plan, PrunePlan)
    return plan


def executed(source: Source, plan: PrunePlan) -> str:
    """The run of a plan, once its runner has ended by itself."""
    run = _created(source, plan)
    _runner(source, run, 10**9, "before", "prune")
    return run


def killed(source: Source, plan: PrunePlan, renames: int, when: str) -> str:
    """The run of a plan whose runner was killed before, or right after, one of its renames."""
    run = _created(source, plan)
    assert _runner(source, run, renames, when, "prune") == -9
    return run


def killed_again(source: Source, run: str, renames: int, when: str, purpose: str) -> None:
    """A further runner of that run, for a purpose, killed likewise."""
    assert _runner(source, run, renames, when, purpose) == -9


def _created(source: Source, plan: PrunePlan) -> str:
    before = os.environ.get("PGRESCUE_STATE")
    os.environ["PGRESCUE_STATE"] = str(source.workspace.state)
    try:
        return create_run(plan).id
    finally:
        del os.environ["PGRESCUE_STATE"]
        if before is not None:
            os.environ["PGRESCUE_STATE"] = before


def _runner(source: Source, run: str, renames: int, when: str, purpose: str) -> int:
    directory = source.workspace.state / "runs" / run
    argv = (sys.executable, "-c", _RUNNER, str(renames), when, str(directory), purpose)
    environment = command_environment(source.workspace.state)
    completed = subprocess.run(argv, env=environment, cwd="/", timeout=60, check=False)
    return completed.returncode
