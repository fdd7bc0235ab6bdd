"""The run's screen: a view that can be left, and the few things that can be done from it."""

from __future__ import annotations

from dataclasses import replace

import msgspec
import pytest

from pgrescue.plan.model import Plan
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.state import ReachedPoint
from pgrescue.tui.view import RunView
from tests.tui import snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import SIZES, focused_label, opened, press, see, text, type_text

RUN = snapshots.RUN


@pytest.mark.parametrize("size", SIZES)
async def test_opens_on_the_run_at_work(size: tuple[int, int]) -> None:
    async with opened(FakeBridge(at_work=RUN), size) as pilot:
        await see(pilot, "[5/6 run]")
        await see(pilot, "68%  281.0 GiB / 412.0 GiB")
        await see(pilot, "186.0 MiB/s   about 12 min left in this step   last change")
        await see(pilot, "[main] stopped")
        assert "Extract backup 20261121-220003F-8c1e" in text(pilot)
        assert "run RUNNING" in text(pilot).splitlines()[0]


async def test_replay_shows_position_time_and_segment() -> None:
    async with opened(FakeBridge(at_work=RUN, view=snapshots.replaying())) as pilot:
        await see(pilot, "replayed 1A/C3001240   to 2026-11-22 09:00:00+00")
        await see(pilot, "recovering 000000030000001A000000C3")


@pytest.mark.parametrize("key", ["q", "escape"])
async def test_leaving_the_screen_leaves_the_run_alone(key: str) -> None:
    bridge = FakeBridge(at_work=RUN)
    async with opened(bridge) as pilot:
        await see(pilot, "[5/6 run]")
        await press(pilot, key)
        await see(pilot, "The run goes on.")
        await see(pilot, "[1/6 cluster]")
        assert bridge.done == []


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+c"])
async def test_leaving_the_program_leaves_the_run_alone(key: str) -> None:
    bridge = FakeBridge(at_work=RUN)
    async with opened(bridge) as pilot:
        await see(pilot, "[5/6 run]")
        await pilot.press(key)
        await pilot.pause()
        assert not pilot.app.is_running or pilot.app._exit
    assert bridge.done == []


@pytest.mark.parametrize(
    ("view", "words"),
    [
        (snapshots.waiting(), ("AT THE TARGET", "reached   LSN 1B/2F7C38", "transaction 63885")),
        (snapshots.waiting(), (snapshots.ASIDE, "a, promote", "a, undo")),
        (snapshots.succeeded(), ("DONE.", "r shows the report", "discard the old data")),
        (snapshots.failed(), ("FAILED", "No space left on device", "main/[base].", "mend the")),
    ],
)
async def test_end_says_what_was_reached_where_the_old_data_lies_and_what_is_next(
    view: RunView, words: tuple[str, ...]
) -> None:
    async with opened(FakeBridge(at_work=RUN, view=view), (100, 40)) as pilot:
        for word in words:
            await see(pilot, word)


@pytest.mark.parametrize(
    ("view", "label", "done"),
    [
        (snapshots.waiting(), "Promote", f"resume {RUN}"),
        (snapshots.waiting(), "Undo", f"undo {RUN}"),
        (snapshots.failed(), "Go on", f"resume {RUN}"),
        (snapshots.extracting(), "Stop the run", f"abort {RUN}"),
    ],
)
async def test_menu_leads_to_a_confirmation_that_stands_on_cancel(
    view: RunView, label: str, done: str
) -> None:
    bridge = FakeBridge(at_work=RUN, view=view)
    async with opened(bridge) as pilot:
        await see(pilot, "[5/6 run]")
        await see(pilot, "steps  Restore")
        await press(pilot, "a")
        await see(pilot, f"Run {RUN}")
        rows = [row for row in text(pilot).splitlines() if "│" in row]
        entries = [row for row in rows[2:] if row.strip("│ ")]
        below = next(n for n, row in enumerate(entries) if f"│ {label}" in row)
        await press(pilot, *["j"] * below, "enter")
        await see(pilot, "On host db1: cluster main")
        assert focused_label(pilot) == "Cancel"
        assert bridge.done == []
        await press(pilot, "tab", "enter")
        await see(pilot, "under way")
        assert bridge.done == [done]


