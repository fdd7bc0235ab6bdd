"""The whole way with the keyboard: overview, backup, target, plan, confirmation, run, report."""

from __future__ import annotations

from dataclasses import replace

import pytest
from textual import events
from textual.pilot import Pilot

from pgrescue.errors import Refused
from tests.tui import snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import (
    SIZES,
    focused_label,
    lines,
    opened,
    press,
    see,
    text,
    type_text,
)


async def to_target(pilot: Pilot[None]) -> None:
    """From the overview to the target, with the backup 'auto'."""
    await see(pilot, snapshots.GOOD.id)
    await press(pilot, "enter")
    await see(pilot, "[2/6 backup]")
    await press(pilot, "enter")
    await see(pilot, "[3/6 target]")


async def to_plan(pilot: Pilot[None]) -> None:
    """On to a plan for 'just before transaction 63886'."""
    await to_target(pilot)
    await press(pilot, *["right"] * 5, "down")
    await type_text(pilot, "63886")
    await press(pilot, "enter")
    await see(pilot, "[4/6 plan]")


@pytest.mark.every_day(1)
@pytest.mark.parametrize("size", SIZES)
async def test_whole_path_with_the_keyboard(size: tuple[int, int]) -> None:
    bridge = FakeBridge()
    async with opened(bridge, size) as pilot:
        await to_plan(pilot)
        await see(pilot, "0 blockers, 1 warning, can be undone")
        assert bridge.asked[0].target.xid == 63886
        assert not bridge.asked[0].target.inclusive
        await press(pilot, "enter")
        await see(pilot, "Restore in place on host db1: cluster main")
        assert focused_label(pilot) == "Cancel"
        await press(pilot, "tab", "enter")
        await see(pilot, "[5/6 run]")
        assert bridge.done == ["start a3f19c77e2b0"]
        await see(pilot, "68%  281.0 GiB / 412.0 GiB")
        bridge.view = snapshots.succeeded()
        await see(pilot, "DONE. The restore has succeeded.")
        await press(pilot, "r")
        await see(pilot, "[6/6 report]")
        assert "Restore of db1/main: succeeded" in text(pilot)
        await press(pilot, "q", "q")
        await see(pilot, "[1/6 cluster]")


async def test_a_server_that_went_down_meanwhile_is_not_called_running() -> None:
    """The first row is looked at again when a plan is made: it is what a person decides by."""
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_target(pilot)
        assert "server RUNNING" in lines(pilot)[0]
        bridge.seen_server = "stopped"
        await press(pilot, *["right"] * 5, "down")
        await type_text(pilot, "63886")
        await press(pilot, "enter")
        await see(pilot, "server STOPPED")


async def test_keys_that_are_typed_ahead_find_the_field_that_was_just_shown() -> None:
    """Over a slow line several keys come at once."""
    async with opened(FakeBridge()) as pilot:
        await to_target(pilot)
        await press(pilot, "down", "down")
        for key in ("right", "down"):
            pilot.app.post_message(events.Key(key, None))
        await see(pilot, "An absolute path; the directory must be empty or not exist.")
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "into"


async def test_enter_twice_on_a_plan_changes_nothing() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await see(pilot, "warning")
        await press(pilot, "enter", "enter")
        await see(pilot, "[4/6 plan]")
        assert "Cancel" not in text(pilot)
        assert bridge.done == []


async def test_enter_on_a_plan_with_blockers_does_nothing_and_says_why() -> None:
    bridge = FakeBridge(planned=snapshots.blocked_plan())
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await see(pilot, "BLOCKER")
        await press(pilot, "enter")
        await see(pilot, "This plan cannot run")
        assert focused_label(pilot) == ""
        assert bridge.done == []


async def test_blockers_come_first_and_are_words() -> None:
    async with opened(FakeBridge(planned=snapshots.blocked_plan())) as pilot:
        await to_plan(pilot)
        await see(pilot, "✗ BLOCKER")
        rows = "\n".join(lines(pilot)[5:])
        assert rows.index("BLOCKER") < rows.index("! warning") < rows.index("✓ ok")


async def test_plan_that_cannot_be_undone_wants_its_name_typed() -> None:
    bridge = FakeBridge(planned=snapshots.irreversible_plan())
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await see(pilot, "CANNOT BE UNDONE")
        await press(pilot, "enter")
        await see(pilot, "type  db1/main")
        assert focused_label(pilot) == "Cancel"
        await press(pilot, "shift+tab")
        await type_text(pilot, "db1/mai")
        await press(pilot, "tab", "tab")
        assert focused_label(pilot) != "Restore in place"
        await press(pilot, "enter")  # nothing that starts it can have the focus
        assert bridge.done == []


