"""The whole way of a backup with the keyboard alone: choices, plan, confirmation, run."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import Refused
from pgrescue.postgres.basebackup_options import Compression
from tests.tui import backups, snapshots
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
    until,
)


def world(**changes: object) -> FakeBridge:
    """A cluster with chains of backups."""
    return FakeBridge(glances=(backups.CHAINS,), **changes)  # type: ignore[arg-type]


async def to_form(pilot: Pilot[None]) -> None:
    """From the overview to the choices."""
    await see(pilot, backups.NOONTIME.id)
    await press(pilot, "b")
    await see(pilot, "[2/5 choices]")


async def to_plan(pilot: Pilot[None]) -> None:
    """On to the plan."""
    await to_form(pilot)
    await press(pilot, "enter")
    await see(pilot, "[3/5 plan]")
    await see(pilot, "1 warning")


def flowing(pilot: Pilot[None]) -> str:
    """The screen's words without its line breaks."""
    return re.sub(r"\s+", " ", text(pilot))


async def flows(pilot: Pilot[None], wanted: str) -> None:
    """Wait until the screen shows a text, broken wherever it may be."""
    await until(pilot, lambda: wanted in flowing(pilot), f"'{wanted}'")


@pytest.mark.parametrize("size", SIZES)
async def test_whole_way_with_the_keyboard(size: tuple[int, int]) -> None:
    bridge = world()
    async with opened(bridge, size) as pilot:
        await to_plan(pilot)
        assert bridge.asked_backups == [backups.CONFIGURED]
        await see(pilot, "0 blockers, 1 warning, about 98.0 GiB in about 40 m")
        await press(pilot, "enter")
        await see(pilot, "Take a backup on host db1: cluster main")
        assert focused_label(pilot) == "Cancel"
        assert bridge.done == []
        bridge.view = backups.taking()
        await press(pilot, "tab", "enter")
        await see(pilot, "[4/5 run]")
        assert bridge.done == ["start b7d2c0ffee12"]
        bridge.view = backups.taken()
        await see(pilot, "TAKEN and VERIFIED.")
        await press(pilot, "r")
        await see(pilot, "[5/5 report]")
        await press(pilot, "q", "q")
        await see(pilot, "[1/6 cluster]")


async def test_form_begins_with_the_configured_choices() -> None:
    async with opened(world()) as pilot:
        await to_form(pilot)
        rows = [" ".join(row.split()) for row in lines(pilot)]
        assert "Compress none gzip lz4 [zstd] [client] server" in rows
        assert "Level 3" in rows
        assert "Max rate 50M" in rows
        assert f"Destination {backups.ROOT}" in rows
        assert "Source the cluster's own server" in rows


async def test_command_is_on_the_screen_and_follows_the_choices() -> None:
    bridge = world()
    async with opened(bridge) as pilot:
        await to_form(pilot)
        await flows(pilot, "$ runuser -u postgres -- /usr/lib/postgresql/17/bin/pg_basebackup")
        await flows(pilot, "--compress=client-zstd:3 --max-rate=51200k")
        await press(pilot, *["down"] * 5, "right")
        await flows(pilot, "--compress=server-zstd:3")
        await press(pilot, "down", "backspace")
        await flows(pilot, "--compress=server-zstd --max-rate")
        await press(pilot, *["down"] * 2, "right", "right")
        await flows(pilot, "--checkpoint=fast")
        await press(pilot, "enter")
        await see(pilot, "[3/5 plan]")
    assert bridge.asked_backups == [
        replace(
            backups.CONFIGURED, compression=Compression("zstd", None, "server"), checkpoint="fast"
        )
    ]


@pytest.mark.parametrize("size", SIZES)
async def test_field_under_the_cursor_and_its_value_are_explained(size: tuple[int, int]) -> None:
    async with opened(world(), size) as pilot:
        await to_form(pilot)
        await flows(pilot, "A standby spares the primary the reading")
        await press(pilot, *["down"] * 4)
        await flows(pilot, "zstd: As small as gzip and several times as fast")
        await press(pilot, *["down"] * 3)
        await flows(pilot, "stream: Sent beside the files over a second connection")
        await press(pilot, "right")
        await flows(pilot, "fetch: Collected at the end")
        assert "pg_basebackup" in flowing(pilot) or "--manifest-checksums" in flowing(pilot)


async def test_fields_that_do_not_matter_are_not_there() -> None:
    async with opened(world(), (80, 40)) as pilot:
        await to_form(pilot)
        assert "Tablespaces" not in text(pilot)
        assert "Upon" not in text(pilot)
        await press(pilot, *["down"] * 3, "right")
        await see(pilot, "A plain backup is not compressed.")
        await press(pilot, "down", "right")
        await see(pilot, "Tablespaces LOCATION=DIRECTORY")
        assert "/fast/[hot] data" in text(pilot)
        assert "Level" not in text(pilot)
        assert "A plain backup is not compressed." not in text(pilot)
        await flows(pilot, "'--tablespace-mapping=/fast/[hot] data=")


async def test_places_of_tablespaces_can_be_typed() -> None:
    bridge = world(setting=replace(backups.SETTING, configured=BackupRequest(format="plain")))
    async with opened(bridge, (80, 40)) as pilot:
        await to_form(pilot)
        await press(pilot, *["up"] * 2)
        await type_text(pilot, "/slow/ts")
        await press(pilot, "down")
        await type_text(pilot, "/srv/a=/b")
        await press(pilot, "enter")
        await see(pilot, "[3/5 plan]")
        places = {"/fast/[hot] data": "/slow/ts", "/srv/a": "/b"}
        assert bridge.asked_backups[0].tablespaces == places


