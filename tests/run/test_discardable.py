"""What `discard` would delete: never the WAL that a restored server still fetches."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pgrescue.plan.model import Plan
from pgrescue.run.deletable import Deletable, discardable_paths
from pgrescue.run.fold import fold
from pgrescue.run.state import SetAside, StepStatus
from tests.run.made_plan import make_plan

DATA = "/srv/main"
ASIDE = f"{DATA}.old"


def paths(plan: Plan, *done: str, made: bool = True) -> tuple[str, ...]:
    """What may go once the run has set the old data aside and these steps are done."""
    status = tuple(StepStatus(step, "", "done", None, None) for step in done)
    state = replace(
        fold(plan, ()),
        asides=(SetAside(DATA, ASIDE, False, True),),
        made=(plan.work.staging,) if made else (),
        steps=status,
    )
    return discardable_paths(plan, state)


@pytest.fixture
def made_plan() -> Plan:
    return make_plan(DATA)


@pytest.mark.parametrize("step", ["tidy", "stream", "undo_move"])
def test_once_nothing_is_fetched_any_more_the_staging_goes_too(made_plan: Plan, step: str) -> None:
    assert paths(made_plan, step) == (ASIDE, made_plan.work.staging)


def test_while_the_server_may_fetch_wal_from_the_staging_it_stays(made_plan: Plan) -> None:
    """Paused at its target, or shut down there: its recovery settings still lead to it."""
    assert paths(made_plan, "replay") == (ASIDE,)


def test_a_staging_that_this_run_has_not_made_is_not_its_to_delete(made_plan: Plan) -> None:
    assert paths(made_plan, "tidy", made=False) == (ASIDE,)


def test_without_a_known_age_the_size_is_told() -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert Deletable(ASIDE, None, 2, 2048).described(now) == "2.0 KiB in 2 files"
    assert "being counted" in Deletable(ASIDE, now).described(now)