async def test_typed_name_opens_the_way_and_enter_in_the_field_does_not() -> None:
    bridge = FakeBridge(planned=snapshots.irreversible_plan())
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await press(pilot, "enter")
        await see(pilot, "type  db1/main")
        await press(pilot, "shift+tab")
        await type_text(pilot, "db1/main")
        await press(pilot, "enter")
        assert bridge.done == []
        await press(pilot, "tab", "tab")
        assert focused_label(pilot) == "Restore in place"
        await press(pilot, "enter")
        await see(pilot, "[5/6 run]")
        assert bridge.done == ["start a3f19c77e2b0"]


async def test_name_cannot_be_pasted() -> None:
    from textual import events

    bridge = FakeBridge(planned=snapshots.irreversible_plan())
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await press(pilot, "enter")
        await see(pilot, "type  db1/main")
        await press(pilot, "shift+tab")
        pilot.app.post_message(events.Paste("db1/main"))
        await press(pilot, "tab", "tab")
        assert focused_label(pilot) != "Restore in place"


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c", "escape", "q", "ctrl+p", "colon"])
async def test_no_key_reaches_below_the_confirmation(key: str) -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_plan(pilot)
        await see(pilot, "1 warning")
        await press(pilot, "enter")
        await see(pilot, "Cancel")
        await press(pilot, key)
        assert pilot.app.is_running
        assert "type a part" not in text(pilot)
        assert bridge.done == []


async def test_refusal_is_shown_in_its_own_words_and_leads_back_to_the_target() -> None:
    error = Refused(
        "No backup reaches [that] time.",
        "The earliest ends at 2026-11-20.",
        next_steps=("choose a later target",),
    )
    async with opened(FakeBridge(planned=error)) as pilot:
        await to_target(pilot)
        await press(pilot, "enter")
        await see(pilot, "No backup reaches [that] time.")
        assert "Nothing was changed." in text(pilot)
        assert "choose a later target" in text(pilot)
        await press(pilot, "escape")
        await see(pilot, "[3/6 target]")


async def test_unusable_backup_is_listed_with_its_reason_but_cannot_be_chosen() -> None:
    async with opened(FakeBridge()) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "enter")
        await see(pilot, "✗ no")
        await press(pilot, "j")
        await see(pilot, "ends in the middle of [base/16384/2619]")
        assert "tar.truncated" in text(pilot)
        await press(pilot, "enter")
        await see(pilot, "cannot be chosen")
        assert "[2/6 backup]" in text(pilot)


async def test_filter_shows_only_what_fits_and_escape_shows_all() -> None:
    async with opened(FakeBridge()) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "enter", "slash")
        await type_text(pilot, "zst")
        await see(pilot, "auto")
        assert snapshots.OLD.id not in text(pilot)
        assert snapshots.GOOD.id in text(pilot)
        await press(pilot, "escape")
        await see(pilot, snapshots.OLD.id)


async def test_time_is_echoed_in_utc_and_in_the_operators_zone() -> None:
    async with opened(FakeBridge()) as pilot:
        await to_target(pilot)
        await press(pilot, "right", "right", "down")
        await type_text(pilot, "2026-11-22 14:02:10")
        await see(pilot, "= 2026-11-22 13:02:10+00:00 = 2026-11-22 14:02:10+01:00 your time")
        assert "ago" in text(pilot)


async def test_wrong_target_is_told_in_words_while_typing() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_target(pilot)
        await press(pilot, "right", "right", "down")
        await type_text(pilot, "yesterday")
        await see(pilot, "'yesterday' is not a time.")
        await press(pilot, "enter")
        assert "[3/6 target]" in text(pilot)
        assert bridge.asked == []


async def test_clone_asks_for_its_directory_and_leaves_the_old_data_out() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_target(pilot)
        await press(pilot, "down", "down", "right")
        await see(pilot, "Into")
        assert "Old data" not in text(pilot)
        await press(pilot, "down")
        await type_text(pilot, "/srv/clone")
        await press(pilot, "down")
        await type_text(pilot, "5444")
        await press(pilot, "enter")
        await see(pilot, "[4/6 plan]")
        assert bridge.asked[0].into == "/srv/clone"
        assert bridge.asked[0].port == 5444


async def test_tablespaces_can_be_mapped_where_the_backup_has_some() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_target(pilot)
        await see(pilot, "Tblspc 16412")
        await press(pilot, *["down"] * 5)
        await type_text(pilot, "/slow/ts")
        await press(pilot, "enter")
        await see(pilot, "[4/6 plan]")
        assert bridge.asked[0].tablespaces == {"/fast/[hot] data": "/slow/ts"}
    plain = replace(snapshots.GLANCE, backups=(snapshots.OLD,))
    async with opened(FakeBridge(glances=(plain,))) as pilot:
        await see(pilot, snapshots.OLD.id)
        await press(pilot, "enter", "enter")
        await see(pilot, "[3/6 target]")
        assert "Tblspc" not in text(pilot)
