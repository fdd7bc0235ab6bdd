"""An old data directory, and a run about to replace it; no server."""

from __future__ import annotations

from pathlib import Path

from pgrescue.plan.model import Move
from pgrescue.run import old_data
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.journal import NAME, Journal
from pgrescue.run.records import MakingDirectory
from pgrescue.run.run_directory import RunDirectory
from tests.run.made_plan import make_plan
from tests.support.files import file_tree


class Scene:
    """An old data directory with a link out of it, and a run about to replace it."""

    def __init__(self, root: Path, *, contents_only: bool) -> None:
        self.root = root
        self.data = root / "main"
        self.data.mkdir(mode=0o700)
        (self.data / "base").mkdir()
        (self.data / "base" / "1").write_text("old")
        (root / "elsewhere").mkdir()
        (root / "elsewhere" / "precious").write_text("not ours")
        (self.data / "link").symlink_to(root / "elsewhere")
        aside = self.data / ".pgrescue/t/old" if contents_only else root / "main.pgrescue-test"
        self.aside = aside
        move = Move(str(self.data), str(aside), contents_only)
        self.plan = make_plan(str(self.data), (move,))
        self.directory = RunDirectory(root / "run")
        self.directory.path.mkdir()
        self.before = self.tree()

    def tree(self) -> object:
        """The data directory as it is, without what pgrescue keeps in it."""
        return file_tree(self.data, ignore=(".pgrescue",))

    def execution(self) -> RestoreExecution:
        """A runner's life in this run."""
        return RestoreExecution(self.plan, self.directory, Journal(self.directory.journal_path))

    def restore_something(self) -> None:
        """What a run does after setting aside."""
        execution = self.execution()
        execution.make_directory(str(self.data))
        (self.data / "base").mkdir()
        (self.data / "base" / "1").write_text("new")

    def forget_last_records(self, count: int) -> None:
        """As if the runner had died before writing them."""
        path = self.directory.path / NAME
        lines = path.read_bytes().splitlines(keepends=True)
        path.write_bytes(b"".join(lines[: len(lines) - count]))


def announced_only(scene: Scene) -> None:
    """The directory for the new data could not be made, as on a full disk."""
    old_data.set_aside(scene.execution())
    scene.execution().journal.append(MakingDirectory(path=str(scene.data)))
