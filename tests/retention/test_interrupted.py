"""Plans that are out of date are refused; killed anywhere, a removal goes on or back."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.processes import stop_servers_below
from tests.retention.by_plan import executed, killed, killed_again, planned
from tests.retention.test_prune import everything, hidden, listed, prune, restored_rows
from tests.support.command import document, finished
from tests.support.files import differences
from tests.support.places import Place, free_port
from tests.support.refused import refused
from tests.support.runs import kill_runner, start_detached, status, wait_for_step
from tests.support.source import Source

pytestmark = pytest.mark.server

BLOWS = ((0, "before"), (1, "after"), (1, "before"), (2, "after"), (2, "before"), (4, "after"))
"""Around the renames of the two backups that go, and of the first files of their WAL."""


def out_of_date(source: Source, run: str, *words: str) -> None:
    """The run was refused before it changed anything."""
    said = status(source.workspace, run)
    assert said["state"] == "failed"
    assert said["error"]["title"] == "The plan is out of date."
    assert said["error"]["exit_code"] == 3
    for word in words:
        assert word in said["error"]["cause"], said["error"]["cause"]
    assert hidden(source) == []


@pytest.mark.slow
def test_a_backup_that_vanished_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    shutil.rmtree(source.sandbox.backups / "third")
    run = executed(source, plan)
    out_of_date(source, run, "the catalog")
    assert set(listed(source)) == {"first", "second"}


@pytest.mark.slow
def test_a_backup_that_broke_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    archive = source.sandbox.backups / "third" / "base.tar.gz"
    archive.write_bytes(archive.read_bytes()[:1000])
    out_of_date(source, executed(source, plan), source.id_of("third"))


@pytest.mark.slow
def test_an_incremental_that_appeared_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    manifest = f"{source.backups['second'].path}/backup_manifest"
    source.backup("child", "-Ft", "-z", f"--incremental={manifest}")
    out_of_date(source, executed(source, plan), "the catalog")


@pytest.mark.slow
def test_a_backup_in_another_place_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "2")
    first = source.sandbox.backups / "first"
    first.rename(source.sandbox.backups / "was-first")
    shutil.copytree(source.sandbox.backups / "was-first", first)
    shutil.rmtree(source.sandbox.backups / "was-first")
    out_of_date(source, executed(source, plan), f"directory {first}")


@pytest.mark.slow
def test_wal_that_somebody_else_removed_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    (source.sandbox.wal / plan.work.wal[0].names[0]).unlink()
    out_of_date(source, executed(source, plan), "WAL in")


@pytest.mark.slow
def test_a_new_timeline_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    (source.sandbox.wal / "00000002.history").write_text("1\t0/5000000\tno reason\n")
    out_of_date(source, executed(source, plan), "timelines")


@pytest.mark.slow
def test_an_archive_that_is_gone_makes_the_plan_stale(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    source.sandbox.wal.rename(source.workspace.path / "elsewhere")
    out_of_date(source, executed(source, plan), "cannot be read any more")
    assert len(list(source.sandbox.backups.iterdir())) == 3


@pytest.mark.slow
def test_a_backup_in_use_stays(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    run = start_detached(source.workspace, "--backup", source.id_of("first"))
    wait_for_step(source.workspace, run, "extract")
    kill_runner(source.workspace, run)
    assert status(source.workspace, run)["state"] == "interrupted"
    said = refused(prune(source, "--keep-count", "1", check=False), 3, "in use", run)
    assert source.id_of("first") in said["title"]
    out_of_date(source, executed(source, plan), "in use", run)
    source.workspace.run("undo", run, "--yes", check=True)
    prune(source, "--keep-count", "1")
    assert set(listed(source)) == {"third"}


@pytest.fixture
def before(source: Source) -> dict[str, Any]:
    """Backups and WAL as they were."""
    return everything(source)


def settle(source: Source, run: str, then: str, before: dict[str, Any]) -> None:
    """Go on or go back, and see that all is where it belongs."""
    source.workspace.run(then, run, "--yes", check=True)
    if then == "resume":
        assert status(source.workspace, run)["state"] == "succeeded"
        assert set(listed(source)) == {"third"}
        source.workspace.run("undo", run, "--yes", check=True)
    assert status(source.workspace, run)["state"] == "undone"
    assert differences(before, everything(source)) == []


@pytest.mark.slow
def test_killed_at_any_rename_it_goes_on_or_back(source: Source, before: dict[str, Any]) -> None:
    """Wherever the blow lands; the undo afterwards brings every byte back to its place."""
    for place, (renames, when) in enumerate(BLOWS):
        run = killed(source, planned(source, "--keep-count", "1"), renames, when)
        assert status(source.workspace, run)["state"] == "interrupted"
        settle(source, run, "resume" if place % 3 else "undo", before)


@pytest.mark.slow
def test_an_undo_killed_at_any_rename_is_done_again(source: Source, before: dict[str, Any]) -> None:
    """The WAL comes back first, then the backups."""
    files = len(planned(source, "--keep-count", "1").work.wal[0].names)
    for renames, when in (
        (0, "before"),
        (2, "after"),
        (files + 1, "after"),
        (files + 1, "before"),
    ):
        run = executed(source, planned(source, "--keep-count", "1"))
        killed_again(source, run, renames, when, "undo")
        source.workspace.run("resume", run, "--yes", check=True)
        assert status(source.workspace, run)["state"] == "undone"
        assert differences(before, everything(source)) == []


@pytest.mark.slow
def test_a_half_done_removal_blocks_the_next_one(source: Source) -> None:
    run = killed(source, planned(source, "--keep-count", "1"), 1, "after")
    refused(prune(source, "--keep-count", "1", check=False), 3, run)
    source.workspace.run("resume", run, "--yes", check=True)
    refused_or_done = source.workspace.run("prune", "--keep-count", "1", "--json")
    assert refused_or_done.returncode == 0, "nothing is left to be removed"


@pytest.mark.slow
def test_an_undo_overwrites_nothing(source: Source) -> None:
    last = finished(prune(source, "--keep-count", "1"))
    intruder = source.sandbox.backups / "first"
    intruder.mkdir()
    (intruder / "mine").write_text("keep")
    said = source.workspace.run("undo", str(last["run"]), "--yes", "--json")
    refused(said, 4, "exists again")
    assert (intruder / "mine").read_text() == "keep"
    assert {path.name for path in _aside(source)} == {"first", "second"}, "nothing was moved"
    shutil.rmtree(intruder)
    source.workspace.run("undo", str(last["run"]), "--yes", check=True)
    assert set(listed(source)) == {"first", "second", "third"}


@pytest.mark.slow
def test_an_undo_does_not_overwrite_wal(source: Source) -> None:
    last = finished(prune(source, "--keep-count", "1"))
    name = sorted(os.listdir(_aside_wal(source)))[0]
    (source.sandbox.wal / name).write_text("another")
    refused(source.workspace.run("undo", str(last["run"]), "--yes", "--json"), 4, "exists again")
    assert (source.sandbox.wal / name).read_text() == "another"
    assert name in os.listdir(_aside_wal(source))


@pytest.mark.slow
def test_an_undo_says_when_what_was_set_aside_is_gone(source: Source) -> None:
    last = finished(prune(source, "--keep-count", "1"))
    shutil.rmtree(_aside_wal(source))
    for _ in range(2):
        undo = source.workspace.run("undo", str(last["run"]), "--yes", "--json")
        assert str(source.sandbox.wal) in refused(undo, 4, "not at")["title"]
        assert set(listed(source)) == {"third"}, "half of it is not put back"


def test_deleting_never_goes_through_a_link(source: Source) -> None:
    last = finished(prune(source, "--keep-count", "1"))
    elsewhere = source.workspace.path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("keep")
    first = next(path for path in _aside(source) if path.name == "first")
    shutil.rmtree(first)
    first.symlink_to(elsewhere)
    refused(source.workspace.run("discard", str(last["run"]), "--yes", "--json"), 3, "is a link")
    assert (elsewhere / "precious").read_text() == "keep"


@pytest.mark.slow
def test_what_others_put_beside_it_is_not_deleted(source: Source) -> None:
    last = finished(prune(source, "--keep-count", "1"))
    (place,) = source.sandbox.backups.glob(".pgrescue-*")
    (place / "mine").write_text("keep")
    source.workspace.run("discard", str(last["run"]), "--yes", check=True)
    assert [path.name for path in place.iterdir()] == ["mine"]


@pytest.mark.slow
def test_a_hidden_directory_of_somebody_else_is_not_used(source: Source) -> None:
    plan = planned(source, "--keep-count", "1")
    place = Path(plan.work.moves[0].aside).parent
    elsewhere = source.workspace.path / "elsewhere"
    elsewhere.mkdir()
    place.symlink_to(elsewhere)
    run = executed(source, plan)
    assert "exists already" in status(source.workspace, run)["error"]["title"]
    assert list(elsewhere.iterdir()) == []
    assert set(listed(source)) == {"first", "second", "third"}


@pytest.mark.slow
def test_a_server_in_a_backup_is_not_pulled_away_from_under_it(source: Source) -> None:
    plain = Place(source.backup("plain", "-Fp").path, source.sandbox)
    source.backup("last", "-Ft", "-z")
    name = source.id_of("plain")
    run = killed(source, planned(source, name), 0, "before")
    listen = (f"port={free_port()}", f"unix_socket_directories={source.workspace.path}")
    source.workspace.path.chmod(0o1777)
    plain.start(*listen, "archive_mode=off")
    said = source.workspace.run("resume", run, "--yes", "--json")
    refused(said, 3, "out of date", name)
    unknown = listed(source)["plain"]["id"]
    assert unknown != name, "a server that starts takes the backup's label away"
    refused(prune(source, unknown, check=False), 3, "no backup that can be recognized")
    stop_servers_below(plain.data)
    assert set(listed(source)) == {"first", "second", "third", "last", "plain"}


@pytest.mark.parametrize("renames", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_what_goes_on_checks_all_again(source: Source, renames: int) -> None:
    """The backup that was to stay has been lost meanwhile: the others are all there is."""
    run = killed(source, planned(source, "--keep-count", "1", "--delete"), renames, "before")
    shutil.move(source.sandbox.backups / "third", source.workspace.path / "third")
    said = refused(source.workspace.run("resume", run, "--yes", "--json"), 3, "out of date")
    assert source.id_of("third") in said["cause"]
    assert len(list(source.sandbox.backups.rglob("base.tar.gz"))) == 2, "nothing was deleted"
    shutil.move(source.workspace.path / "third", source.sandbox.backups / "third")
    source.workspace.run("resume", run, "--yes", check=True)
    assert set(listed(source)) == {"third"}
    assert hidden(source) == []


@pytest.mark.slow
def test_what_is_all_there_is_is_not_deleted(source: Source) -> None:
    """What stayed when the others were set aside has been lost since."""
    run = finished(prune(source, "--keep-count", "1", "--keep-wal"))["run"]
    third = source.sandbox.backups / "third"
    shutil.move(third, source.workspace.path / "third")
    said = source.workspace.run("discard", str(run), "--yes", "--json")
    refused(said, 3, "no other usable full backup")
    assert {path.name for path in _aside(source)} == {"first", "second"}
    source.workspace.run("undo", str(run), "--yes", check=True)
    assert set(listed(source)) == {"first", "second"}


@pytest.mark.slow
def test_what_a_removal_has_set_aside_keeps_its_wal(source: Source) -> None:
    """A later removal deletes at once; the undo of the earlier one still brings all back."""
    before = timeline(source)
    one = finished(prune(source, source.id_of("first")))["run"]
    time.sleep(1.0)  # hidden directories are named by the second
    prune(source, source.id_of("second"), "--delete")
    source.workspace.run("undo", str(one), "--yes", check=True)
    first = [window for window in before if window["backup"] == source.id_of("first")]
    assert [w for w in timeline(source) if w["backup"] == source.id_of("first")] == first


def timeline(source: Source) -> list[dict[str, Any]]:
    """The recoverable windows."""
    windows = document(source.workspace.run("timeline", "--json", check=True))["windows"]
    return [{name: w[name] for name in ("backup", "from_lsn", "to_lsn", "ends")} for w in windows]


@pytest.mark.slow
def test_two_removals_are_undone_in_any_order(source: Source, before: dict[str, Any]) -> None:
    one = finished(prune(source, "--keep-count", "2"))["run"]
    time.sleep(1.0)  # hidden directories are named by the second
    two = finished(prune(source, "--keep-count", "1"))["run"]
    source.workspace.run("undo", str(one), "--yes", check=True)
    source.workspace.run("undo", str(two), "--yes", check=True)
    assert differences(before, everything(source)) == []
    assert restored_rows(source, "first") == source.log.expected("latest")


def _aside(source: Source) -> list[Path]:
    """The backups that were set aside."""
    return [
        path for place in source.sandbox.backups.glob(".pgrescue-*") for path in place.iterdir()
    ]


def _aside_wal(source: Source) -> Path:
    (place,) = source.sandbox.wal.glob(".pgrescue-*")
    return place
