"""Recovery that ends before the plan said it would: nothing is called restored, nothing deleted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.command import document, finished
from tests.support.source import Source

pytestmark = pytest.mark.server

NOT_REACHED = 5


def test_a_segment_that_vanished_after_the_plan_was_made(any_victim: Source) -> None:
    victim, workspace = any_victim, any_victim.workspace
    for _ in range(3):
        victim.log.mark("in a segment of its own")
        lost = victim.sandbox.switch_wal()
        victim.log.mark("after it")
        victim.sandbox.switch_wal()
    victim.sandbox.sql("checkpoint")
    victim.sandbox.stop()
    (victim.sandbox.data / "pg_wal" / lost).unlink(missing_ok=True)
    shown = workspace.run("plan", "--to", "latest", "--old-data", "delete", "--json", check=True)
    plan, path = document(shown), workspace.path / "plan.json"
    path.write_text(shown.stdout)
    (victim.sandbox.wal / lost).unlink()
    confirmed = ("--confirm", f"{plan['host']}/{plan['cluster']}")
    run = workspace.run("restore", "--plan", str(path), *confirmed, "--json")
    last = finished(run)
    assert (run.returncode, last["state"]) == (NOT_REACHED, "failed")
    assert "before the end of the WAL that the plan saw" in last["error"]["title"]
    assert f"pgrescue undo {last['run']}" in last["error"]["next"]
    assert any("deletes the old data" in step for step in last["error"]["next"])
    assert Path(last["set_aside"], "PG_VERSION").exists(), "nothing is deleted"
    assert victim.place.rows() == list(range(1, len(victim.log.epochs) - 1))
    refused = workspace.run("resume", last["run"], "--yes", "--json")
    assert refused.returncode == 3, "a plain yes deletes nothing that cannot be had again"
    assert any("--confirm" in step for step in document(refused)["error"]["next"])
    assert Path(last["set_aside"], "PG_VERSION").exists()
    accepted = workspace.run("resume", last["run"], *confirmed, "--json")
    assert finished(accepted)["state"] == "succeeded"
    assert not Path(last["set_aside"]).exists()