async def test_discarding_wants_the_name_typed() -> None:
    bridge = FakeBridge(at_work=RUN, view=snapshots.succeeded())
    async with opened(bridge) as pilot:
        await see(pilot, "DONE.")
        await press(pilot, "a", "G", "enter")
        await see(pilot, "is DELETED:")
        await see(pilot, "281.0 GiB in 1,204 files, set aside")
        await see(pilot, "type  db1/main")
        assert focused_label(pilot) == "Cancel"
        await press(pilot, "shift+tab")
        await type_text(pilot, "db1/main")
        await press(pilot, "tab", "tab", "enter")
        await see(pilot, "under way")
        assert bridge.done == [f"discard {RUN}"]


async def test_what_a_discard_spares_is_said_before() -> None:
    kept = "/srv/main-wal/tail holds WAL that the archive lacks: 000000010000000000000007."
    view = replace(snapshots.succeeded(), kept_wal=kept)
    async with opened(FakeBridge(at_work=RUN, view=view)) as pilot:
        await see(pilot, "DONE.")
        await press(pilot, "a", "G", "enter")
        await see(pilot, "It stays: /srv/main-wal/tail")


async def test_no_single_key_does_anything_to_a_run() -> None:
    bridge = FakeBridge(at_work=RUN, view=snapshots.waiting())
    async with opened(bridge) as pilot:
        await see(pilot, "AT THE TARGET")
        for key in "bcdfgijkmnopstuvwxyz":
            await press(pilot, key)
        await press(pilot, "delete", "backspace", "ctrl+d", "ctrl+k", "enter")
        assert bridge.done == []


async def test_explains_the_step_under_the_cursor() -> None:
    async with opened(FakeBridge(at_work=RUN)) as pilot:
        await see(pilot, "running")
        await press(pilot, "g", "e")
        await see(pilot, "Why the step stop is needed.")
        assert "systemctl stop postgresql@16-main" in text(pilot)
        assert "How stop is undone." in text(pilot)


async def test_deletion_that_began_offers_no_undo() -> None:
    view = snapshots.succeeded()
    view = replace(view, state=replace(view.state, deletion_begun=True))
    async with opened(FakeBridge(at_work=RUN, view=view)) as pilot:
        await see(pilot, "DONE.")
        await press(pilot, "a")
        await see(pilot, f"Run {RUN}")
        assert "Undo:" not in text(pilot)


async def test_a_recovery_that_ended_early_is_accepted_by_name_if_the_old_data_goes() -> None:
    view = snapshots.failed()
    assert view.state.error is not None
    assert isinstance(view.plan, Plan)
    error = msgspec.structs.replace(view.state.error, exit_code=5)
    plan = replace(view.plan, work=replace(view.plan.work, old_data="delete"))
    reached = ReachedPoint(Lsn(0x3000000), None, None, 1)
    view = replace(view, plan=plan, state=replace(view.state, error=error, reached=reached))
    bridge = FakeBridge(at_work=RUN, view=view)
    async with opened(bridge) as pilot:
        await see(pilot, "FAILED.")
        await press(pilot, "a")
        await see(pilot, "Accept what was reached, and go on")
        await press(pilot, "g", "j", "enter")
        await see(pilot, "The old data is DELETED.")
        await see(pilot, "type  db1/main")
        assert bridge.done == []


async def test_a_run_that_a_later_one_has_replaced_offers_neither_way() -> None:
    view = snapshots.waiting()
    view = replace(view, state=replace(view.state, replaced_by="20261124-120000-beef"))
    async with opened(FakeBridge(at_work=RUN, view=view)) as pilot:
        await see(pilot, "A later run, 20261124-120000-beef")
        assert "open for reading" not in text(pilot)
        await press(pilot, "a")
        await see(pilot, f"Run {RUN}")
        assert "Promote" not in text(pilot)
        assert "Undo:" not in text(pilot)
