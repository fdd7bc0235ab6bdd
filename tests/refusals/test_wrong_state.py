"""Commands on a run that is not in the state for them."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from pgrescue.run.journal import Journal
from pgrescue.run.records import Deleting, Finished, Started, StepBegan
from tests.refusals.conftest import Scene
from tests.support.command import document
from tests.support.files import differences, file_tree
from tests.support.refused import refused

pytestmark = pytest.mark.server

USAGE, REFUSED = 2, 3


def test_each_command_at_the_wrong_time(scene: Scene) -> None:
    assert scene.run("status").returncode == 0
    for command in ("attach", "resume", "abort", "undo", "discard"):
        refused(scene.run(command, *_yes(command)), USAGE, "There is no run")
    assert document(scene.run("runs")) == {"schema": 1, "runs": []}
    nothing = document(scene.run("status"))
    lists = {key for key, value in nothing.items() if value == []}
    assert {value for key, value in nothing.items() if key not in {*lists, "schema"}} == {None}

    scene.restore("--to-xid", str(scene.log.epochs[1].xid)).check_returncode()
    waiting = _state(scene)
    assert waiting["state"] == "waiting"
    assert set(nothing) == set(waiting)
    assert {type(waiting[key]) for key in lists} == {list}
    for command in ("resume", "undo", "discard"):
        refused(scene.run(command), REFUSED, "add --yes")
    refused(scene.run("discard", "--yes"), REFUSED, "has not ended", "pgrescue undo")
    assert _state(scene)["state"] == "waiting"
    assert scene.log.rows_visible() == [1, 2]

    scene.run("resume", "--yes").check_returncode()
    refused(scene.run("resume", "--yes"), USAGE, "has ended: succeeded")
    scene.run("undo", "--yes").check_returncode()
    refused(scene.run("undo", "--yes"), USAGE, "undone already")
    refused(scene.run("resume", "--yes"), USAGE, "has ended: undone")
    assert scene.log.rows_visible() == [1, 2, 3, 4]

    scene.run("discard", "--yes").check_returncode()
    refused(scene.run("discard", "--yes"), USAGE, "nothing set aside")
    assert scene.log.rows_visible() == [1, 2, 3, 4]
    assert _state(scene)["state"] == "undone"
    for command in ("attach", "resume", "abort", "undo", "discard"):
        unknown = scene.run(command, "20010101-000000-abcd", *_yes(command))
        refused(unknown, USAGE, "There is no run '20010101-000000-abcd'", _state(scene)["run"])


def test_runs_are_undone_from_the_last_one_back(scene: Scene) -> None:
    scene.restore("--action", "promote").check_returncode()
    first = _state(scene)["run"]
    scene.restore("--action", "promote").check_returncode()
    second = _state(scene)["run"]
    assert first != second
    refused(scene.run("undo", "--yes", first), REFUSED, second, f"pgrescue undo {second}")
    scene.run("undo", "--yes").check_returncode()
    scene.run("undo", "--yes", first).check_returncode()
    assert scene.log.rows_visible() == [1, 2, 3, 4]


def test_an_earlier_run_does_not_go_on_in_what_a_later_one_has_restored(scene: Scene) -> None:
    """It would promote the other's server, tidy its settings, and take itself for restored."""
    scene.restore("--to-xid", str(scene.log.epochs[1].xid)).check_returncode()
    first = _state(scene)
    assert first["state"] == "waiting"
    scene.restore("--action", "promote").check_returncode()
    second = _state(scene)["run"]
    says_so = (second, f"pgrescue undo {second}", first["set_aside"])
    refused(scene.run("resume", "--yes", first["run"]), REFUSED, *says_so)
    refused(scene.run("undo", "--yes", first["run"]), REFUSED, *says_so)
    assert scene.log.rows_visible() == [1, 2, 3, 4]
    scene.run("discard", "--yes", second).check_returncode()
    refused(scene.run("resume", "--yes", first["run"]), REFUSED, second, first["set_aside"])
    refused(scene.run("undo", "--yes", first["run"]), REFUSED, second, first["set_aside"])
    assert scene.log.rows_visible() == [1, 2, 3, 4]
    assert Path(first["set_aside"]).exists()
    told = document(scene.run("status", first["run"]))
    assert told["replaced_by"] == second
    told_in_words = scene.workspace.run("status", first["run"]).stdout
    assert f"A later run, {second}, has worked on the same place since" in told_in_words
    assert "paused at its target" not in told_in_words
    assert "pgrescue resume" not in told_in_words


