"""A server of installed binaries: what `init` looks for."""

from __future__ import annotations

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.conftest import SandboxFactory


@pytest.fixture
def sandbox(
    sandbox_factory: SandboxFactory, binaries_by_origin: dict[Origin, ServerBinaries]
) -> Sandbox:
    """A running cluster."""
    if "installed" not in binaries_by_origin:
        pytest.skip("there are no installed PostgreSQL server binaries here")
    return sandbox_factory(binaries_by_origin["installed"])
