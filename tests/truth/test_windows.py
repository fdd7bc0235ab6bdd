"""Recoverable windows of damaged archives: what is called recoverable recovers, the rest fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.codec import from_plain
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.history.model import RecoverableWindow
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import SEGMENT_SIZE, BusyHistory, make_history
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document
from tests.support.recovery import Bench
from tests.support.waldump import Ending, Record

pytestmark = pytest.mark.server


@pytest.fixture(scope="module")
def shared_workspace() -> Iterator[Workspace]:
    """A directory for all tests of this module."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


@pytest.fixture(scope="module")
def history(shared_workspace: Workspace, any_binaries: ServerBinaries) -> Iterator[BusyHistory]:
    """A busy history with one fork; its archive is copied and damaged."""
    history = make_history(shared_workspace, any_binaries, seconds=2.0, forks=1)
    try:
        yield history
    finally:
        history.destroy()


def victim(history: BusyHistory) -> Record:
    """A record with a payload, well inside a segment.

    Between the last backup of timeline 1 and it, and behind it, there are commits in other
    segments: what is recovered and what is lost can be seen by them.
    """
    after = history.backup("middle").stop_lsn
    commits = [item.lsn for item in history.endings(1) if item.is_commit and item.lsn > after]
    first, last = commits[0] // SEGMENT_SIZE, commits[-1] // SEGMENT_SIZE
    return next(
        record
        for record in history.records(1)
        if first < record.lsn // SEGMENT_SIZE < last
        and record.lsn % SEGMENT_SIZE > SEGMENT_SIZE // 8
        and record.length > 60
        and record.lsn % 8192 < 8192 - 60  # where a bit is flipped no page begins
    )


def remove(segment: Path, _offset: int) -> None:
    segment.unlink()


def flip_a_bit(segment: Path, offset: int) -> None:
    """In the payload of a record: nothing but its CRC can tell."""
    content = bytearray(segment.read_bytes())
    content[offset + 50] ^= 0x10
    segment.write_bytes(content)


def truncate(segment: Path, offset: int) -> None:
    os.truncate(segment, offset)


def empty(segment: Path, _offset: int) -> None:
    os.truncate(segment, 0)


def zero(segment: Path, _offset: int) -> None:
    segment.write_bytes(bytes(SEGMENT_SIZE))


def zero_the_rest(segment: Path, offset: int) -> None:
    segment.write_bytes(segment.read_bytes()[:offset] + bytes(SEGMENT_SIZE - offset))


def put_another_in_its_place(segment: Path, _offset: int) -> None:
    """As an archive_command does that copies under the wrong name."""
    other = sorted(segment.parent.glob(f"{segment.name[:8]}*"))[0]
    shutil.copyfile(other, segment)


DAMAGES: dict[str, Callable[[Path, int], None]] = {
    "missing": remove,
    "flipped": flip_a_bit,
    "truncated": truncate,
    "empty": empty,
    "zeroed": zero,
    "half": zero_the_rest,
    "misnamed": put_another_in_its_place,
}
LIKE_OTHERS = ("truncated", "empty", "zeroed", "half")
"""Damage that reads like one of the others; played with the long rest."""


def damaged_copy(history: BusyHistory, place: Path, at: Lsn, damage: str) -> str:
    """A copy of the archive with one segment of timeline 1 spoiled; returns that one's name."""
    shutil.copytree(history.archive, place)
    name = f"00000001{0:08X}{at // SEGMENT_SIZE:08X}"
    DAMAGES[damage](place / name, at % SEGMENT_SIZE)
    for path in (place, *place.iterdir()):
        os.chown(path, history.sandbox.account.uid, history.sandbox.account.gid)
    return name


