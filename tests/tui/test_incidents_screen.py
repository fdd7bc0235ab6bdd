"""The incidents screen: the search, the table, harmless names, and the way to a plan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest

from pgrescue.errors import PgRescueError, UsageError
from pgrescue.history.model import HitRelation, Incident
from pgrescue.tui.form import Form, form_from_arguments, read_target, target_options
from pgrescue.tui.glyphs import ASCII, UNICODE
from pgrescue.tui.incident_text import incident_cells, incident_text, relations_text
from pgrescue.tui.words import exact_moment, fit, in_ascii
from tests.tui import archives, snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import SIZES, lines, opened, press, see, text, until

HOSTILE = tuple(
    archives.incident(5 + number, 1, name) for number, name in enumerate(archives.HOSTILE_NAMES)
)


@pytest.mark.parametrize("size", SIZES)
async def test_incident_leads_to_target_and_plan(size: tuple[int, int]) -> None:
    bridge = FakeBridge()
    async with opened(bridge, size) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "i")
        await see(pilot, "1 incident, the last one first.")
        assert "11-22 12:20:30 DROP TABLE          shop.public.orders" in text(pilot)
        await press(pilot, "enter")
        await see(pilot, "= just before transaction 905")
        await press(pilot, "enter")
        await see(pilot, "[4/6 plan]")
        target = bridge.asked[0].target
        assert (target.kind, target.xid, target.inclusive) == ("xid", 905, False)
        assert target.timeline == 1


async def test_detail_has_everything() -> None:
    first = archives.incident(20.5)
    many = replace(
        first,
        relations=(*first.relations, HitRelation(None, None, None, 777)),
        note="The rows are counted in the WAL.",
        share=0.934,
        kind="mass_delete",
    )
    async with opened(FakeBridge(destroyed=(many,)), (80, 40)) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "i")
        await see(pilot, "DELETE of many rows shop.public.orders (+1 more)")
        words = " ".join(text(pilot).split())
        for wanted in (
            "2026-11-22 12:20:30.00 UTC, by transaction 905",
            "48,211, 93% of the table",
            f"committed at {first.lsn} on timeline 1; its first known record is at "
            f"{first.first_lsn}",
            "The rows are counted in the WAL.",
            "pgrescue --cluster main plan --before-xid 905 --timeline 1",
            "public.orders (OID 16401, file 16405), (file 777)",
        ):
            assert wanted in words, wanted
        await press(pilot, "e")
        await see(pilot, "takes 'just before this transaction' as the target")


async def test_search_tells_how_far_it_is_and_escape_gives_it_up() -> None:
    step = threading.Semaphore(0)
    given_up = threading.Event()

    def wait(what: str) -> None:
        if what == "incidents":
            step.acquire(timeout=10)

    class Slow(FakeBridge):
        def incidents(
            self, cluster: str, progress: Callable[[int, int], None]
        ) -> tuple[Incident, ...]:
            try:
                return super().incidents(cluster, progress)
            except BaseException:
                given_up.set()
                raise

    bridge = Slow(wait=wait, steps=6300)
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "i")
        await see(pilot, "Searching: 1 of 6,300 segments read.")
        await press(pilot, "r", "enter", "e", "w")
        await see(pilot, "Keeps everything")  # the map can be looked at meanwhile
        await press(pilot, "q")
        await see(pilot, "esc gives the search up")
        await press(pilot, "escape")
        await see(pilot, "[1/6 cluster]")
        step.release(2)
        await until(pilot, given_up.is_set, "end of the search")
        assert "failed" not in text(pilot)


async def test_failed_search_says_why_and_can_be_tried_again() -> None:
    bridge = FakeBridge(destroyed=PgRescueError("No [archive] is configured.", ""))
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "i")
        await see(pilot, "No [archive] is configured.")
        await press(pilot, "escape")
        await see(pilot, "The search failed")
        bridge.destroyed = ()
        await press(pilot, "r")
        await see(pilot, "No transaction that destroyed data was found")
        await press(pilot, "enter", "e")
        await see(pilot, "There is no incident under the cursor.")


async def test_map_and_list_lead_to_each_other() -> None:
    bridge = FakeBridge(destroyed=(archives.incident(10.5), archives.incident(20.5)))
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "Keeps everything")
        await press(pilot, "n")
        await see(pilot, "Nobody has searched for incidents yet")
        await press(pilot, "i")
        await see(pilot, "2 incidents")
        await press(pilot, "j", "w")
        await see(pilot, "Here: DROP TABLE shop.public.orders, transaction 805")
        assert "!" in lines(pilot)[3]
        await press(pilot, "n")
        await see(pilot, "transaction 905")
        await press(pilot, "n")
        await see(pilot, "transaction 805")
        await press(pilot, "N")
        await see(pilot, "transaction 905")
        await press(pilot, "i")
        await see(pilot, "2 incidents")
        await press(pilot, "q", "q")
        await see(pilot, "[1/6 cluster]")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_hostile_names_are_shown_harmlessly(size: tuple[int, int], ascii_only: bool) -> None:
    async with opened(FakeBridge(destroyed=HOSTILE), size, ascii_only=ascii_only) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "i")
        await see(pilot, "5 incidents")
        assert "[bold red]" in text(pilot)
        assert "two\\nrows" in text(pilot)
        await press(pilot, *["j"] * 3)
        await see(pilot, "two\\nrows\\rand\\x1b[2J")
        for strip in pilot.app.screen._compositor.render_strips():
            assert not any(ord(sign) < 32 or sign in "\u202e\u200b\x7f" for sign in strip.text)
            assert strip.cell_length == size[0]
        if ascii_only:
            assert text(pilot).isascii()
        await press(pilot, "w")
        await see(pilot, "Here: DROP TABLE")
        await press(pilot, "e")
        await see(pilot, "The same from the command line:")


def test_rows_fit_their_columns_whatever_the_names() -> None:
    for glyphs in (UNICODE, ASCII):
        for incident in HOSTILE:
            cells = incident_cells(incident, 24, glyphs)
            assert [
                cell.cell_len <= width for cell, width in zip(cells, (14, 19, 24), strict=False)
            ]
            assert cells[2].cell_len <= 24
            assert "\x1b" not in incident_text(incident, "main", glyphs)


def test_what_was_hit_in_few_words() -> None:
    whole = archives.incident(5)
    assert relations_text(whole) == "shop.public.orders"
    assert relations_text(replace(whole, relations=())) == "shop"
    assert relations_text(replace(whole, relations=(), database=None)) == "(unknown)"
    unknown = replace(whole, relations=(HitRelation(None, None, 16401, None),), database=None)
    assert relations_text(unknown) == "(OID 16401)"
    many = replace(whole, relations=whole.relations * 12)
    assert incident_cells(many, 24, UNICODE)[2].plain == "public.orders (+11 more)"


def test_words_for_names_and_times() -> None:
    assert in_ascii("誰") == "\\u8ab0"
    assert fit("誰誰誰", 6, "…") == "誰誰誰"
    assert fit("誰誰誰", 5, "…") == "誰誰…"
    assert exact_moment(archives.NOON) == "2026-11-22 12:00:00.00 UTC"
    assert exact_moment(archives.NOON.replace(microsecond=701234)).endswith("00.701234 UTC")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--to", "latest"), "the latest recoverable state"),
        (("--to", "immediate"), "the end of the backup (earliest consistent state)"),
        (("--to", "2026-11-22 13:00:00+00", "--exclusive"), "just before 2026-11-22 13:00:00"),
        (("--to=2026-11-22 13:00:00+00",), "2026-11-22 13:00:00"),
        (("--to-lsn", "0/3000028", "--exclusive"), "just before LSN 0/3000028"),
        (("--to-xid", "905"), "transaction 905"),
        (("--before-xid", "905"), "just before transaction 905"),
        (("--to-name", "before = after"), "restore point 'before = after'"),
    ],
)
def test_arguments_fill_in_the_form(arguments: tuple[str, ...], words: str) -> None:
    form = form_from_arguments(
        (*arguments, "--timeline", "2", "--backup", "b", "--action", "pause")
    )
    assert (form.backup, form.timeline, form.action) == ("b", "2", "pause")
    assert str(read_target(form, None)).startswith(words)
    assert target_options(form).timeline == "2"


def test_arguments_replace_the_target_and_leave_the_rest_alone() -> None:
    old = Form(
        "auto", kind="time", value="x", side="exclude", timeline="7", into="/c", action="promote"
    )
    form = form_from_arguments(("--before-xid", "905"), old)
    assert form == replace(old, kind="before xid", value="905", side="include", timeline="")


def test_arguments_that_no_field_takes_are_refused() -> None:
    with pytest.raises(UsageError, match="no field for --into"):
        form_from_arguments(("--into", "/srv/clone"))
