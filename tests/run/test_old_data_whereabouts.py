"""What a failed restore says of the old data is so, whatever it has moved until then."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgrescue.cli.watch import closing
from pgrescue.plan.model import Move, Plan
from pgrescue.run import records
from pgrescue.run.fold import fold
from pgrescue.run.old_data_whereabouts import old_data_now, place_of_old_data
from pgrescue.run.state import RunState, SetAside
from tests.run.made_plan import make_plan

DATA, SPACE = "/srv/main", "/srv/space"
MOVES = (Move(DATA, f"{DATA}.old", False), Move(SPACE, f"{SPACE}.old", False))


def plan_and_state(moves: tuple[Move, ...], *asides: SetAside) -> tuple[Plan, RunState]:
    plan = make_plan(DATA, moves)
    return plan, replace(fold(plan, ()), asides=asides)


def begun(purpose: records.Purpose) -> records.Started:
    return records.Started(purpose=purpose, pid=1, process_start=1, boot_id="boot", operator="anna")


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


def test_a_report_tells_where_it_is_at_the_end() -> None:
    plan, state = plan_and_state(MOVES)
    assert place_of_old_data(plan.work, state) == "in its place"
    assert place_of_old_data(plan.work, replace(state, deletion_begun=True)) == "deleted"
    plan, state = plan_and_state(MOVES, aside(DATA))
    assert place_of_old_data(plan.work, state) == f"{DATA}.old"
    clone, state = plan_and_state(())
    assert place_of_old_data(clone.work, state) == "there was none"


def test_notes_of_an_undo_are_told_apart() -> None:
    """That the old server did not start must not be lost among what the restore had noted."""
    plan, _ = plan_and_state(MOVES)
    state = fold(
        plan,
        (
            begun("restore"),
            records.Note(step="", message="of the restore"),
            begun("undo"),
            records.Note(step="undo_start", message="its server did not start"),
            records.Finished(state="undone"),
        ),
    )
    assert "its server did not start" in closing(state)
    assert "of the restore" not in closing(state)


def test_after_an_undo_it_is_told_what_lies_where() -> None:
    _, state = plan_and_state(MOVES)
    ended = closing(replace(state, state="undone", purpose="undo", retired=("/srv/new",)))
    assert "The old data is back in its place" in ended
    assert "/srv/new" in ended
    assert "pgrescue discard" in ended
    _, nothing_before = plan_and_state(())
    ended = closing(replace(nothing_before, state="undone", purpose="undo", retired=("/srv/new",)))
    assert "old data" not in ended


def test_after_an_undo_and_a_discard_it_is_in_its_place() -> None:
    """What is deleted then is what had been restored."""
    plan, _ = plan_and_state(MOVES)
    state = fold(
        plan,
        (
            begun("undo"),
            records.StepBegan(step="undo_move", title="Put the old data back"),
            records.StepEnded(step="undo_move", seconds=1.0, result=""),
            records.Finished(state="undone"),
            begun("discard"),
            records.Deleting(path="/srv/new"),
        ),
    )
    assert place_of_old_data(plan.work, state) == "in its place"


def test_a_step_that_was_stopped_on_request_was_begun_for_all_that() -> None:
    """It may have left a server, which an undo has to stop."""
    plan, _ = plan_and_state(())
    records_of = (
        begun("restore"),
        records.StepBegan(step="start", title="Start"),
        records.Finished(state="aborted"),
    )
    state = fold(plan, records_of)
    assert state.begun("start")
    assert not state.done("start")
    assert not state.begun("replay")