def test_a_run_whose_place_somebody_else_has_taken_touches_nothing(scene: Scene) -> None:
    scene.restore("--to-xid", str(scene.log.epochs[1].xid)).check_returncode()
    data = scene.sandbox.data
    scene.sandbox.stop()
    data.rename(data.with_name("restored"))
    shutil.copytree(data.with_name("restored"), data, symlinks=True)
    for path in (data, *data.rglob("*")):
        os.chown(path, scene.sandbox.account.uid, scene.sandbox.account.gid, follow_symlinks=False)
    before = file_tree(data)
    for command in ("resume", "undo"):
        refused(scene.run(command, "--yes"), 4, "is not what the run", "nothing in it is touched")
    assert differences(before, file_tree(data)) == []


@pytest.mark.slow
def test_what_was_discarded_cannot_be_undone(scene: Scene) -> None:
    scene.restore("--action", "promote").check_returncode()
    scene.run("discard", "--yes").check_returncode()
    assert _state(scene)["set_aside"] is None
    refused(scene.run("undo", "--yes"), USAGE, "cannot be undone", "deleted")
    assert scene.log.rows_visible() == [1, 2, 3, 4]


def test_deletion_that_failed_is_finished_but_never_undone(scene: Scene) -> None:
    scene.restore("--action", "promote").check_returncode()
    last = _state(scene)
    aside = Path(last["set_aside"])
    _fail_half_way(scene, last["run"], aside)
    refused(scene.run("undo", "--yes"), USAGE, "cannot be undone", "deletion was begun")
    scene.run("resume", "--yes").check_returncode()
    assert not aside.exists()
    assert _state(scene)["state"] == "succeeded"
    assert scene.log.rows_visible() == [1, 2, 3, 4]


def _fail_half_way(scene: Scene, run: str, aside: Path) -> None:
    """As a deletion leaves things whose disk fails."""
    journal = Journal(scene.workspace.state / "runs" / run / "journal.jsonl")
    journal.append(Started(purpose="discard", pid=1, process_start=0, boot_id="another"))
    journal.append(StepBegan(step=f"discard {aside}", title=f"Delete {aside}"))
    journal.append(Deleting(path=str(aside)))
    shutil.rmtree(aside / "base" / "1")
    journal.append(Finished(state="failed"))
    journal.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting something needs root")
def test_deletion_that_is_forbidden_deletes_nothing_and_can_be_undone(scene: Scene) -> None:
    scene.restore("--action", "promote").check_returncode()
    aside = Path(_state(scene)["set_aside"])
    mounted, before = aside / "pg_stat", file_tree(aside)
    if subprocess.run(("mount", "--bind", str(mounted), str(mounted)), check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        refused(scene.run("discard", "--yes"), REFUSED, "is a mount point", "umount")
        assert differences(before, file_tree(aside)) == []
    finally:
        subprocess.run(("umount", str(mounted)), check=True)
    assert _state(scene)["state"] == "succeeded"
    scene.run("undo", "--yes").check_returncode()
    assert scene.log.rows_visible() == [1, 2, 3, 4]


def _yes(command: str) -> tuple[str, ...]:
    return () if command in ("status", "attach") else ("--yes",)


def _state(scene: Scene) -> dict[str, Any]:
    return dict(document(scene.run("status")))
