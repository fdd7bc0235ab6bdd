"""Fixtures that give every test real servers and take every trace of them away again."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Protocol

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries, find_server_binaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError
from tests.support.cluster import Workspace

ORIGINS: tuple[Origin, ...] = ("installed", "embedded")


class SandboxFactory(Protocol):
    """Makes fresh sandboxes, started unless told otherwise."""

    def __call__(
        self,
        binaries: ServerBinaries,
        name: str = "main",
        *,
        start: bool = True,
        segment_size_mb: int = 16,
        checksums: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Sandbox: ...


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Of a test's cases the first ones are played every day, as many as it is marked with.

    On each server, if it is marked `both_servers`.
    """
    played: Counter[tuple[Path, str, object]] = Counter()
    for item in items:
        marker = item.get_closest_marker("every_day")
        if marker is None or item.get_closest_marker("slow"):
            continue
        parameters = item.callspec.params if hasattr(item, "callspec") else {}
        on_both = item.get_closest_marker("both_servers") is not None
        server = parameters.get("server_binaries") if on_both else None
        test = (item.path, getattr(item, "originalname", item.name), server)
        played[test] += 1
        if played[test] > marker.args[0]:
            item.add_marker("slow")


def pytest_configure() -> None:
    """Let SIGTERM unwind the tests like ctrl-c does, so that fixtures stop their servers."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    # Commands are started as users start them, not compiled anew each time.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(scope="session")
def binaries_by_origin() -> Iterator[dict[Origin, ServerBinaries]]:
    """Every set of server binaries that this machine has; there must be one."""
    work = Path(tempfile.mkdtemp(prefix="pgrescue-test-binaries-", dir="/tmp"))
    work.chmod(0o755)
    found: dict[Origin, ServerBinaries] = {}
    try:
        for origin in ORIGINS:
            try:
                found[origin] = find_server_binaries(work, prefer=origin)
            except PgRescueError as error:
                if origin == ORIGINS[-1] and not found:
                    pytest.fail(f"no server binaries to test with: {error}")
        yield found
    finally:
        shutil.rmtree(work)


@pytest.fixture(scope="session", params=ORIGINS)
def server_binaries(
    request: pytest.FixtureRequest, binaries_by_origin: dict[Origin, ServerBinaries]
) -> ServerBinaries:
    """Installed server binaries, then those of the demo extra: for tests that need both."""
    if request.param not in binaries_by_origin:
        pytest.skip(f"there are no {request.param} PostgreSQL server binaries here")
    return binaries_by_origin[request.param]


@pytest.fixture(scope="session")
def any_binaries(binaries_by_origin: dict[Origin, ServerBinaries]) -> ServerBinaries:
    """The newest server binaries there are: for tests to which the version does not matter."""
    return max(binaries_by_origin.values(), key=lambda binaries: binaries.major)


@pytest.fixture
def workspace() -> Iterator[Workspace]:
    """A directory for one test; whatever runs there at its end is stopped."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


@pytest.fixture
def sandbox_factory(workspace: Workspace) -> SandboxFactory:
    """Makes sandboxes in the test's workspace."""

    def make(
        binaries: ServerBinaries,
        name: str = "main",
        *,
        start: bool = True,
        segment_size_mb: int = 16,
        checksums: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> Sandbox:
        sandbox = workspace.sandbox(binaries, name)
        sandbox.init(segment_size_mb, checksums, settings)
        if start:
            sandbox.start()
        return sandbox

    return make
