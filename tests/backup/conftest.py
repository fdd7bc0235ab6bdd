"""Clusters to take backups of."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support.cluster import Workspace
from tests.support.source import Source

Cluster = Callable[[Origin], Source]
"""Gives the module's cluster on servers of that origin; made at its first use."""


@pytest.fixture(scope="module")
def cluster(binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Cluster]:
    """One running cluster for each origin of server binaries, in a workspace of its own."""
    sources: dict[Origin, Source] = {}

    def of(origin: Origin) -> Source:
        if origin not in binaries_by_origin:
            pytest.skip(f"there are no {origin} PostgreSQL server binaries here")
        if origin not in sources:
            workspace = Workspace.make()
            try:
                sources[origin] = Source.make(
                    workspace,
                    binaries_by_origin[origin],
                    settings={"summarize_wal": "on"}
                    if binaries_by_origin[origin].major >= 17
                    else None,
                )
            except BaseException:
                workspace.destroy()
                raise
        return sources[origin]

    try:
        yield of
    finally:
        for source in sources.values():
            source.workspace.destroy()
