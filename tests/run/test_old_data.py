"""Setting aside, putting back and deleting, interrupted at every point."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.errors import Refused, StepFailed
from pgrescue.plan.model import Move
from pgrescue.plan.sealed import seal
from pgrescue.run import deletion, old_data
from pgrescue.run.journal import Journal
from pgrescue.run.records import MakingDirectory, Started
from pgrescue.survey.host import boot_id
from tests.run.made_plan import make_plan
from tests.run.old_data_scene import Scene, announced_only
from tests.support.impostor import process_in


def test_put_back_is_as_it_was(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    assert not (scene.data / "base").exists()
    scene.restore_something()
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_what_was_restored_is_kept_by_an_undo(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.restore_something()
    old_data.put_back(scene.execution())
    (retired,) = scene.execution().state().retired
    assert (Path(retired) / "base" / "1").read_text() == "new"


def test_undo_before_anything_was_restored(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_undo_with_an_empty_new_directory(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.execution().make_directory(str(scene.data))
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_death_between_rename_and_record_is_found_out(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.forget_last_records(1)
    old_data.set_aside(scene.execution())
    assert scene.execution().state().asides[0].done
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_death_before_the_rename_is_found_out(scene: Scene) -> None:
    execution = scene.execution()
    old_data.set_aside(execution)
    scene.forget_last_records(1)
    # Bring the files back to where they were when only the intention was on disk.
    for name in os.listdir(scene.aside):
        scene.data.mkdir(mode=0o700, exist_ok=True)
        os.rename(scene.aside / name, scene.data / name)
    scene.aside.rmdir()
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


class _Killed(BaseException):
    """As a signal would end the runner."""


def _dying(act: Callable[..., None], times: int) -> Callable[..., None]:
    """The same act, so many times; at the next one the runner dies."""
    left = iter(range(times))

    def dying(*arguments: object) -> None:
        if next(left, None) is None:
            raise _Killed
        act(*arguments)

    return dying


@pytest.mark.parametrize("renames", range(6))
def test_an_undo_killed_at_any_rename_is_done_again(
    scene: Scene, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    (scene.data / "PG_VERSION").write_text("15")
    (scene.data / "postgresql.conf").write_text("port = 1")
    before = scene.tree()
    old_data.set_aside(scene.execution())
    scene.restore_something()
    (scene.data / "PG_VERSION").write_text("15")
    with monkeypatch.context() as patch, suppress(_Killed):
        patch.setattr(os, "rename", _dying(os.rename, renames))
        old_data.put_back(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == before
    (retired,) = scene.execution().state().retired
    assert (Path(retired) / "base" / "1").read_text() == "new"


@pytest.mark.parametrize("old_is_there", [True, False])
@pytest.mark.parametrize("renames", range(5))
def test_no_server_finds_the_tablespaces_of_another(
    tmp_path: Path, renames: int, old_is_there: bool
) -> None:
    """Wherever an undo ends: what was restored may be started, and would write into them."""
    scene = Scene(tmp_path, contents_only=False)
    tablespace = tmp_path / "fast" / "PG_15"
    tablespace.mkdir(parents=True)
    (tablespace / "1").write_text("old")
    moves = [Move(str(tablespace), f"{tablespace}.pgrescue-test", False)]
    if old_is_there:
        moves.insert(0, Move(str(scene.data), str(scene.aside), False))
    else:
        shutil.rmtree(scene.data)
    scene.plan = make_plan(str(scene.data), tuple(moves))
    for move in moves:
        old_data.move_away(scene.execution(), move)
    scene.restore_something()
    scene.execution().make_directory(str(tablespace))
    (tablespace / "1").write_text("new")

    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(os, "rename", _dying(os.rename, renames))
        old_data.put_back(scene.execution())
    there = [path for path in (scene.data / "base", tablespace) if path.exists()]
    assert len({(path / "1").read_text() for path in there}) <= 1, (
        "one's data, another's tablespace"
    )
    if (scene.data / "base").exists():
        assert tablespace in there, "the data directory goes first, and comes last"

    old_data.put_back(scene.execution())
    assert (tablespace / "1").read_text() == "old"
    assert scene.data.exists() == old_is_there


@pytest.mark.parametrize("place", ["data", "aside"])
def test_an_undo_renames_nothing_under_a_server(scene: Scene, place: str) -> None:
    """Such as one that somebody has started on the old data, to look at it."""
    old_data.set_aside(scene.execution())
    scene.restore_something()
    works_in = getattr(scene, place)
    with process_in(works_in, scene.root / "programs"):
        with pytest.raises(StepFailed, match=f"A server runs in {works_in}") as caught:
            old_data.put_back(scene.execution())
        assert "pg_ctl stop" in caught.value.next_steps[0]
        assert (scene.data / "base" / "1").read_text() == "new"
        assert (scene.aside / "base" / "1").read_text() == "old"
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


@pytest.mark.parametrize("records", range(5))
def test_an_undo_killed_before_any_record_is_done_again(scene: Scene, records: int) -> None:
    old_data.set_aside(scene.execution())
    scene.restore_something()
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(Journal, "append", _dying(Journal.append, records))
        old_data.put_back(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_a_directory_that_took_the_place_of_ours_is_not_emptied(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.restore_something()
    scene.data.rename(scene.root / "ours")
    scene.data.mkdir()
    (scene.data / "base").write_text("by hand")
    with pytest.raises(StepFailed, match="not the directory"):
        deletion.clear_own(scene.execution(), str(scene.data))
    assert (scene.data / "base").read_text() == "by hand"


def test_a_name_that_is_taken_is_not_overwritten(scene: Scene) -> None:
    scene.aside.mkdir(parents=True)
    (scene.aside / "somebody's").write_text("keep")
    with pytest.raises(StepFailed, match="exists already"):
        old_data.set_aside(scene.execution())
    assert scene.tree() == scene.before


def test_a_server_started_before_the_rename_that_was_announced(
    scene: Scene, tmp_path: Path
) -> None:
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(old_data, "_rename", _killed)
        old_data.set_aside(scene.execution())
    assert [item.done for item in scene.execution().state().asides] == [False]
    with process_in(scene.data, tmp_path / "tools") as pid:
        with pytest.raises(StepFailed, match="A server runs on") as refused:
            old_data.set_aside(scene.execution())
        assert str(pid) in refused.value.cause
        assert scene.tree() == scene.before
    old_data.set_aside(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def _killed(*_: object, **__: object) -> None:
    raise _Killed


def test_another_directory_at_the_announced_name_is_not_taken_for_the_old_data(
    scene: Scene,
) -> None:
    if scene.plan.work.moves[0].contents_only:
        pytest.skip("entries are renamed one by one, whatever is there")
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(old_data, "_rename", _killed)
        old_data.set_aside(scene.execution())
    scene.aside.mkdir()
    with pytest.raises(StepFailed, match="exists already"):
        old_data.set_aside(scene.execution())
    assert scene.tree() == scene.before


def test_what_is_set_aside_inside_does_not_leave_by_a_planted_link(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=True)
    (scene.data / ".pgrescue").symlink_to(scene.root / "elsewhere")
    with pytest.raises(StepFailed, match="is not in"):
        old_data.set_aside(scene.execution())
    assert scene.tree() == scene.before
    assert os.listdir(scene.root / "elsewhere") == ["precious"]


def test_a_tablespace_that_another_cluster_uses_since_is_not_set_aside(tmp_path: Path) -> None:
    scene, other = Scene(tmp_path, contents_only=False), tmp_path / "other"
    version = tmp_path / "fast" / "PG_15_202209061"
    (version / "5").mkdir(parents=True)
    (version / "5" / "1").write_text("both")
    for data in (scene.data, other):
        (data / "pg_tblspc").mkdir(parents=True)
        (data / "pg_tblspc" / "16384").symlink_to(version.parent)
        (data / "PG_VERSION").write_text("15\n")
    (other / "global").mkdir()
    move = Move(str(version), f"{version}.pgrescue-test", False)
    work = replace(scene.plan.work, moves=(*scene.plan.work.moves, move), neighbours=(str(other),))
    scene.plan = seal(replace(scene.plan, work=work))
    before = scene.tree()
    with pytest.raises(Refused, match="uses it, too"):
        old_data.set_aside(scene.execution())
    shutil.rmtree(other / "global")
    with (
        process_in(other, tmp_path / "tools"),
        pytest.raises(Refused, match="the server that runs"),
    ):
        old_data.set_aside(scene.execution())
    assert scene.tree() == before
    shutil.rmtree(other)
    old_data.set_aside(scene.execution())
    assert (Path(move.aside) / "5" / "1").read_text() == "both"


def test_a_tablespace_that_the_cluster_has_given_up_since_is_not_set_aside(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=False)
    version = tmp_path / "fast" / "PG_15_202209061"
    version.mkdir(parents=True)
    (version / "precious").write_text("another's by now")
    move = Move(str(version), f"{version}.pgrescue-test", False)
    work = replace(scene.plan.work, moves=(*scene.plan.work.moves, move))
    scene.plan = seal(replace(scene.plan, work=work))
    with pytest.raises(Refused, match="is not the cluster's any more"):
        old_data.set_aside(scene.execution())
    assert scene.tree() == scene.before
    assert (version / "precious").exists()


def test_deleting_never_follows_a_link(scene: Scene) -> None:
    execution = scene.execution()
    old_data.set_aside(execution)
    deletion.delete_old(execution)
    assert not scene.aside.exists()
    assert (scene.root / "elsewhere" / "precious").read_text() == "not ours"
    assert execution.state().asides == ()


def test_deleting_refuses_a_link_in_place_of_the_directory(scene: Scene) -> None:
    execution = scene.execution()
    old_data.set_aside(execution)
    shutil.rmtree(scene.aside)
    scene.aside.symlink_to(scene.root / "elsewhere")
    with pytest.raises(StepFailed, match="link"):
        deletion.delete_old(execution)
    assert (scene.root / "elsewhere" / "precious").exists()


def test_only_what_the_run_made_is_emptied(scene: Scene) -> None:
    with pytest.raises(StepFailed, match="not made by this run"):
        deletion.clear_own(scene.execution(), str(scene.data))
    assert scene.tree() == scene.before


def test_a_directory_that_somebody_filled_is_not_taken_over(scene: Scene) -> None:
    with pytest.raises(StepFailed, match="not empty"):
        scene.execution().make_directory(str(scene.data))
    assert scene.tree() == scene.before


@pytest.mark.parametrize("records", range(4))
def test_an_undo_of_a_clone_killed_before_any_record_is_done_again(
    tmp_path: Path, records: int
) -> None:
    scene = Scene(tmp_path, contents_only=False)
    clone = tmp_path / "clone"
    scene.plan = make_plan(str(clone))
    scene.execution().make_directory(str(clone))
    (clone / "base").write_text("new")
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(Journal, "append", _dying(Journal.append, records))
        old_data.put_back(scene.execution())
    old_data.put_back(scene.execution())
    state = scene.execution().state()
    assert not clone.exists()
    assert [(Path(path) / "base").read_text() for path in state.retired] == ["new"]
    assert state.is_known(state.retired[0])


@pytest.mark.parametrize("renames", range(4))
def test_an_undo_killed_while_the_old_data_returns_to_an_empty_place(
    scene: Scene, renames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was restored yet, as after a failure at the beginning: what is there is the old."""
    (scene.data / "PG_VERSION").write_text("15")
    (scene.data / "postgresql.conf").write_text("port = 1")
    before = scene.tree()
    old_data.set_aside(scene.execution())
    scene.execution().make_directory(str(scene.data))
    with monkeypatch.context() as patch, suppress(_Killed):
        patch.setattr(os, "rename", _dying(os.rename, renames))
        old_data.put_back(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == before


def test_an_undo_that_is_repeated_leaves_the_returned_data_alone(scene: Scene) -> None:
    """As after an abort, a kill or a reboot while the old server starts."""
    old_data.set_aside(scene.execution())
    scene.execution().make_directory(str(scene.data))
    for _ in range(3):
        old_data.put_back(scene.execution())
        assert scene.tree() == scene.before


def test_old_data_that_was_brought_back_by_hand_is_taken_for_that(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=False)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    scene.data.rename(tmp_path / "restored")
    scene.aside.rename(scene.data)
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before
    assert scene.execution().state().asides == ()


def test_after_a_reboot_a_disk_may_have_another_number(tmp_path: Path) -> None:
    """What is on it is the same for all that: the undo must not be refused."""
    scene = Scene(tmp_path, contents_only=False)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    journal = scene.directory.journal_path
    device = scene.data.stat().st_dev
    renumbered = journal.read_text().replace(f'"device":{device}', f'"device":{device + 1}')
    journal.write_text(renumbered)
    assert scene.execution().state().is_another(str(scene.data)) is False
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_in_one_boot_another_disk_is_another_directory(tmp_path: Path) -> None:
    scene = Scene(tmp_path, contents_only=False)
    begin = Started(purpose="restore", pid=1, process_start=1, boot_id=boot_id())
    scene.execution().journal.append(begin)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    journal = scene.directory.journal_path
    device = scene.data.stat().st_dev
    journal.write_text(journal.read_text().replace(f'"device":{device}', f'"device":{device + 1}'))
    assert scene.execution().state().is_another(str(scene.data))


def test_a_directory_in_which_a_server_works_is_not_emptied(tmp_path: Path) -> None:
    """Somebody has gone on by hand in what the run has made."""
    scene = Scene(tmp_path, contents_only=False)
    old_data.set_aside(scene.execution())
    scene.restore_something()
    with (
        process_in(scene.data, tmp_path / "tools"),
        pytest.raises(StepFailed, match="A server runs in"),
    ):
        deletion.clear_own(scene.execution(), str(scene.data))
    assert (scene.data / "base" / "1").read_text() == "new"


def test_an_undo_of_what_never_came_to_be(tmp_path: Path) -> None:
    """It was announced, and neither it nor what is above it could be made, as on a full disk."""
    scene = Scene(tmp_path, contents_only=False)
    clone = tmp_path / "not made" / "clone"
    scene.plan = make_plan(str(clone))
    scene.execution().journal.append(MakingDirectory(path=str(clone)))
    old_data.put_back(scene.execution())
    assert not clone.parent.exists()


def test_an_empty_directory_that_was_announced_is_taken_over(scene: Scene) -> None:
    """The runner died between making it and saying so."""
    announced_only(scene)
    scene.data.mkdir(exist_ok=True)
    deletion.make_anew(scene.execution(), str(scene.data))
    old_data.put_back(scene.execution())
    assert scene.tree() == scene.before


def test_a_whole_data_directory_is_not_emptied_to_be_filled(scene: Scene) -> None:
    old_data.set_aside(scene.execution())
    scene.restore_something()
    (scene.data / "global").mkdir()
    (scene.data / "global/pg_control").write_text("another cluster's")
    with pytest.raises(StepFailed, match="holds a whole data directory"):
        deletion.make_data_directory_anew(scene.execution())
    assert (scene.data / "base" / "1").read_text() == "new"
    (scene.data / "global/pg_control").unlink()
    deletion.make_data_directory_anew(scene.execution())
    assert not (scene.data / "base").exists()


@pytest.mark.parametrize("records", range(4))
def test_an_undo_of_an_empty_directory_that_stays_killed_before_any_record(
    tmp_path: Path, records: int
) -> None:
    """As of a disk for WAL that had been emptied before."""
    scene = Scene(tmp_path, contents_only=True)
    for entry in list(scene.data.iterdir()):
        entry.unlink() if entry.is_symlink() else shutil.rmtree(entry)
    before = scene.tree()
    old_data.set_aside(scene.execution())
    scene.restore_something()
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(Journal, "append", _dying(Journal.append, records))
        old_data.put_back(scene.execution())
    old_data.put_back(scene.execution())
    assert scene.tree() == before
    assert scene.execution().state().asides == ()


def test_an_undo_leaves_nothing_of_a_side_directory_that_never_came_to_be(tmp_path: Path) -> None:
    """Inside a directory that stays: the runner died between its parents and itself."""
    scene = Scene(tmp_path, contents_only=True)
    inside = scene.data / ".pgrescue/t"
    work = replace(scene.plan.work, staging=str(inside / "wal"))
    scene.plan = seal(replace(scene.plan, work=work))
    scene.execution().journal.append(MakingDirectory(path=str(inside / "wal")))
    inside.mkdir(parents=True)
    old_data.put_back(scene.execution())
    assert not (scene.data / ".pgrescue").exists()
    assert scene.tree() == scene.before


def test_an_undo_killed_before_it_removes_the_emptied_directory_removes_it_next_time(
    tmp_path: Path,
) -> None:
    scene = Scene(tmp_path, contents_only=True)
    old_data.set_aside(scene.execution())
    with pytest.MonkeyPatch.context() as patch, suppress(_Killed):
        patch.setattr(Path, "rmdir", _dying(Path.rmdir, 0))
        old_data.put_back(scene.execution())
    assert scene.aside.is_dir()
    old_data.put_back(scene.execution())
    assert not scene.aside.parent.exists()
    assert scene.tree() == scene.before
