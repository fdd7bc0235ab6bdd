"""Servers of every major version there is, and places that leave nothing behind."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.servers import servers_by_major


@pytest.fixture(scope="session")
def all_servers() -> Iterator[dict[int, ServerBinaries]]:
    """Server binaries by major version, those of PGRESCUE_TEST_SERVERS included."""
    work = Path(tempfile.mkdtemp(prefix="pgrescue-test-binaries-", dir="/tmp"))
    work.chmod(0o755)
    try:
        yield servers_by_major(work)
    finally:
        shutil.rmtree(work)


@pytest.fixture(scope="session", params=range(12, 19))
def every_server(
    request: pytest.FixtureRequest, all_servers: dict[int, ServerBinaries]
) -> ServerBinaries:
    """The server of each major version in turn; those that are not here are skipped."""
    if request.param not in all_servers:
        pytest.skip(f"there is no PostgreSQL {request.param} here")
    return all_servers[request.param]