def windows(workspace: Workspace, history: BusyHistory, archive: Path) -> list[RecoverableWindow]:
    """What the command says, read whole."""
    workspace.configure(replace(cluster_config(history.sandbox), wal_archive=archive))
    told = document(workspace.run("timeline", "--check", "--json", check=True))["windows"]
    return [from_plain(item, RecoverableWindow) for item in told]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damage, marks=[pytest.mark.slow] if damage in LIKE_OTHERS else [])
        for damage in DAMAGES
    ],
)
def test_recovery_gets_as_far_as_the_window(
    shared_workspace: Workspace, history: BusyHistory, damage: str
) -> None:
    at = victim(history).lsn
    number = at // SEGMENT_SIZE
    place = shared_workspace.path / f"archive-{damage}"
    name = damaged_copy(history, place, at, damage)
    found = [item for item in windows(shared_workspace, history, place) if item.timeline == 1]
    ends = {item.to_lsn for item in found}
    assert len(ends) == 1, "every backup before the damage gets as far"
    (end,) = ends
    assert end is not None
    assert end // SEGMENT_SIZE in (number - 1, number)
    for window in found:
        assert window.ends in ("gap", "damage"), window
        assert name in window.reason, window
    commits = [ending for ending in history.endings(1) if ending.is_commit]
    check_against_the_server(history, place, end, commits)


def check_against_the_server(
    history: BusyHistory, archive: Path, end: Lsn, commits: list[Ending]
) -> None:
    """The last commit in the window is reached; the first one behind it is not."""
    backup = history.backup("middle").path
    last = [commit for commit in commits if commit.lsn < end][-1]
    first_lost = next(commit for commit in commits if commit.lsn >= end)
    sandbox = history.sandbox
    with Bench(sandbox.account, sandbox.binaries, archive) as bench:
        timeline = {"recovery_target_timeline": "1"}
        inside = bench.recover(backup, {"recovery_target_xid": str(last.xid), **timeline})
        assert (inside.outcome, inside.xid) == ("stopped", last.xid), inside
        outside = bench.recover(backup, {"recovery_target_xid": str(first_lost.xid), **timeline})
        assert outside.outcome in ("not_reached", "failed"), outside


def test_a_missing_first_segment_of_a_timeline_is_dangerous(
    shared_workspace: Workspace, history: BusyHistory
) -> None:
    fork = history.timelines[2].forked_at
    assert fork is not None
    place = shared_workspace.path / "archive-fork"
    shutil.copytree(history.archive, place)
    name = f"00000002{0:08X}{fork // SEGMENT_SIZE:08X}"
    (place / name).unlink()
    found = [item for item in windows(shared_workspace, history, place) if item.timeline == 2]
    early = [item for item in found if item.backup and item.ends == "fork_missing"]
    assert len(early) == 3, "from each backup before the fork"
    assert all(name in item.reason for item in early)
    assert all(item.to_lsn is not None and item.to_lsn <= fork for item in early)
    listed = document(shared_workspace.run("catalog", "--json", check=True))["backups"]
    (middle,) = [item["id"] for item in listed if item["path"].endswith("/middle")]
    options = ("--backup", middle, "--timeline", "2", "--to", "latest", "--into", "/tmp/none")
    plan = shared_workspace.run("plan", *options, "--json")
    assert plan.returncode == 3
    blockers = [item for item in document(plan)["preflight"] if item["status"] == "blocker"]
    messages = {item["code"]: item["message"] for item in blockers}
    assert name in messages["wal.fork_missing"]


def test_a_whole_archive_is_recoverable_to_its_last_commit(
    shared_workspace: Workspace, history: BusyHistory
) -> None:
    for window in windows(shared_workspace, history, history.archive):
        commits = [item for item in history.endings(window.timeline) if item.is_commit]
        assert (window.ends, window.checked) == ("end_of_archive", True)
        assert window.to_time == commits[-1].time
        backup = next(item for item in history.backups if item.stop_lsn == window.from_lsn)
        assert backup.timeline <= window.timeline
        before = [item for item in commits if backup.start_lsn <= item.lsn < backup.stop_lsn]
        if before:
            assert window.from_time == before[-1].time
