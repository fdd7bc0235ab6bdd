"""A cluster with backups of many kinds and a WAL archive, from which many tests restore."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.lsn import Lsn
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import Completed, document, finished
from tests.support.epochs import Epoch, EpochLog
from tests.support.places import Place, free_port

_COMMIT = re.compile(r"tx:\s+(\d+), lsn: ([0-9A-F]+/[0-9A-F]+),.*desc: COMMIT ")


@dataclass(frozen=True, slots=True)
class Taken:
    """A base backup and the epochs that were committed before it."""

    name: str
    path: Path
    rows: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Restored(Place):
    """A place that pgrescue has restored, and what it said."""

    completed: Completed

    @property
    def status(self) -> dict[str, object]:
        """The run's last event."""
        return finished(self.completed)


@dataclass(slots=True)
class Source:
    """The cluster, its oracle and its backups; restores from it go into clones."""

    workspace: Workspace
    sandbox: Sandbox
    log: EpochLog
    backups: dict[str, Taken] = field(default_factory=dict)
    _ids: dict[str, str] = field(default_factory=dict)

    @classmethod
    def make(
        cls,
        workspace: Workspace,
        binaries: ServerBinaries,
        *,
        name: str = "main",
        segment_size_mb: int = 1,
        checksums: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Source:
        """A running cluster with one epoch and no backup; pgrescue's configuration names it."""
        sandbox = workspace.sandbox(binaries, name)
        sandbox.init(segment_size_mb, checksums, settings)
        sandbox.start()
        workspace.configure(cluster_config(sandbox))
        source = cls(workspace, sandbox, EpochLog(sandbox))
        source.log.mark("the first")
        return source

    @property
    def place(self) -> Place:
        """The cluster itself, for looking at it after a restore in place."""
        return Place(self.sandbox.data, self.sandbox)

    def backup(self, name: str, *options: str) -> Taken:
        """Take a base backup; epochs marked from now on are not in it."""
        rows = tuple(epoch.n for epoch in self.log.epochs)
        path = self.sandbox.base_backup(name, *options)
        taken = Taken(name, path, rows)
        self.backups[name] = taken
        return taken

    def id_of(self, name: str) -> str:
        """The id by which pgrescue knows a backup."""
        if name not in self._ids:
            listed = document(self.workspace.run("catalog", "--json", check=True))["backups"]
            self._ids = {Path(item["path"]).name: item["id"] for item in listed}
        return self._ids[name]

    def commit_lsn(self, epoch: Epoch) -> Lsn:
        """Where the commit record of an epoch begins, from the WAL itself."""
        program = self.sandbox.binaries.program("pg_waldump")
        start, end = str(epoch.lsn_before), str(epoch.lsn_after)
        argv = (program, "-p", str(self.sandbox.wal), "-r", "Transaction", "-s", start, "-e", end)
        for line in run_tool(self.sandbox.account, argv, cwd=Path("/")).splitlines():
            found = _COMMIT.search(line)
            if found is not None and int(found[1]) == epoch.xid:
                return Lsn.parse(found[2])
        raise AssertionError(f"no commit of {epoch.xid} between {start} and {end}")

    def restore(self, *options: str, check: bool = True) -> Completed:
        """Restore the cluster in place."""
        return self.workspace.run("restore", *options, "--yes", "--json", check=check)

    def clone_path(self) -> Path:
        """A new place for a clone, in a directory that the server's account may write to."""
        root = self.workspace.path / "clones"
        if not root.exists():
            root.mkdir(mode=0o755)
            os.chown(root, self.sandbox.account.uid, self.sandbox.account.gid)
        return root / f"clone{free_port()}"

    @contextmanager
    def clone(self, *options: str, check: bool = True) -> Iterator[Restored]:
        """Restore into a new directory; everything of the clone is gone afterwards."""
        path, port = self.clone_path(), free_port()
        where = ("--into", str(path), "--port", str(port))
        completed = self.workspace.run("restore", *options, *where, "--yes", "--json", check=check)
        restored = Restored(path, self.sandbox, completed)
        try:
            yield restored
        finally:
            restored.remove()


def step_results(status: Mapping[str, object]) -> dict[str, str]:
    """What each step of a run said at its end."""
    steps = json.loads(json.dumps(status["steps"]))
    return {step["id"]: step["result"] for step in steps}
