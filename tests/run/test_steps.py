"""Planner, executors and commands know the same steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from pgrescue.plan import commands
from pgrescue.plan.model import Move, Plan, Seed
from pgrescue.plan.sealed import StepId
from pgrescue.plan.steps import restore_steps
from pgrescue.reseed.steps import reseed_steps
from pgrescue.run import restore_job
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.table import EXECUTORS
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import RunDirectory
from tests.run.made_plan import make_plan, make_work

OF_A_RESEED = {"receive", "own_configuration", "stream"}
STEP_IDS = set(get_args(StepId)) - OF_A_RESEED


def test_each_step_has_commands_and_an_executor() -> None:
    assert set(EXECUTORS) == STEP_IDS | OF_A_RESEED
    assert all(callable(getattr(commands, step_id)) for step_id in STEP_IDS)


def test_a_reseed_has_the_others(plan: Plan) -> None:
    seed = Seed(
        ("pg_basebackup",),
        "/srv/new",
        "",
        "",
        "fast",
        1,
        1,
        (),
        "standby1",
        keeps_configuration=True,
        own_files=("postgresql.conf",),
    )
    move = Move("/srv/main", "/srv/aside", False)
    work = replace(make_work("/srv/main", plan.target, (move,)), seed=seed, chain=())
    made = reseed_steps(work)
    assert {step.id for step in made} >= OF_A_RESEED
    for step in made:
        assert all((step.title, step.why, step.commands, step.changes, step.undo)), step.id


def test_the_planner_makes_every_step(plan: Plan) -> None:
    work = make_work("/srv/main", plan.target, (Move("/srv/main", "/srv/aside", False),))
    full = replace(work, old_wal="/srv/main/pg_wal", chain=work.chain * 2, old_data="delete")
    made = restore_steps(full, plan.target, standby=False)
    assert {step.id for step in made} == STEP_IDS


def test_every_step_of_a_plan_explains_itself(plan: Plan) -> None:
    for step in plan.steps:
        assert all((step.title, step.why, step.commands, step.changes, step.undo)), step.id


def test_only_deleting_is_called_destructive(plan: Plan) -> None:
    assert not any(step.destructive for step in plan.steps)


@pytest.mark.parametrize(("step", "synced"), [("extract", True), ("verify", False)])
def test_a_step_that_fills_is_done_once_it_is_on_disk(
    tmp_path: Path, step: StepId, synced: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not done again: after a reset, what had not been written would be missing for good."""
    order: list[str] = []

    def executed(_execution: object) -> str:
        order.append("executed")
        return "done"

    monkeypatch.setitem(EXECUTORS, step, executed)
    monkeypatch.setattr(restore_job, "sync_everything", lambda _execution: order.append("synced"))
    plan = make_plan(str(tmp_path / "main"))
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    execution = RestoreExecution(plan, directory, Journal(directory.journal_path))
    job = restore_job.RestoreJob(execution)
    done = next(item for item in plan.steps if item.id == step)
    monkeypatch.setattr(
        Journal, "append", lambda _journal, record: order.append(type(record).__name__)
    )
    job._do(done)
    wanted = ["StepBegan", "executed", *(["synced"] if synced else []), "StepEnded"]
    assert order == wanted
