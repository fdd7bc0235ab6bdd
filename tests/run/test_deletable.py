"""What `discard` shows, and what is never deleted: another's directory, a mount, served data."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Move
from pgrescue.run import deletion, old_data
from pgrescue.run.deletable import Deletable, counted
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import RunDirectory
from tests.run.made_plan import make_plan
from tests.support.files import file_tree
from tests.support.impostor import process_in


class Aside:
    """An old data directory that is set aside, by a rename or inside a directory that stays."""

    def __init__(self, root: Path, *, contents_only: bool) -> None:
        self.data = root / "main"
        (self.data / "base").mkdir(parents=True)
        (self.data / "base" / "1").write_text("old")
        self.path = self.data / ".pgrescue/t/old" if contents_only else root / "main.aside"
        self.plan = make_plan(
            str(self.data), (Move(str(self.data), str(self.path), contents_only),)
        )
        self.directory = RunDirectory(root / "run")
        self.directory.path.mkdir()
        old_data.set_aside(self.execution())

    def execution(self) -> RestoreExecution:
        """A runner's life in this run."""
        return RestoreExecution(self.plan, self.directory, Journal(self.directory.journal_path))

    def delete(self) -> None:
        """As the step of a restore and as `discard` do."""
        deletion.delete_old(self.execution())


@pytest.fixture(params=[False, True], ids=["rename", "mount point"])
def aside(request: pytest.FixtureRequest, tmp_path: Path) -> Aside:
    return Aside(tmp_path, contents_only=request.param)


@pytest.fixture
def stays(aside: Aside) -> Iterator[None]:
    """Nothing there is deleted."""
    yield
    assert (aside.path / "base" / "1").read_text() == "old"


def test_the_very_directory_is_deleted(aside: Aside) -> None:
    aside.delete()
    assert not aside.path.exists()


def test_what_an_earlier_run_has_set_aside_in_it_is_not(tmp_path: Path) -> None:
    """The directory could not be renamed then, and can be now."""
    aside = Aside(tmp_path, contents_only=False)
    kept = aside.path / ".pgrescue" / "earlier" / "old" / "base"
    kept.mkdir(parents=True)
    with pytest.raises(StepFailed, match="earlier/old is inside of it"):
        aside.delete()
    assert kept.exists()
    assert not aside.execution().state().deletion_begun


def test_another_directory_in_its_place_is_not(aside: Aside) -> None:
    aside.path.rename(aside.path.with_name("somewhere"))
    aside.path.mkdir()
    (aside.path / "precious").write_text("not ours")
    with pytest.raises(StepFailed, match="is not what the run"):
        aside.delete()
    assert (aside.path / "precious").read_text() == "not ours"


def test_another_directory_behind_a_link_on_the_way_is_not(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    aside = Aside(tmp_path / "disk", contents_only=False)
    (tmp_path / "disk").rename(tmp_path / "old-disk")
    elsewhere = tmp_path / "elsewhere" / "main.aside"
    elsewhere.mkdir(parents=True)
    (elsewhere / "precious").write_text("not ours")
    aside.directory = RunDirectory(tmp_path / "old-disk" / "run")
    (tmp_path / "disk").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StepFailed, match="is not what the run"):
        aside.delete()
    assert (elsewhere / "precious").read_text() == "not ours"


@pytest.mark.usefixtures("stays")
def test_a_link_on_the_way_to_what_an_older_version_has_set_aside(aside: Aside) -> None:
    _forget_identities(aside.directory.journal_path)
    parent = aside.path.parent
    parent.rename(parent.with_name("moved-away"))
    parent.symlink_to(parent.with_name("moved-away"))
    if not aside.directory.path.exists():
        aside.directory = RunDirectory(parent.with_name("moved-away") / "run")
    with pytest.raises(StepFailed, match="reached through a link"):
        aside.delete()


def test_what_an_older_version_has_set_aside_can_be_deleted(aside: Aside) -> None:
    _forget_identities(aside.directory.journal_path)
    aside.delete()
    assert not aside.path.exists()


def _forget_identities(journal: Path) -> None:
    """As a journal of a version that did not write them."""
    records = [json.loads(line) for line in journal.read_text().splitlines()]
    for record in records:
        record.pop("device", None)
        record.pop("inode", None)
    journal.write_text("".join(f"{json.dumps(record)}\n" for record in records))


@pytest.mark.usefixtures("stays")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_of_the_same_file_system_is_not_crossed(aside: Aside, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("not ours")
    mounted = aside.path / "base"
    if subprocess.run(("mount", "--bind", str(elsewhere), str(mounted)), check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(StepFailed, match="is a mount point"):
            aside.delete()
        assert (elsewhere / "precious").read_text() == "not ours"
    finally:
        subprocess.run(("umount", str(mounted)), check=True)


@pytest.mark.usefixtures("stays")
@pytest.mark.parametrize("where", [".", "base"])
def test_nothing_is_deleted_under_a_server(aside: Aside, tmp_path: Path, where: str) -> None:
    with process_in(aside.path / where, tmp_path / "tools") as pid:
        with pytest.raises(StepFailed, match="A server runs in") as refused:
            aside.delete()
        assert str(pid) in refused.value.cause


def test_none_is_deleted_if_one_must_not_be(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("one", "two")]
    for path in paths:
        path.mkdir()
        (path / "file").write_text("old")
    moves = tuple(Move(str(path), f"{path}.aside", False) for path in paths)
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    plan = make_plan(str(tmp_path / "main"), moves)
    execution = RestoreExecution(plan, directory, Journal(directory.journal_path))
    for move in moves:
        old_data.move_away(execution, move)
    second = Path(moves[1].aside)
    second.rename(tmp_path / "kept")
    second.symlink_to(tmp_path / "kept")
    with pytest.raises(StepFailed, match="is a link"):
        deletion.delete_old(execution)
    assert (Path(moves[0].aside) / "file").read_text() == "old"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_mount_is_not_emptied(tmp_path: Path) -> None:
    aside = Aside(tmp_path, contents_only=False)
    aside.execution().make_directory(str(aside.data))
    mounted = aside.data / "base"
    mounted.mkdir()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("not ours")
    if subprocess.run(("mount", "--bind", str(elsewhere), str(mounted)), check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with pytest.raises(StepFailed, match="is a mount point"):
            deletion.clear_own(aside.execution(), str(aside.data))
        assert (elsewhere / "precious").read_text() == "not ours"
    finally:
        subprocess.run(("umount", str(mounted)), check=True)


def test_size_and_age_in_words(tmp_path: Path) -> None:
    now = datetime(2026, 11, 26, 12, tzinfo=UTC)
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "1").write_bytes(bytes(3 << 20))
    (tmp_path / "base" / "2").symlink_to("nowhere")
    item = Deletable(str(tmp_path), now - timedelta(days=3))
    assert "counted" in item.described(now)
    before = file_tree(tmp_path)
    said = counted(item).described(now)
    assert said == "3.0 MiB in 2 files, set aside 3 days ago (2026-11-23 12:00 UTC)"
    assert file_tree(tmp_path) == before
