"""What a failed restore says of the old data is so, whatever it has moved until then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgrescue.plan.model import Move, Plan
from pgrescue.run.kept import old_data_now
from pgrescue.run.state import RunState, SetAside, fold
from tests.run.conftest import make_plan

DATA, SPACE = "/srv/main", "/srv/space"
MOVES = (Move(DATA, f"{DATA}.old", False), Move(SPACE, f"{SPACE}.old", False))


def plan_and_state(moves: tuple[Move, ...], *asides: SetAside) -> tuple[Plan, RunState]:
    plan = make_plan(DATA, moves)
    return plan, replace(fold(plan, ()), asides=asides)


def aside(path: str, *, done: bool = True) -> SetAside:
    return SetAside(path, f"{path}.old", False, done)


def test_where_nothing_was_there_is_nothing_set_aside() -> None:
    """A clone, or a cluster whose directory is gone."""
    plan, state = plan_and_state(())
    assert "there was no data" in old_data_now(plan.work, state)


def test_before_the_first_move_it_is_where_it_was() -> None:
    plan, state = plan_and_state(MOVES)
    assert "Nothing has been moved" in old_data_now(plan.work, state)


@pytest.mark.parametrize(
    "asides", [(aside(DATA),), (aside(DATA, done=False),), (aside(DATA), aside(SPACE, done=False))]
)
def test_half_way_it_is_in_both_places(asides: tuple[SetAside, ...]) -> None:
    plan, state = plan_and_state(MOVES, *asides)
    assert "a part is set aside, the rest is where it was" in old_data_now(plan.work, state)


def test_set_aside_it_is_told_where() -> None:
    plan, state = plan_and_state(MOVES, aside(DATA), aside(SPACE))
    assert old_data_now(plan.work, state).endswith(f"was set aside: {DATA}.old.")


def test_nothing_is_promised_of_what_may_be_deleted_or_is_being_put_back() -> None:
    plan, state = plan_and_state(MOVES, aside(DATA), aside(SPACE))
    assert not old_data_now(plan.work, replace(state, deletion_begun=True))
    assert not old_data_now(plan.work, replace(state, purpose="undo"))
    assert not old_data_now(plan.work, replace(state, purpose="discard"))
