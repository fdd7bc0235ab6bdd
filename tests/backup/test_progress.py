"""A backup can be watched: how much, of how much, how long still, and what it waits for."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.backups import BULK, start_backup, take
from tests.support.cluster import Workspace
from tests.support.command import events
from tests.support.runs import status, wait_for_end
from tests.support.source import Source

pytestmark = pytest.mark.server

GENTLE = {
    "checkpoint_timeout": "30s",
    "checkpoint_completion_target": "0.1",
    "autovacuum": "off",
}
BOUND = 3
"""Seconds that a spread checkpoint takes with these settings."""


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster whose checkpoints are gentle."""
    workspace = Workspace.make()
    try:
        source = Source.make(workspace, any_binaries, settings=GENTLE)
        source.sandbox.sql(BULK.format(9000))
        yield source
    finally:
        workspace.destroy()


def test_it_moves(source: Source) -> None:
    taken = take(source.workspace, "--max-rate=8M", "--checkpoint=fast")
    told = [one for one in taken.progress if one["detail"].startswith("streaming database files")]
    assert len(told) >= 3
    for before, after in itertools.pairwise(told):
        assert before["done_bytes"] <= after["done_bytes"] <= after["total_bytes"]
        assert before["disk_bytes"] <= after["disk_bytes"]
    assert told[-1]["done_bytes"] > told[0]["done_bytes"]
    assert told[-1]["disk_bytes"] > told[0]["disk_bytes"]
    size = int(source.sandbox.sql("select sum(pg_database_size(oid)) from pg_database")[0])
    assert 0.5 * size < told[-1]["total_bytes"] < 2 * size
    later = [one for one in told[1:] if one["eta_seconds"] is not None]
    assert later, "it says how long it will take"
    assert all(0 <= one["eta_seconds"] < 60 for one in later)
    assert all(0 < one["rate"] < 32 << 20 for one in later)
    assert "of 1 tablespaces" in told[-1]["detail"]
    assert told[-1]["lsn"] is not None


def test_wait_for_a_gentle_checkpoint_has_a_bound(source: Source) -> None:
    source.sandbox.sql("checkpoint; update bulk set n = -n")
    taken = take(source.workspace, "--checkpoint=spread", "--no-verify")
    waits = [one for one in taken.progress if "gentle checkpoint" in one["detail"]]
    assert waits, "minutes without a byte are explained"
    assert all(one["detail"].endswith(f" s of {BOUND}") for one in waits)
    assert all(one["done_bytes"] == 0 for one in waits)


@pytest.mark.slow
def test_status_and_attach_show_it_from_outside(source: Source) -> None:
    workspace = source.workspace
    run = start_backup(workspace, "--max-rate=8M", "--checkpoint=fast")
    attached = workspace.run("attach", run, "--json", check=True)
    told = events(attached)
    assert told[-1]["state"] == "succeeded"
    assert [one["step"] for one in told if one["event"] == "step_began"] == [
        "prepare",
        "take",
        "verify",
        "publish",
    ]
    last = wait_for_end(workspace, run)
    assert last["backup"]["verified"] is True
    assert status(workspace)["run"] == run
