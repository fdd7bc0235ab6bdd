"""What tests of runs begin with: a plan, and an old data directory about to be replaced."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.plan.model import Move, Plan
from tests.run.made_plan import make_plan
from tests.run.old_data_scene import Scene


@pytest.fixture
def plan() -> Plan:
    """A restore in place to before a transaction."""
    return make_plan("/srv/main", (Move("/srv/main", "/srv/main.pgrescue-test", False),))


@pytest.fixture(params=[False, True], ids=["rename", "mount point"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Scene:
    """With a data directory that can be renamed, and with one that stays."""
    return Scene(tmp_path, contents_only=request.param)
