"""What holds on every screen: place, keys, help, small terminals, few colours."""

from __future__ import annotations

import re

import pytest
from textual.pilot import Pilot

from pgrescue.tui import keys
from pgrescue.tui.environment import refuse_unsuitable_terminal, wants_ascii
from pgrescue.tui.theme import theme_for
from pgrescue.tui.view import Place
from pgrescue.tui.widgets.frame import status_text
from tests.tui import snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import SIZES, lines, opened, press, see, text

WAYS = {
    "overview": (),
    "catalog": ("enter",),
    "target": ("enter", "enter"),
    "plan": ("enter", "enter", "enter"),
    "backup": ("b",),
    "backup_plan": ("b", "enter"),
}
CRUMBS = {
    "overview": "[1/6 cluster]",
    "catalog": "[2/6 backup]",
    "target": "[3/6 target]",
    "plan": "[4/6 plan]",
    "backup": "[2/5 choices]",
    "backup_plan": "[3/5 plan]",
}


async def go(pilot: Pilot[None], kind: str) -> None:
    """Open the screen of that kind."""
    await see(pilot, snapshots.GOOD.id)
    for key in WAYS[kind]:
        await press(pilot, key)
        await pilot.pause(0.1)  # the form of a backup opens when it is known what it begins with
    await see(pilot, CRUMBS[kind])


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", WAYS)
async def test_first_row_names_operator_host_cluster_and_server(
    kind: str, size: tuple[int, int]
) -> None:
    async with opened(FakeBridge(), size) as pilot:
        await go(pilot, kind)
        first = lines(pilot)[0]
        assert first.startswith(" anna@db1  main")
        assert "server RUNNING" in first
        assert first.rstrip()[-1] != "…"


@pytest.mark.parametrize("kind", WAYS)
async def test_every_screen_has_help_and_explains_what_is_under_the_cursor(kind: str) -> None:
    async with opened(FakeBridge()) as pilot:
        await go(pilot, kind)
        await press(pilot, "f1")
        await see(pilot, keys.SCREEN_TITLES[kind])
        await press(pilot, "escape", "f2" if kind in ("target", "backup") else "e")
        await see(pilot, "pgrescue --cluster main")


@pytest.mark.parametrize("kind", keys.ANYWHERE)
def test_footer_fits_shows_few_keys_and_always_the_way_back(kind: str) -> None:
    shown = [key for key in keys.keys_of(kind) if key.footer]
    assert len(shown) <= 6
    assert len(keys.footer_text(kind, 78)) <= 78
    assert keys.footer_text(kind, 78).count("  ") == len(shown) - 1
    assert len(keys.footer_text(kind, 58)) <= 58
    assert shown[-1].label in keys.footer_text(kind, 58)


@pytest.mark.parametrize("kind", keys.ANYWHERE)
def test_no_key_is_bound_twice_on_a_screen_and_none_destroys(kind: str) -> None:
    bound = [name for key in keys.keys_of(kind) for name in key.keys.split(",")]
    assert len(bound) == len(set(bound))
    actions = {key.action for key in keys.keys_of(kind)}
    assert not actions & {"abort", "undo", "discard", "resume", "start"}


@pytest.mark.parametrize("size", [(59, 24), (80, 17), (40, 10)])
async def test_too_small_a_terminal_is_told_so(size: tuple[int, int]) -> None:
    async with opened(FakeBridge(), size) as pilot:
        await see(pilot, "pgrescue needs a terminal of at least")


async def test_palette_finds_an_action_and_runs_it() -> None:
    async with opened(FakeBridge()) as pilot:
        await go(pilot, "plan")
        await see(pilot, "1 warning")
        await press(pilot, "colon", *"shell")
        await see(pilot, "Show the whole plan as a shell script.")
        await press(pilot, "enter")
        await see(pilot, "#!/bin/bash")


async def test_data_with_brackets_is_never_read_as_markup() -> None:
    async with opened(FakeBridge()) as pilot:
        await go(pilot, "plan")
        await see(pilot, "/var/lib/postgresql [ssd]:")


async def test_without_utf8_only_ascii_is_drawn() -> None:
    async with opened(FakeBridge(), ascii_only=True) as pilot:
        for kind in WAYS:
            await go(pilot, kind)
            assert text(pilot).isascii(), text(pilot)
            await press(pilot, *["escape"] * len(WAYS[kind]))
        await go(pilot, "plan")
        await see(pilot, "1 warning")
        await press(pilot, "enter")
        await see(pilot, "Cancel")
        assert text(pilot).isascii(), text(pilot)


async def test_no_color_uses_no_colour_and_marks_the_cursor_by_reverse_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(FakeBridge()) as pilot:
        await go(pilot, "catalog")
        assert pilot.app.theme == "ansi-dark"
        row = next(
            segments
            for segments in pilot.app.screen._compositor.render_strips()
            if "auto" in segments.text
        )
        styles = [segment.style for segment in row if "auto" in segment.text]
        assert all(style is not None and style.reverse for style in styles)


@pytest.mark.parametrize(
    ("system", "no_color", "theme"),
    [
        ("truecolor", False, "pgrescue"),
        ("256", False, "pgrescue"),
        ("standard", False, "ansi-dark"),
        (None, False, "ansi-dark"),
        ("truecolor", True, "ansi-dark"),
    ],
)
def test_theme_fits_the_terminal(system: str | None, no_color: bool, theme: str) -> None:
    assert theme_for(system, no_color=no_color) == theme


@pytest.mark.parametrize(
    ("environ", "ascii_only"),
    [
        ({"LANG": "en_US.UTF-8", "TERM": "xterm"}, False),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "C", "LANG": "en_US.UTF-8"}, True),
        ({}, True),
        ({"LANG": "C", "LC_CTYPE": "C.UTF-8"}, True),
        ({"LANG": "de_DE.utf8", "TERM": "linux"}, True),
    ],
)
def test_glyphs_fit_the_locale(environ: dict[str, str], ascii_only: bool) -> None:
    assert wants_ascii(environ) is ascii_only


def test_refusal_of_a_terminal_names_the_commands() -> None:
    from pgrescue.errors import UsageError

    with pytest.raises(UsageError, match="cannot run here") as refusal:
        refuse_unsuitable_terminal({"TERM": "dumb"})
    assert "pgrescue catalog" in refusal.value.next_steps[0]


def test_long_paths_give_way_before_the_names() -> None:
    place = Place("anna", "db1", "main", "/very/long" * 12, "running", "run WAITING")
    row = status_text(place, 80, "~")
    assert len(row) <= 80
    assert re.fullmatch(r" anna@db1  main  ~.*long  server RUNNING  run WAITING", row)
