"""WAL of real servers, written once for all tests that read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.cluster import Workspace
from tests.support.servers import servers_by_major
from tests.support.wal_workload import RealWal, write_wal

LOGICAL = (14, 18)
"""Majors whose servers write at wal_level logical, the others at replica."""

WalOf = Callable[..., RealWal]


@pytest.fixture(scope="session")
def wal_workspace() -> Iterator[Workspace]:
    """A place for WAL that several tests read."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


@pytest.fixture(scope="session")
def servers(wal_workspace: Workspace) -> dict[int, ServerBinaries]:
    """The binaries of every major version there is."""
    return servers_by_major(wal_workspace.path)


@pytest.fixture(scope="session")
def wal_of(wal_workspace: Workspace, servers: dict[int, ServerBinaries]) -> WalOf:
    """The WAL of a server of some major, written when it is asked for first."""
    written: dict[str, RealWal] = {}

    def write(major: int, segment_size_mb: int = 1) -> RealWal:
        if major not in servers:
            pytest.skip(f"there are no binaries of PostgreSQL {major} here")
        name = f"{major}-{segment_size_mb}"
        if name not in written:
            sandbox = wal_workspace.sandbox(servers[major], name)
            target: Path = wal_workspace.path / f"{name}.wal"
            level = "logical" if major in LOGICAL else "replica"
            written[name] = write_wal(
                sandbox, target, segment_size_mb=segment_size_mb, wal_level=level
            )
        return written[name]

    return write


@pytest.fixture(scope="session")
def real_wal(wal_of: WalOf, servers: dict[int, ServerBinaries]) -> RealWal:
    """The newest server's WAL, in segments of 1 MB."""
    return wal_of(max(servers))
