"""A running cluster with a backup and history, shared by the tests that must not change it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import Completed, document
from tests.support.epochs import EpochLog

QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h"}
"""Settings of a server that writes nothing unless it is asked to."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A configured cluster: epochs, a backup `full` amid them, WAL archived to its end."""

    workspace: Workspace
    sandbox: Sandbox
    log: EpochLog

    def run(self, *args: str) -> Completed:
        """Run pgrescue with `--json`."""
        return self.workspace.run(*args, "--json")

    def restore(self, *args: str) -> Completed:
        """Run `pgrescue restore --yes --json` with these options."""
        return self.run("restore", "--yes", *args)

    @property
    def backup(self) -> str:
        """The id of the only backup."""
        return backup_id(self.workspace)


def backup_id(workspace: Workspace) -> str:
    """The id of a workspace's only backup."""
    (backup,) = document(workspace.run("catalog", "--json", check=True))["backups"]
    return str(backup["id"])


def make_scene(
    workspace: Workspace, binaries: ServerBinaries, *, tablespace: bool = False
) -> Scene:
    """Build the scene in a workspace; its server runs."""
    sandbox = workspace.sandbox(binaries)
    sandbox.init(segment_size_mb=1, settings=QUIET)
    sandbox.start()
    if tablespace:
        sandbox.create_tablespace("fast")
        sandbox.sql("create table kept (n int) tablespace fast; insert into kept values (1)")
    log = EpochLog(sandbox)
    log.mark("before the backup")
    sandbox.base_backup("full", "-Ft", "-X", "stream")
    for note in ("first", "second", "third"):
        log.mark(note)
    sandbox.switch_wal()
    sandbox.sql("checkpoint")
    workspace.configure(cluster_config(sandbox))
    return Scene(workspace, sandbox, log)


@pytest.fixture(scope="module")
def scene(any_binaries: ServerBinaries) -> Iterator[Scene]:
    """One scene for all tests of a module."""
    workspace = Workspace.make()
    try:
        yield make_scene(workspace, any_binaries, tablespace=True)
    finally:
        workspace.destroy()


@pytest.fixture
def config(scene: Scene) -> Iterator[ClusterConfig]:
    """The scene's configuration, to be changed at will; restored afterwards."""
    known = cluster_config(scene.sandbox)
    yield known
    scene.workspace.configure(known)
