"""A run that takes a backup: how far it is, how it ended, what can be done with it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from pgrescue.run import records
from pgrescue.tui import backup_meter
from pgrescue.tui.glyphs import ASCII
from pgrescue.tui.outcome import outcome_text, verbs_of
from pgrescue.tui.view import RunView
from tests.tui import backups, snapshots
from tests.tui.fake_bridge import FakeBridge
from tests.tui.screen_text import SIZES, focused_label, opened, press, see, text

RUN = snapshots.RUN
ENDS = {
    "taken": backups.taken(),
    "unverified": backups.taken(verified=False),
    "failed": backups.failed(),
    "aborted": backups.aborted(),
    "interrupted": backups.interrupted(),
    "removed": backups.removed(),
}


@pytest.mark.parametrize("size", SIZES)
async def test_shows_phase_bar_rate_time_left_and_what_is_on_disk(size: tuple[int, int]) -> None:
    bridge = FakeBridge(at_work=RUN, view=backups.taking())
    async with opened(bridge, size) as pilot:
        await see(pilot, "[4/5 run]")
        await see(pilot, "68%  281.0 GiB / 412.0 GiB")
        await see(pilot, "186.0 MiB/s   last heard of")
        await see(pilot, "streaming database files, 1 of 1 tablespaces")
        await see(pilot, "on disk 66.0 GiB   WAL streamed 3.0 GiB")
        await see(pilot, "pg_basebackup: [background] WAL receiver")
        assert "run RUNNING" in text(pilot).splitlines()[0]


async def test_first_row_keeps_the_clusters_directory() -> None:
    bridge = FakeBridge(view=backups.taking())
    async with opened(bridge, (120, 24)) as pilot:
        await see(pilot, snapshots.RUN)
        await press(pilot, "tab", "enter")
        await see(pilot, "[4/5 run]")
        await see(pilot, "run RUNNING")
        first = text(pilot).splitlines()[0]
        assert snapshots.DATA in first
        assert "server RUNNING" in first


async def test_wait_for_the_checkpoint_is_shown_as_one_with_its_bound() -> None:
    bridge = FakeBridge(at_work=RUN, view=backups.waiting_for_checkpoint())
    async with opened(bridge) as pilot:
        await see(pilot, "the server's checkpoint comes first, within about 270 s.")
        await see(pilot, "waiting for a gentle checkpoint: 42 s of 270")
        assert "0%" not in text(pilot)
        assert "left in this step" not in text(pilot)


async def test_only_ascii_is_drawn_without_utf8() -> None:
    bridge = FakeBridge(at_work=RUN, view=backups.taking())
    async with opened(bridge, ascii_only=True) as pilot:
        await see(pilot, "##--")
        assert text(pilot).isascii(), text(pilot)


def test_what_is_stuck_looks_different_from_what_is_slow() -> None:
    view = backups.stalled()
    line = backup_meter.rate_line(view.state, snapshots.NOON + timedelta(seconds=75))
    assert line == "0 Bytes/s   last heard of 1:15 ago"


def test_time_left_is_a_guess_at_the_step_alone() -> None:
    line = backup_meter.rate_line(backups.taking().state, snapshots.NOON + timedelta(seconds=2))
    assert line == "186.0 MiB/s   last heard of 0:02 ago   about 12 min left in this step"


def test_a_plain_backup_does_not_claim_to_know_its_size() -> None:
    view, plan = backups.taking(), backups.plan()
    plain = replace(plan, work=replace(plan.work, format="plain"))
    lines = backup_meter.detail_lines(view.state, plain).splitlines()
    assert lines[1:] == ["WAL streamed 3.0 GiB"]


def test_later_steps_show_files_against_all_files() -> None:
    said = backups.progress("base/16384/2619", step="verify", done_bytes=0)
    view = backups.view([records.StepBegan(step="verify", title="Read it again"), said])
    assert "0%" in backup_meter.bar(view.state, backups.plan(), 60, ASCII)


@pytest.mark.parametrize(
    ("end", "words"),
    [
        ("taken", ("TAKEN and VERIFIED.", backups.TAKEN_ID, backups.NAME, "97.0 GiB")),
        ("taken", ("verified  yes", "r shows the report", "the catalog has it")),
        ("unverified", ("TAKEN. The", "NO: nobody has", f"pgrescue verify {backups.TAKEN_ID}")),
        ("failed", ("FAILED", "no room left", "[base].tar", "make room", "left      nothing")),
        ("aborted", ("STOPPED on request", "no backup", "left      nothing", "take it again")),
        ("interrupted", ("INTERRUPTED", f".{backups.NAME}.partial", "remove what is left")),
        ("removed", ("REMOVED.", "nothing is left of it", "b takes another")),
    ],
)
def test_end_says_what_there_is_what_was_left_and_what_is_next(
    end: str, words: tuple[str, ...]
) -> None:
    told = outcome_text(ENDS[end])
    for word in words:
        assert word in told


@pytest.mark.parametrize("end", ENDS)
def test_nothing_is_said_of_old_data_or_promotion(end: str) -> None:
    view = ENDS[end]
    verbs = [f"{verb.label} {verb.about} {verb.asks}" for verb in verbs_of(view)]
    said = " ".join([outcome_text(view), *verbs]).lower()
    for word in ("old data", "promot", "recovery", "half-restored", "at the target"):
        assert word not in said


@pytest.mark.parametrize(
    ("view", "labels"),
    [
        (backups.taking(), ["Stop the backup"]),
        (backups.taken(), []),
        (backups.failed(), ["Take it again, from its beginning"]),
        (backups.aborted(), ["Take it again, from its beginning"]),
        (
            backups.interrupted(),
            ["Take it again, from its beginning", "Remove what is left of it"],
        ),
        (backups.removed(), []),
    ],
)
def test_offers_what_can_be_done(view: RunView, labels: list[str]) -> None:
    assert [verb.label for verb in verbs_of(view) if verb.id not in ("log", "report")] == labels


def test_a_backup_that_was_taken_is_gone_on_with_where_it_stopped() -> None:
    view = backups.view(backups.journal("verify"))
    view = replace(view, state=view.state.with_state("interrupted"))
    labels = [verb.label for verb in verbs_of(view)]
    assert "Go on where it stopped" in labels
    assert "Remove what is left of it" in labels


@pytest.mark.parametrize(
    ("view", "key", "consequence", "done"),
    [
        (backups.taking(), "G", "what was taken so far is DELETED", f"abort {RUN}"),
        (backups.interrupted(), "G", ".partial is DELETED.", f"undo {RUN}"),
        (backups.failed(), "G", "read again from the beginning", f"resume {RUN}"),
    ],
)
async def test_menu_leads_to_a_confirmation_that_stands_on_cancel(
    view: RunView, key: str, consequence: str, done: str
) -> None:
    bridge = FakeBridge(at_work=RUN, view=view)
    async with opened(bridge) as pilot:
        await see(pilot, "1/4 steps")
        await press(pilot, "a", key, "enter")
        await see(pilot, "On host db1: cluster main")
        await see(pilot, consequence)
        assert focused_label(pilot) == "Cancel"
        assert bridge.done == []
        await press(pilot, "tab", "enter")
        await see(pilot, "under way")
        assert bridge.done == [done]
