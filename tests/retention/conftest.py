"""A cluster with a few small backups, from which some are taken away."""

from __future__ import annotations

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.cluster import Workspace
from tests.support.source import Source


@pytest.fixture
def source(any_binaries: ServerBinaries, workspace: Workspace) -> Source:
    """Three full backups, `first`, `second` and `third`, with epochs before and after each.

    The newest is verified: a policy takes nothing away before it is.
    """
    source = Source.make(workspace, any_binaries, settings={"summarize_wal": "on"})
    for name in ("first", "second", "third"):
        source.backup(name, "-Ft", "-z", "-Xnone")
        source.log.mark(f"after {name}")
        source.sandbox.switch_wal()
    workspace.run("verify", source.id_of("third"), check=True)
    return source
