"""A running cluster with a backup and four epochs, for one test each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.support.cluster import Workspace, cluster_config
from tests.support.epochs import EpochLog


@dataclass(frozen=True, slots=True)
class Stage:
    """The cluster, its oracle, and the place where all of it lives."""

    workspace: Workspace
    sandbox: Sandbox
    log: EpochLog

    def before(self, number: int) -> tuple[str, ...]:
        """The options that stop before that epoch and open the server."""
        epoch = next(epoch for epoch in self.log.epochs if epoch.n == number)
        return ("--before-xid", str(epoch.xid), "--action", "promote", "--yes", "--json")


@pytest.fixture
def stage(any_binaries: ServerBinaries) -> Iterator[Stage]:
    """One for each test, configured as the demo's clusters are."""
    workspace = Workspace.make()
    try:
        sandbox = workspace.sandbox(any_binaries)
        sandbox.init(segment_size_mb=1, settings={"autovacuum": "off", "checkpoint_timeout": "1h"})
        sandbox.start()
        log = EpochLog(sandbox)
        log.mark("before the backup")
        sandbox.base_backup("full", "-Ft")
        for note in ("first", "second", "third"):
            log.mark(note)
        sandbox.switch_wal()
        sandbox.sql("checkpoint")
        workspace.configure(cluster_config(sandbox))
        yield Stage(workspace, sandbox, log)
    finally:
        workspace.destroy()
