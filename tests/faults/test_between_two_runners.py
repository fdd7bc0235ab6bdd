"""What somebody does to a run's places while no runner is at work, and what the next one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.faults.faulty import created, run_with
from tests.support.command import document, finished
from tests.support.files import differences, file_tree
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

STEP_FAILED = 4


def dies_while_filling(victim: Source) -> str:
    """Everything old is set aside, and the new data directory is there and empty."""
    run = created(victim)
    data = str(victim.sandbox.data)
    run_with(run, {"what": "die", "when": "after", "event": "made_directory", "word": f'{data}"'})
    assert victim.sandbox.data.is_dir()
    return run.id


def test_the_disk_with_the_old_data_is_not_mounted(victim: Source) -> None:
    """What is below its mount point is not filled; once it is there, the run goes on."""
    workspace, home = victim.workspace, victim.sandbox.directory
    run = dies_while_filling(victim)
    away = home.with_name("unmounted")
    moved = sorted(home.glob("data*"))
    assert len(moved) == 3, "the new directory, the old data, the side directory"
    away.mkdir()
    for path in moved:
        path.rename(away / path.name)
    refused = workspace.run("resume", run, "--yes", "--json")
    last = finished(refused)
    assert (refused.returncode, last["state"]) == (STEP_FAILED, "failed")
    assert "may not be mounted" in last["error"]["cause"]
    assert "untouched where it was set aside" not in last["error"]["evidence"], "nobody knows that"
    assert not list(home.glob("data*")), "nothing was made in its place"
    for path in moved:
        (away / path.name).rename(path)
    workspace.run("resume", run, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


def test_a_whole_data_directory_has_come_to_the_new_ones_place(victim: Source) -> None:
    """As from another disk, whose root has the same inode: it is not emptied to be filled."""
    run = dies_while_filling(victim)
    data = victim.sandbox.data
    (data / "global").mkdir()
    (data / "global" / "pg_control").write_text("another cluster's")
    (data / "PG_VERSION").write_text("15")
    before = file_tree(data)
    refused = victim.workspace.run("resume", run, "--yes", "--json")
    assert refused.returncode == STEP_FAILED
    assert "holds a whole data directory" in finished(refused)["error"]["title"]
    assert differences(before, file_tree(data)) == []


def test_old_data_brought_back_by_hand_before_anything_was_made(victim: Source) -> None:
    """The directory was announced only, as on a full disk: what is there is the old data."""
    run, data = created(victim), victim.sandbox.data
    run_with(
        run, {"what": "die", "when": "after", "event": "making_directory", "word": f'"{data}"'}
    )
    aside = Path(document(victim.workspace.run("status", "--json"))["set_aside"])
    assert not data.exists()
    aside.rename(data)
    before = file_tree(data)
    refused = victim.workspace.run("resume", run.id, "--yes", "--json")
    assert refused.returncode == STEP_FAILED, refused.stderr
    assert differences(before, file_tree(data)) == []
    victim.workspace.run("undo", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