async def test_incremental_upon_the_backup_that_was_under_the_cursor() -> None:
    bridge = world()
    async with opened(bridge) as pilot:
        await see(pilot, backups.NOONTIME.id)
        await press(pilot, "enter", "j", "j", "b")
        await see(pilot, "[2/5 choices]")
        await press(pilot, *["down"] * 11, "left")
        await see(pilot, f"Upon        {backups.FULL.id}")
        await flows(pilot, f"--incremental={backups.FULL.path}/backup_manifest")
        await press(pilot, "enter")
        await see(pilot, "[3/5 plan]")
        assert bridge.asked_backups[0].parent == backups.FULL.id


async def test_wrong_field_is_told_while_typing_and_gets_the_cursor() -> None:
    bridge = world()
    async with opened(bridge) as pilot:
        await to_form(pilot)
        await press(pilot, *["down"] * 6, "backspace", *"99")
        await see(pilot, "'99' is no level of zstd. It has 1 to 22.")
        await press(pilot, "up", "enter")
        await see(pilot, "[2/5 choices]")
        assert pilot.app.focused is not None
        assert pilot.app.focused.id == "level"
        assert bridge.asked_backups == []


async def test_name_that_is_none_is_told_before_anything_is_asked() -> None:
    bridge = world()
    async with opened(bridge) as pilot:
        await to_form(pilot)
        await press(pilot, "down", "down")
        await type_text(pilot, "../x")
        await see(pilot, "'../x' is no name for a backup.")
        await press(pilot, "enter")
        await see(pilot, "[2/5 choices]")
        assert bridge.asked_backups == []


@pytest.mark.parametrize("keys", [("b",), ("b", "enter")])
async def test_command_can_be_copied(keys: tuple[str, ...]) -> None:
    async with opened(world()) as pilot:
        await see(pilot, backups.NOONTIME.id)
        for key in keys:
            await press(pilot, key)
            await pilot.pause(0.2)
        await see(pilot, "[3/5 plan]" if len(keys) == 2 else "[2/5 choices]")
        await press(pilot, "y" if len(keys) == 2 else "ctrl+y")
        await see(pilot, "Copied, where the terminal allows it (OSC 52).")
        assert pilot.app.clipboard.startswith("runuser -u postgres -- /usr/lib/postgresql/17/bin/")
        assert "--compress=client-zstd:3" in pilot.app.clipboard


async def test_explanation_has_both_commands() -> None:
    async with opened(world(), (100, 40)) as pilot:
        await to_form(pilot)
        await press(pilot, *["down"] * 9, *["backspace"] * 3, "f2")
        await see(pilot, "pgrescue --cluster main backup")
        await flows(pilot, "beside the configured --max-rate, which it cannot take back")
        await flows(pilot, "/usr/lib/postgresql/17/bin/pg_basebackup")
        await see(pilot, "plain: A data directory as it is")


async def test_blockers_come_first_with_their_fix_and_forbid_it() -> None:
    bridge = world(backup_planned=backups.blocked_plan())
    async with opened(bridge) as pilot:
        await to_form(pilot)
        await press(pilot, "enter")
        await see(pilot, "✗ BLOCKER")
        rows = "\n".join(lines(pilot)[5:])
        assert rows.index("BLOCKER") < rows.index("! warning") < rows.index("✓ ok")
        await see(pilot, 'alter role "backup" replication')
        await press(pilot, "enter")
        await see(pilot, "This plan cannot run: The role backup may not replicate.")
        assert focused_label(pilot) == ""
        assert bridge.done == []


async def test_steps_and_command_of_the_plan() -> None:
    async with opened(world()) as pilot:
        await to_plan(pilot)
        await press(pilot, "2", "j")
        await see(pilot, "~40 min")
        await see(pilot, "It waits for a")
        await press(pilot, "3")
        await see(pilot, f"Goes to        {backups.ROOT}/{backups.NAME}")
        await see(pilot, "--wal-method=stream \\")
        await press(pilot, "w")
        await see(pilot, "Written to /var/lib/pgrescue/plans/b7d2c0ffee12.txt")
        await press(pilot, "e")
        await see(pilot, "Goes to")


async def test_confirmation_says_what_it_costs() -> None:
    async with opened(world()) as pilot:
        await to_plan(pilot)
        await press(pilot, "enter")
        await flows(pilot, "It waits for a gentle checkpoint first, at most 270 s, twice that")
        await flows(pilot, "It is read again, and gets its name only if it is whole.")
        await press(pilot, "enter")  # on Cancel
        await see(pilot, "[3/5 plan]")
        assert "Cancel" not in text(pilot)


async def test_refusal_leads_back_to_the_choices() -> None:
    error = Refused("The server at [db2] cannot be asked.", next_steps=("start it",))
    async with opened(world(backup_planned=error)) as pilot:
        await to_form(pilot)
        await press(pilot, "enter")
        await see(pilot, "The server at [db2] cannot be asked.")
        await press(pilot, "escape")
        await see(pilot, "[2/5 choices]")


async def test_overview_names_a_run_that_takes_a_backup() -> None:
    row = replace(snapshots.ROW, state="succeeded", target="Base backup of it", is_backup=True)
    async with opened(world(rows=(row,))) as pilot:
        await see(pilot, "Base backup of it")
        await press(pilot, "tab", "e")
        await see(pilot, "backup    Base backup of it")
        assert "old data" not in text(pilot)


async def test_only_ascii_is_drawn_without_utf8() -> None:
    async with opened(world(), (60, 18), ascii_only=True) as pilot:
        await to_form(pilot)
        assert text(pilot).isascii(), text(pilot)
        await press(pilot, "enter")
        await see(pilot, "1 warning")
        assert text(pilot).isascii(), text(pilot)
        await press(pilot, "enter")
        await see(pilot, "Cancel")
        assert text(pilot).isascii(), text(pilot)
