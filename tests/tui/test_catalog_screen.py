"""The catalog: chains, what is verified, and reading a backup to its end."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from pgrescue.catalog.chain_list import in_chains
from pgrescue.errors import PgRescueError
from pgrescue.tui.backup_text import backup_text
from pgrescue.verify.model import Verification
from tests.tui import backups, snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import lines, opened, press, see, text, type_text

FULL, SUNDAY, NOONTIME = backups.FULL, backups.SUNDAY, backups.NOONTIME


def world(**changes: object) -> FakeBridge:
    """A cluster with chains of backups."""
    return FakeBridge(glances=(backups.CHAINS,), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ascii_only", "hooks"), [(False, ("├ ", "└ ")), (True, ("| ", "` "))], ids=["unicode", "ascii"]
)
async def test_incremental_backups_hang_under_their_parents(
    ascii_only: bool, hooks: tuple[str, str]
) -> None:
    async with opened(world(), ascii_only=ascii_only) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter")
        await see(pilot, "[2/6 backup]")
        shown = [row[6:29].rstrip() for row in lines(pilot)[4:8]]
        assert shown == [
            snapshots.OLD.id,
            FULL.id,
            f"{hooks[0]}{SUNDAY.id}",
            f"{hooks[1]}{NOONTIME.id}",
        ]
        marks = [row[43:48].strip() for row in lines(pilot)[4:8]]
        sign = "+" if ascii_only else "✓"
        assert marks == [f"{sign} ok", f"{sign} ok", "-", "-"]
        assert not ascii_only or text(pilot).isascii()


async def test_check_is_in_sight_on_a_narrow_terminal() -> None:
    async with opened(world(), (60, 18)) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter")
        await see(pilot, "check")


async def test_without_its_parent_in_sight_a_backup_stands_by_itself() -> None:
    async with opened(world()) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter", "slash")
        await type_text(pilot, "incr")
        await see(pilot, f"✓ yes {SUNDAY.id}")
        await see(pilot, f"└ {NOONTIME.id}")
        assert FULL.id not in text(pilot).split("───")[0]


def test_children_follow_their_parents_whatever_the_order() -> None:
    other = replace(SUNDAY, id="other", parent=FULL.id)
    shown = in_chains([NOONTIME, other, FULL, SUNDAY, snapshots.OLD])
    assert [link.backup for link in shown] == [FULL, other, SUNDAY, NOONTIME, snapshots.OLD]
    assert [link.is_under for link in shown] == [False, True, True, True, False]
    assert [link.is_last for link in shown] == [False, False, False, True, True]


def test_detail_tells_duration_ratio_and_chain() -> None:
    told = backup_text(FULL, backups.CHAINS.backups)
    assert "in 40 min, 175.8 MiB/s" in told
    assert "size       96.0 GiB, restored 412.0 GiB: kept in 23% of that" in told
    assert "chain      is needed by 2 after it" in told
    assert "upon" not in told
    told = backup_text(NOONTIME, backups.CHAINS.backups)
    assert f"upon       {SUNDAY.id}" in told
    assert "chain      needs 2 before it" in told
    assert "verified   not yet: v does it" in told
    unknown = replace(snapshots.OLD, stopped_at=None, restore_bytes=None)
    assert " in " not in backup_text(unknown, ()).split("taken")[1].splitlines()[0]


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (backups.WHOLE, ("WHOLE. 1,234 files, 412.0 GiB", "as the manifest says")),
        (backups.DAMAGED, ("DAMAGED. 1 problem;", "base/5/[1259] is damaged", "do not rely")),
    ],
)
async def test_v_reads_the_backup_and_tells_what_it_found(
    found: Verification, words: tuple[str, ...]
) -> None:
    bridge = world(verified=found)
    async with opened(bridge) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter", "j", "j", "v")
        for word in words:
            await see(pilot, word)
        await see(pilot, f"pgrescue verify {FULL.id}")
        assert bridge.done == [f"verified {FULL.id}"]
        await press(pilot, "q")
        await see(pilot, "[2/6 backup]")


async def test_catalog_below_shows_what_has_come_of_it() -> None:
    bridge = world()
    async with opened(bridge) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter", "j", "j", "j")
        proved = replace(SUNDAY, verified_at=snapshots.NOON)
        fresh = replace(backups.CHAINS, backups=(FULL, proved))
        bridge.glances = (fresh,)
        await press(pilot, "v")
        await see(pilot, "WHOLE.")
        await press(pilot, "q")
        await see(pilot, f"└ {SUNDAY.id} incr tar zst ✓ ok")


async def test_progress_is_shown_and_escape_stops_the_reading() -> None:
    go_on = threading.Event()
    bridge = world(wait=lambda _what: go_on.wait(10))
    async with opened(bridge) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter", "j", "j", "v")
        await see(pilot, "0%  1.0 GiB / 412.0 GiB")
        await see(pilot, "base/16384/1")
        await see(pilot, "last heard of")
        reading = next(t for t in threading.enumerate() if t.name == "Reading the backup")
        await press(pilot, "escape")
        await see(pilot, "Not read to its end")
        await see(pilot, "[2/6 backup]")
        go_on.set()
        reading.join(10)
        assert not reading.is_alive()
        assert bridge.done == []


async def test_reading_that_broke_off_proves_nothing() -> None:
    bridge = world(verified=PgRescueError("The disk [x] is gone."))
    async with opened(bridge) as pilot:
        await see(pilot, NOONTIME.id)
        await press(pilot, "enter", "j", "j", "v")
        await see(pilot, "The disk [x] is gone.")
        await press(pilot, "escape")
        await see(pilot, "The reading broke off; nothing is known")


async def test_what_is_no_backup_is_not_read() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "enter", "v")
        await see(pilot, "Choose the backup that is to be read")
        await press(pilot, "j", "v")
        await see(pilot, "is no backup that could be read.")
        assert bridge.done == []
