"""The timeline screen: keys, words, the way to a plan, what is slow, and what goes wrong."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from pgrescue.errors import PgRescueError
from pgrescue.postgres.lsn import Lsn
from pgrescue.tui.screens.timeline import TimelineScreen
from pgrescue.tui.widgets.text_rows import TextRows
from tests.tui import archives, snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import SIZES, lines, opened, press, see, text, type_text, until

END = "0/29000000"


async def to_map(pilot: Pilot[None], end: str = END) -> None:
    """From the overview to the map, with what its first position keeps."""
    await see(pilot, snapshots.GOOD.id)
    await press(pilot, "w")
    await see(pilot, "Keeps everything")
    assert end in text(pilot)


def cursor(pilot: Pilot[None]) -> str:
    """Where the cursor is."""
    screen = pilot.app.screen
    assert isinstance(screen, TimelineScreen)
    assert screen.state is not None
    return f"{screen.state.cursor.timeline}:{Lsn(screen.state.cursor.lsn)}"


@pytest.mark.parametrize("size", SIZES)
async def test_map_shows_lane_rulers_words_and_keys(size: tuple[int, int]) -> None:
    async with opened(FakeBridge(archive=archives.FORKS), size) as pilot:
        await to_map(pilot)
        shown = lines(pilot)
        assert shown[0].startswith(" anna@db1  main")
        assert shown[1].startswith(" WAL timeline")
        for wanted in ("[TL 3*]", "LSN", "UTC", "loses 12 transactions,", "commits", "q back"):
            assert wanted in text(pilot), wanted
        assert "63885 at 2026-11-22" in " ".join(text(pilot).split())
        assert "enter restore to here" in shown[-1]


async def test_words_name_what_is_kept_lost_and_from_which_backup() -> None:
    async with opened(FakeBridge()) as pilot:
        await to_map(pilot)
        words = " ".join(text(pilot).split())
        assert (
            "Keeps everything up to the commit of 63885 at 2026-11-22 12:40:59.40 UTC; "
            "loses 12 transactions, the first one 63886 at 2026-11-22 12:41:00.00 UTC; "
            f"from backup {snapshots.GOOD.id}." in words
        )


async def test_keys_move_as_promised() -> None:
    async with opened(FakeBridge(archive=archives.FORKS)) as pilot:
        await to_map(pilot)
        assert cursor(pilot) == f"3:{END}"
        await press(pilot, "left_square_bracket")
        assert cursor(pilot) == "3:0/28000000"
        await press(pilot, "h", "left")
        before = cursor(pilot)
        await press(pilot, "l", "right", "left")
        assert cursor(pilot) > before
        await press(pilot, "g")
        assert cursor(pilot) == f"3:{archives.at(26.5)}"
        await press(pilot, "k")
        assert cursor(pilot) == f"2:{archives.at(26.5)}"
        await press(pilot, "end", "j")
        assert cursor(pilot) == f"3:{archives.at(30)}"
        await press(pilot, "right_square_bracket")
        assert cursor(pilot) == f"3:{archives.at(31)}"
        await press(pilot, "b")
        assert cursor(pilot) == f"3:{archives.at(33)}"
        await see(pilot, "Here: backup backup-33")
        await press(pilot, "slash")
        assert cursor(pilot) == f"1:{archives.at(4)}"
        await press(pilot, "up", "home")
        assert cursor(pilot) == f"1:{archives.at(1)}"


async def test_next_commit_is_exact_and_goes_over_segments_that_have_none() -> None:
    bridge = FakeBridge(archive=archives.GAPS)
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await press(pilot, "comma")
        await until(pilot, lambda: cursor(pilot) == f"1:{archives.at(40.8)}", "the last commit")
        await press(pilot, "comma", "comma")
        await until(pilot, lambda: cursor(pilot) == f"1:{archives.at(40.4)}", "two before")
        await press(pilot, "full_stop")
        assert cursor(pilot) == f"1:{archives.at(40.6)}"
        await press(pilot, "g")
        assert cursor(pilot) == f"1:{archives.at(1)}"
        await press(pilot, "comma")
        await see(pilot, "There is no further commit on timeline 1.")
        screen = pilot.app.screen
        assert isinstance(screen, TimelineScreen)
        assert screen.state is not None
        screen.moved(screen.state.at(archives.at(9.9)))
        await press(pilot, "full_stop")
        await until(pilot, lambda: cursor(pilot) == f"1:{archives.at(13)}", "the one after the gap")


async def test_zoom_reads_each_commit_where_one_is_looking() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await press(pilot, *["left_square_bracket"] * 20, *["plus"] * 7)
        await until(pilot, lambda: "commits of 1:21" in bridge.done, "the segment's commits")
        await see(pilot, "no commit")
        await press(pilot, "0")
        await see(pilot, "0/8000000")


async def test_time_goes_to_the_first_commit_after_it() -> None:
    async with opened(FakeBridge()) as pilot:
        await to_map(pilot)
        await press(pilot, "t")
        await type_text(pilot, "yesterday")
        await press(pilot, "enter")
        await see(pilot, "'yesterday' is not a time.")
        await press(pilot, "escape", "t")
        await type_text(pilot, "2026-11-22 13:20:00")  # the operator is in Berlin
        await press(pilot, "enter")
        await until(pilot, lambda: cursor(pilot) == f"1:{archives.at(20)}", "the place")
        await press(pilot, "h")
        assert cursor(pilot) < f"1:{archives.at(20)}"


async def test_escape_leaves_the_time_field_before_the_screen() -> None:
    async with opened(FakeBridge()) as pilot:
        await to_map(pilot)
        await press(pilot, "t", "escape")
        await see(pilot, "WAL timeline")
        await press(pilot, "escape")
        await see(pilot, "[1/6 cluster]")


async def test_position_goes_to_the_target_and_on_to_the_plan() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await press(pilot, "left_square_bracket")
        await until(pilot, lambda: "at 1:0/28000000" in bridge.done, "the question")
        await see(pilot, "12:39:59")
        await press(pilot, "enter")
        await see(pilot, "= just before LSN 0/28000000")
        await press(pilot, "enter")
        await see(pilot, "[4/6 plan]")
        request = bridge.asked[0]
        assert request.target.lsn == Lsn.parse("0/28000000")
        assert not request.target.inclusive
        assert request.target.timeline == 1
        assert request.backup == snapshots.GOOD.id


async def test_target_is_chosen_on_the_map_and_the_rest_of_the_form_stays() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "enter", "enter")
        await see(pilot, "[3/6 target]")
        await press(pilot, "down", "down", "right")
        await see(pilot, "Into")
        await press(pilot, "down")
        await type_text(pilot, "/srv/clone")
        await press(pilot, "f3")
        await see(pilot, "Keeps everything")
        await press(pilot, "enter")
        await see(pilot, f"just before LSN {END}")
        assert "/srv/clone" in text(pilot)
        await press(pilot, "escape")
        await see(pilot, "[2/6 backup]")


async def test_unreachable_position_says_why_and_cannot_be_taken() -> None:
    bridge = FakeBridge(why_not="segment 00000001000000000000000A is [missing]")
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "end of the WAL, as a target 'latest'.")
        await press(pilot, "left_square_bracket")
        await see(pilot, "Cannot be reached: segment 00000001000000000000000A is [missing]")
        await press(pilot, "enter")
        await see(pilot, "This position cannot be reached")
        assert "WAL timeline" in text(pilot)


async def test_slow_answers_never_block_the_keyboard_and_late_ones_are_dropped() -> None:
    gate = threading.Event()

    def wait(what: str) -> None:
        if what in ("position", "segments"):
            gate.wait(10)

    bridge = FakeBridge(wait=wait)
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "Reading what a recovery to here keeps and loses")
        await press(pilot, "enter")
        await see(pilot, "Still reading what this position keeps.")
        await press(pilot, *["left_square_bracket"] * 5)
        assert cursor(pilot) == "1:0/24000000"
        assert "Keeps" not in text(pilot)
        gate.set()
        await see(pilot, "2026-11-22 12:35:59.40 UTC")
        assert [done for done in bridge.done if done.startswith("at ")] == [
            f"at 1:{END}",
            "at 1:0/24000000",
        ]


async def test_names_that_are_slow_are_told_so() -> None:
    gate = threading.Event()
    bridge = FakeBridge(wait=lambda what: None if what != "timeline" else (gate.wait(10), None)[1])
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "Reading the names in /srv/wal/main")
        await press(pilot, "h", "plus", "e", "n", "enter", "full_stop")
        gate.set()
        await see(pilot, "Keeps everything")


async def test_error_of_the_archive_is_shown_in_its_own_words() -> None:
    bridge = FakeBridge(archive=PgRescueError("The archive [x] cannot be read.", "Permission."))
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "The archive [x] cannot be read.")
        bridge.archive = archives.ONE
        await press(pilot, "escape", "r")
        await see(pilot, "Keeps everything")


async def test_error_of_a_position_is_told_below_the_map() -> None:
    bridge = FakeBridge(position_error=PgRescueError("A segment is gone.", "No such file."))
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "Cannot be told: A segment is gone. No such file.")
        bridge.position_error = None
        await press(pilot, "left_square_bracket")
        await see(pilot, "Keeps everything")


async def test_error_while_reading_segments_stops_that_and_says_so() -> None:
    def wait(what: str) -> None:
        if what == "segments":
            raise PgRescueError("Input/output error.", "")

    async with opened(FakeBridge(wait=wait)) as pilot:
        await to_map(pilot)
        await see(pilot, "STOPPED: Input/output error.")


async def test_without_an_archive_it_says_so() -> None:
    async with opened(FakeBridge(archive=archives.EMPTY)) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "No WAL archive is configured for this cluster.")
        keys = ("h", "l", "comma", "plus", "0", "n", "b", "t", "enter", "e")
        await press(pilot, *keys, "escape")
        await see(pilot, "WAL timeline")


async def test_map_fills_in_until_everything_is_read() -> None:
    bridge = FakeBridge()
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await see(pilot, "all 40 segments read", 15)
        assert "not read yet" not in text(pilot)


async def test_reached_from_the_catalog_too() -> None:
    async with opened(FakeBridge()) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "enter")
        await see(pilot, "[2/6 backup]")
        await press(pilot, "w")
        await see(pilot, "Keeps everything")
        await press(pilot, "q")
        await see(pilot, "[2/6 backup]")


async def test_help_and_explanation() -> None:
    async with opened(FakeBridge(archive=archives.GAPS)) as pilot:
        await to_map(pilot)
        await press(pilot, "question_mark")
        await see(pilot, "To the next commit, exactly.")
        await press(pilot, "escape", "e")
        await see(pilot, f"pgrescue --cluster main plan --to-lsn {END} --exclusive --timeline 1")
        assert "missing: 00000001000000000000000A to 00000001000000000000000C" in text(pilot)
        await press(pilot, "G")
        await see(pilot, "no backup reaches")


@pytest.mark.parametrize("size", SIZES)
async def test_only_ascii_without_utf8(size: tuple[int, int]) -> None:
    async with opened(FakeBridge(archive=archives.FORKS), size, ascii_only=True) as pilot:
        await to_map(pilot)
        assert text(pilot).isascii(), text(pilot)


async def test_no_color_marks_the_cursor_by_sign_and_reverse_video(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with opened(FakeBridge()) as pilot:
        await to_map(pilot)
        await press(pilot, "h")
        column = lines(pilot)[2].index("▼")
        strips = pilot.app.screen._compositor.render_strips()
        cell = strips[4].crop(column, column + 1)
        assert all(s.style is not None and s.style.reverse for s in cell)
        styles = [segment.style for strip in strips for segment in strip if segment.style]
        assert all(style.color is None or style.color.is_default for style in styles)


async def test_moving_the_cursor_repaints_only_what_differs() -> None:
    async with opened(FakeBridge(archive=archives.FORKS)) as pilot:
        await to_map(pilot)
        area = pilot.app.screen.query_one("#map", TextRows)
        await press(pilot, "h")
        painted: list[int] = []
        refresh = area.refresh

        def counted(*regions: object, **options: object) -> object:
            painted.extend(region.width * region.height for region in regions)  # type: ignore[attr-defined]
            return refresh(*regions, **options)  # type: ignore[arg-type]

        area.refresh = counted  # type: ignore[method-assign,assignment]
        await press(pilot, "h")
        assert 0 < sum(painted) < 40


async def test_gaps_in_huge_archives_do_not_slow_the_keys() -> None:
    bridge = FakeBridge(archive=archives.HUGE)
    async with opened(bridge, (120, 40)) as pilot:
        await to_map(pilot, "")
        await press(pilot, *["h"] * 10, *["plus"] * 10, "0", "j", "k", "g", "G")
        assert cursor(pilot) == f"1:{archives.at(archives.MANY + 1)}"


async def test_narrow_lanes_scroll_with_the_cursor() -> None:
    many = archives.picture(
        [archives.lane(1, (1, 40))]
        + [
            archives.lane(n, (n, 40), parent=n - 1, forked_at=archives.at(n + 0.5))
            for n in range(2, 12)
        ],
        windows=[archives.window(11, 1, 41)],
        current=11,
    )
    async with opened(FakeBridge(archive=many), (60, 18)) as pilot:
        await to_map(pilot)
        await see(pilot, "10-11 of 11 timelines")
        for timeline in range(10, 0, -1):
            await press(pilot, "k")
            assert f"[TL {timeline}" in text(pilot)


async def test_archive_that_lost_a_timeline_meanwhile() -> None:
    bridge = FakeBridge(archive=archives.FORKS)
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await press(pilot, "j")
        assert cursor(pilot).startswith("5:")
        bridge.archive = replace(archives.ONE)
        await press(pilot, "r")
        await until(pilot, lambda: cursor(pilot).startswith("1:"), "the only timeline")


async def test_end_of_the_wal_is_taken_as_latest() -> None:
    bridge = FakeBridge(why_not="there is no record to stop at")
    async with opened(bridge) as pilot:
        await see(pilot, snapshots.GOOD.id)
        await press(pilot, "w")
        await see(pilot, "Keeps everything up to the commit of 63885")
        await see(pilot, "end of the WAL, as a target 'latest'.")
        await press(pilot, "enter")
        await see(pilot, "= the latest recoverable state")
        await press(pilot, "enter")
        await see(pilot, "[4/6 plan]")
        assert bridge.asked[0].target.kind == "latest"
        assert bridge.asked[0].target.timeline == 1


async def test_commits_before_a_timeline_are_found_on_its_parent() -> None:
    bridge = FakeBridge(archive=archives.FORKS)
    async with opened(bridge) as pilot:
        await to_map(pilot)
        await press(pilot, "g", "comma")
        await until(pilot, lambda: cursor(pilot) == f"2:{archives.at(26.4)}", "the parent's commit")
