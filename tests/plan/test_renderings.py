"""Plans in words, and as a script: what they promise is what the plan does."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.plan.model import Plan
from pgrescue.plan.render_markdown import render_markdown
from pgrescue.plan.render_shell import render_shell
from pgrescue.plan.render_text import render_text
from pgrescue.plan.target import TargetOptions
from tests.support.backup_facts import path
from tests.support.restore_facts import CLONE, DATA, cluster, facts, plan_of


def blocked() -> Plan:
    """A plan that a check forbids."""
    return plan_of(
        facts(cluster=cluster(directory=replace(cluster().directory, is_directory=False)))
    )


def test_a_script_of_a_plan_that_a_check_forbids_does_nothing(tmp_path: Path) -> None:
    plan = blocked()
    (tmp_path / "restore.sh").write_text(render_shell(plan))
    said = subprocess.run(
        ("bash", "-x", "restore.sh"), cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert said.returncode == 3
    assert "Nothing is done." in said.stdout
    assert [line for line in said.stderr.splitlines() if line.startswith("+")][1:] == ["+ exit 3"]
    assert f"# BLOCKER: {plan.blockers[0].message}" in render_shell(plan)


def test_a_script_of_a_plan_that_can_run_does_not_end_at_its_head() -> None:
    assert "exit 3" not in render_shell(plan_of(facts()))


@pytest.mark.parametrize("render", [render_text, render_markdown])
def test_a_standby_is_not_said_to_be_promoted(render: type[str]) -> None:
    assert "stay a standby" in render(plan_of(facts(), standby=True))
    assert "stay a standby" not in render(plan_of(facts()))
    paused = plan_of(facts(), TargetOptions(to_lsn="0/4000000"))
    assert "pause" in render(paused)


def test_old_data_is_only_promised_where_there_is_some() -> None:
    assert "the old data is set aside, pgrescue undo puts it back" in render_text(plan_of(facts()))
    nothing = replace(cluster(), directory=path(DATA), control=None, pg_version=None)
    for plan in (plan_of(facts(cluster=nothing)), plan_of(facts(CLONE), into=CLONE)):
        assert not plan.work.moves
        assert "old data" not in " ".join(step.undo for step in plan.steps if step.id == "extract")
        assert "old data is set aside" not in render_text(plan)
