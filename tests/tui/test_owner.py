"""The run screen of somebody else's run: it can be watched; acting on it needs a typed name."""

from __future__ import annotations

from tests.tui import snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import focused_label, opened, press, see, text, type_text

RUN = snapshots.RUN


async def test_somebody_elses_run_says_so() -> None:
    async with opened(FakeBridge(at_work=RUN, operator="bob")) as pilot:
        await see(pilot, "anna's run: you watch.")
        await see(pilot, "68%  281.0 GiB / 412.0 GiB")


async def test_ones_own_run_says_nothing_of_it() -> None:
    async with opened(FakeBridge(at_work=RUN)) as pilot:
        await see(pilot, "68%  281.0 GiB / 412.0 GiB")
        assert "you watch" not in text(pilot)


async def test_taking_over_wants_the_owners_name_typed() -> None:
    bridge = FakeBridge(at_work=RUN, operator="bob")
    async with opened(bridge) as pilot:
        await see(pilot, "[5/6 run]")
        await press(pilot, "a", "down", "enter")
        await see(pilot, "The run belongs to anna: you take it over")
        await see(pilot, "Does anna know? To go on, type  anna")
        await press(pilot, "enter")
        assert bridge.done == []
        await press(pilot, "a", "down", "enter")
        await see(pilot, "Does anna know?")
        await press(pilot, "tab")
        await type_text(pilot, "anna")
        await press(pilot, "tab")
        while focused_label(pilot) != "Stop the run at the next safe place":
            await press(pilot, "tab")
        await press(pilot, "enter")
        await see(pilot, "under way")
    assert bridge.done == [f"abort {RUN}, taking over"]


async def test_name_of_what_is_deleted_is_typed_rather_than_the_owners() -> None:
    bridge = FakeBridge(at_work=RUN, view=snapshots.succeeded(), operator="bob")
    async with opened(bridge) as pilot:
        await see(pilot, "[5/6 run]")
        await press(pilot, "a", "end", "enter")
        await see(pilot, "The run belongs to anna: you take it over")
        await see(pilot, "This cannot be undone. To go on, type  db1/main")
    assert bridge.done == []
