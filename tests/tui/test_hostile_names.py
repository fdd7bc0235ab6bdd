"""Names that would be obeyed by a terminal, on every kind of widget."""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual.pilot import Pilot
from textual.widgets import Input

from pgrescue.catalog.model import BackupTablespace
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.tui.widgets.plain_text import spelled_lines, spelled_row
from tests.tui import backups, snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import opened, press, see
from tests.tui.test_path import to_plan, to_target

HOSTILE = "\x1b[2J\x9b1m\u202eod"
SPELLED = r"\x1b[2J\x9b1m\u202eod"


def written(pilot: Pilot[None]) -> str:
    """What goes to the terminal besides colours and places."""
    strips = pilot.app.screen._compositor.render_strips()
    return "".join(segment.text for strip in strips for segment in strip)


async def see_harmless(pilot: Pilot[None], wanted: str) -> None:
    await see(pilot, wanted)
    assert written(pilot).isprintable()


async def test_plan_and_its_confirmation() -> None:
    plan = replace(
        snapshots.plan(),
        backup=HOSTILE,
        preflight=(Finding("x", "warning", f"Trap {HOSTILE}", f"mend {HOSTILE}"),),
        settings_diff=f"+name = '{HOSTILE}'",
    )
    async with opened(FakeBridge(planned=plan), (120, 40)) as pilot:
        await to_plan(pilot)
        await see_harmless(pilot, f"from {SPELLED}")
        await see_harmless(pilot, f"Trap {SPELLED}")
        await see_harmless(pilot, f"mend {SPELLED}")
        await press(pilot, "3")
        await see_harmless(pilot, f"+name = '{SPELLED}'")
        await press(pilot, "enter")
        await see_harmless(pilot, f"It comes back from {SPELLED}")


async def test_error() -> None:
    refusal = Refused(f"No {HOSTILE}.", f"Because {HOSTILE}.")
    async with opened(FakeBridge(planned=refusal), (120, 40)) as pilot:
        await to_target(pilot)
        await press(pilot, "enter")
        await see_harmless(pilot, f"No {SPELLED}.")
        await see_harmless(pilot, f"Because {SPELLED}.")


async def test_toast_and_fields() -> None:
    place = BackupTablespace(1, f"/srv/{HOSTILE}", 1)
    glance = replace(snapshots.GLANCE, backups=(replace(snapshots.GOOD, tablespaces=(place,)),))
    async with opened(FakeBridge(glances=(glance,)), (120, 40)) as pilot:
        await to_target(pilot)
        await see_harmless(pilot, f"/srv/{SPELLED}")
        pilot.app.screen.query_one("#ts1", Input).value = f"in{HOSTILE}put"
        await see_harmless(pilot, "in[2J1modput")
        assert pilot.app.screen.query_one("#ts1", Input).value == f"in{HOSTILE}put"
        pilot.app.screen.say(f"Toast {HOSTILE}")  # type: ignore[attr-defined]
        await see_harmless(pilot, f"Toast {SPELLED}")


async def test_choices_and_plan_of_a_backup() -> None:
    hostile = replace(backups.FULL, path=f"/srv/{HOSTILE}")
    glance = replace(snapshots.GLANCE, backups=(hostile,))
    plan = backups.plan()
    plan = replace(plan, source=HOSTILE, work=replace(plan.work, command=("x", HOSTILE)))
    bridge = FakeBridge(glances=(glance,), backup_planned=plan)
    async with opened(bridge, (120, 40)) as pilot:
        await see(pilot, hostile.id)
        await press(pilot, "enter", "j", "b")
        await see(pilot, "[2/5 choices]")
        await press(pilot, *["down"] * 11, "left")
        await see_harmless(pilot, f"'--incremental=/srv/{SPELLED}/backup_manifest'")
        await press(pilot, "enter")
        await see_harmless(pilot, f": {SPELLED}")
        await press(pilot, "3")
        await see_harmless(pilot, f"'{SPELLED}'")


def test_styles_stay_where_they_were() -> None:
    text = Text.assemble("a", ("b\x1bc", "bold"), "\nd")
    row, lines = spelled_row(text), spelled_lines(text)
    assert isinstance(lines, Text)
    assert (row.plain, bold(row)) == ("ab\\x1bc\\nd", "b\\x1bc")
    assert (lines.plain, bold(lines)) == ("ab\\x1bc\nd", "b\\x1bc")


def bold(text: Text) -> str:
    return "".join(text.plain[span.start : span.end] for span in text.spans)
