"""Deletions that died on the way and are done again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pgrescue.plan.model import Move
from pgrescue.run import deletion, old_data
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import RunDirectory
from tests.run.made_plan import make_plan

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("gone", ["old", "t"])
def test_directories_that_only_held_what_was_set_aside_go_with_it(
    tmp_path: Path, gone: str
) -> None:
    """Killed after the deletion, before the empty directories above it were removed."""
    data = tmp_path / "main"
    (data / "base").mkdir(parents=True)
    aside = data / ".pgrescue" / "t" / "old"
    run = RunDirectory(tmp_path / "run")
    run.path.mkdir()
    plan = make_plan(str(data), (Move(str(data), str(aside), True),))
    execution = RestoreExecution(plan, run, Journal(run.journal_path))
    old_data.set_aside(execution)
    (data / "base").mkdir()
    shutil.rmtree(aside if gone == "old" else aside.parent)
    deletion.delete_tree(execution, str(aside))
    assert [entry.name for entry in data.iterdir()] == ["base"]
