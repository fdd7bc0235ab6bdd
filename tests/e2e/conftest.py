"""Source clusters that the end-to-end tests share, and small ones of their own."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.conftest import ORIGINS
from tests.support.cluster import Workspace
from tests.support.source import Source


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Every day a test is played on one server, half of them on each, and only one of its cases.

    Those that are marked `both_servers` are played on both. The rest is slow.
    """
    for item in items:
        if not isinstance(item, pytest.Function) or Path(__file__).parent not in item.path.parents:
            continue
        item.add_marker(pytest.mark.every_day(1))
        parameters = dict(item.callspec.params) if hasattr(item, "callspec") else {}
        origin = parameters.pop("server_binaries", None)
        if origin is not None and not item.get_closest_marker("both_servers"):
            # A function's text has its address in it, and every worker must choose the same tests.
            values = sorted(getattr(value, "__name__", str(value)) for value in parameters.values())
            name = f"{item.originalname} {values}"
            if origin != ORIGINS[zlib.crc32(name.encode()) % len(ORIGINS)]:
                item.add_marker("slow")


class SourceFactory(Protocol):
    """Makes a running cluster with one epoch, in the test's own workspace."""

    def __call__(
        self,
        binaries: ServerBinaries,
        *,
        name: str = "main",
        segment_size_mb: int = 1,
        checksums: bool = True,
    ) -> Source: ...


@pytest.fixture(scope="module")
def shared_workspace() -> Iterator[Workspace]:
    """A directory for all tests of a module."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


@pytest.fixture
def source_factory(workspace: Workspace) -> SourceFactory:
    """A cluster for one test, which may destroy it."""

    def make(
        binaries: ServerBinaries,
        *,
        name: str = "main",
        segment_size_mb: int = 1,
        checksums: bool = True,
    ) -> Source:
        return Source.make(
            workspace, binaries, name=name, segment_size_mb=segment_size_mb, checksums=checksums
        )

    return make


@pytest.fixture
def victim(server_binaries: ServerBinaries, source_factory: SourceFactory) -> Source:
    """A cluster with a backup like the article's, and epochs before and after it."""
    return make_victim(source_factory, server_binaries)


@pytest.fixture
def any_victim(any_binaries: ServerBinaries, source_factory: SourceFactory) -> Source:
    """As `victim`, where the server's version does not matter."""
    return make_victim(source_factory, any_binaries)


def make_victim(source_factory: SourceFactory, binaries: ServerBinaries) -> Source:
    """Epochs 1 and 2, the backup `nightly`, then 3 to 5, all archived; it runs."""
    source = source_factory(binaries)
    source.log.mark("before the backup")
    source.backup("nightly", "-Ft", "-z", "-Xs", "-P")
    for _ in range(3):
        source.log.mark("after the backup")
    source.sandbox.switch_wal()
    return source
