"""Scenes that are made once and used by many cases."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.faults.faulty import make_victim
from tests.faults.kinds import KINDS
from tests.faults.scene import Scene
from tests.support.cluster import Workspace
from tests.support.source import Source

SceneOf = Callable[[str], Scene]
_AT_ONCE = 2
"""How many are kept: cases come kind by kind."""


@pytest.fixture
def victim(workspace: Workspace, any_binaries: ServerBinaries) -> Source:
    """A running cluster with a backup, for one case."""
    return make_victim(workspace, any_binaries)


@pytest.fixture(scope="session")
def scene_of(binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[SceneOf]:
    """The scene of a kind of plan, by its name."""
    made: dict[str, Scene] = {}

    def scene_of(name: str) -> Scene:
        kind = KINDS[name]
        found = made.pop(name, None)
        if found is None:
            newest = max(binaries_by_origin.values(), key=lambda binaries: binaries.major)
            binaries = newest if kind.chain else binaries_by_origin.get(kind.origin, newest)
            if kind.chain and newest.major < 17:
                pytest.skip("incremental backups came with PostgreSQL 17")
            while len(made) >= _AT_ONCE:
                made.pop(next(iter(made))).destroy()
            found = Scene(kind, binaries)
        made[name] = found
        return found

    try:
        yield scene_of
    finally:
        for scene in made.values():
            scene.destroy()
