"""What a run has set aside or made is looked for before anything is done with it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.run import deletion, old_data, still_there
from pgrescue.run.records import Started
from pgrescue.survey.host import boot_id
from tests.run.old_data_scene import Scene, announced_only


def test_an_undo_says_when_the_old_data_is_gone(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.restore_something()
    shutil.rmtree(scene.aside)
    with pytest.raises(StepFailed, match="not at"):
        old_data.put_back(scene.execution())
    assert (scene.data / "base" / "1").read_text() == "new"


def test_an_undo_does_not_move_what_somebody_has_put_in_the_place_of_the_restored(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, contents_only=False)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    scene.data.rename(tmp_path / "restored")
    scene.data.mkdir()
    (scene.data / "precious").write_text("another cluster")
    with pytest.raises(StepFailed, match="is not what the run"):
        still_there.check_what_was_made(scene.execution(), old_may_be_back=True)
    with pytest.raises(StepFailed, match="is not what the run"):
        old_data.put_back(scene.execution())
    assert (scene.data / "precious").read_text() == "another cluster"
    assert (scene.aside / "base" / "1").read_text() == "old"


def test_old_data_that_is_gone_is_missed_though_something_is_in_its_place(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=False)
    old_data.set_aside(scene.execution())
    scene.aside.rename(tmp_path / "moved away")
    scene.data.mkdir()
    (scene.data / "precious").write_text("another cluster")
    with pytest.raises(StepFailed, match="any more"):
        old_data.put_back(scene.execution())
    assert scene.execution().state().asides


def test_a_way_back_that_is_taken_is_not_overwritten(scene: Scene) -> None:
    """As of a removal, which puts nothing in the place of what it sets aside."""
    old_data.set_aside(scene.execution())
    scene.data.mkdir(exist_ok=True)
    (scene.data / "base").write_text("mine")
    with pytest.raises(StepFailed, match="exists again"):
        old_data.return_all(scene.execution(), {}, begun_before=False)
    assert (scene.data / "base").read_text() == "mine"
    assert (scene.aside / "base" / "1").read_text() == "old", "nothing was moved"


def test_a_way_back_of_what_is_gone(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.aside.rename(scene.root / "kept")
    for _ in range(2):
        with pytest.raises(StepFailed, match="not at"):
            old_data.return_all(scene.execution(), {}, begun_before=False)
    assert scene.execution().state().asides, "it is not taken for returned"
    (scene.root / "kept").rename(scene.aside)
    old_data.return_all(scene.execution(), {}, begun_before=False)
    assert scene.tree() == scene.before


def test_old_data_brought_back_to_where_nothing_was_made_yet_is_not_emptied(scene: Scene) -> None:
    announced_only(scene)
    old_data.return_all(scene.execution(), {}, begun_before=False)  # by hand, as far as it knows
    scene.forget_last_records(1)
    execution = scene.execution()
    with pytest.raises(StepFailed, match="is not the directory that this run has made"):
        deletion.make_anew(execution, str(scene.data))
    with pytest.raises(StepFailed, match="is not what the run"):
        still_there.check_what_was_made(execution, old_may_be_back=False)
    assert scene.tree() == scene.before


def test_what_somebody_put_where_nothing_was_made_yet_is_not_moved(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=False)
    announced_only(scene)
    scene.data.mkdir()
    (scene.data / "precious").write_text("another cluster")
    with pytest.raises(StepFailed, match="is not what the run"):
        old_data.put_back(scene.execution())
    assert (scene.data / "precious").read_text() == "another cluster"


def test_a_run_does_not_go_on_without_the_disk_of_its_old_data(scene: Scene) -> None:
    """Not mounted after a reboot: what is there now is the directory below."""
    old_data.set_aside(scene.execution())
    scene.restore_something()
    still_there.check_old_data_is_known(scene.execution())
    away = scene.root / "another disk"
    away.mkdir()
    scene.data.rename(away / "main")
    if scene.aside.parent == scene.root:
        scene.aside.rename(away / "aside")
    with pytest.raises(StepFailed, match=r"not at .* any more"):
        still_there.check_old_data_is_known(scene.execution())


def test_another_disk_of_the_same_shape_is_not_taken_for_ours(tmp_path: Path) -> None:
    """Roots of file systems have the same inode on every disk."""
    scene = Scene(tmp_path, contents_only=True)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    shutil.rmtree(scene.data / ".pgrescue")
    with pytest.raises(StepFailed, match=r"not at .* any more"):
        still_there.check_old_data_is_known(scene.execution())


@pytest.mark.parametrize("boot", [boot_id(), "another boot"], ids=["same boot", "rebooted"])
def test_old_data_deleted_by_hand_to_make_room_does_not_stop_the_run(
    scene: Scene, boot: str
) -> None:
    """Its disk is there: that is known by what else of the run's is on it."""
    execution = scene.execution()
    execution.journal.append(Started(purpose="restore", pid=1, process_start=1, boot_id=boot))
    execution.make_directory(execution.work.staging)
    old_data.set_aside(scene.execution())
    shutil.rmtree(scene.aside)
    still_there.check_old_data_is_known(scene.execution())
    assert any("no way back" in note for note in scene.execution().state().notes)
    Path(execution.work.staging).rmdir()
    with pytest.raises(StepFailed, match="may not be mounted"):
        still_there.check_old_data_is_known(scene.execution())
