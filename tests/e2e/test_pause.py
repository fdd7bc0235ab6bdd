"""Pausing at the target: look around, then promote or go back; and targets that are not there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pgrescue.errors import PgRescueError
from tests.support.cluster import cluster_config
from tests.support.command import finished
from tests.support.runs import status
from tests.support.source import Source

pytestmark = pytest.mark.server


def pause(source: Source) -> None:
    """Restore to epoch 4 and wait there, as is the default."""
    epoch = source.log.epochs[3]
    last = finished(source.restore("--to", epoch.committed.isoformat()))
    assert last["state"] == "waiting"
    assert status(source.workspace)["state"] == "waiting"
    assert source.place.rows() == [1, 2, 3, 4]
    assert source.place.in_recovery()
    with pytest.raises(PgRescueError, match="read-only"):
        source.place.sql("insert into epochs values (99)")


@pytest.mark.both_servers
def test_resume_promotes(victim: Source) -> None:
    pause(victim)
    last = finished(victim.workspace.run("resume", "--yes", "--json", check=True))
    assert last["state"] == "succeeded"
    assert last["reached"]["timeline"] in (1, 2)
    assert victim.place.rows() == [1, 2, 3, 4]
    assert not victim.place.in_recovery()
    configured = (victim.sandbox.data / "postgresql.auto.conf").read_text()
    assert "recovery" not in configured
    assert "restore_command" not in configured
    assert not (victim.sandbox.data / "recovery.signal").exists()
    victim.log.branch([1, 2, 3, 4]).mark("open for business")
    victim.sandbox.stop()
    victim.sandbox.start()
    assert victim.place.rows() == [1, 2, 3, 4, 6]
    assert victim.place.sql("show recovery_target_time") == [""]


def test_undo_instead_of_promoting(victim: Source) -> None:
    pause(victim)
    victim.workspace.run("undo", "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
    assert not victim.place.in_recovery()


@pytest.mark.slow
def test_another_target_instead_of_promoting(victim: Source) -> None:
    pause(victim)
    later = victim.log.epochs[4]
    last = finished(victim.restore("--to-xid", str(later.xid), "--action", "promote"))
    assert last["state"] == "succeeded"
    assert victim.place.rows() == [1, 2, 3, 4, 5]
    victim.workspace.run("undo", "--yes", check=True)


@pytest.mark.slow
def test_resume_after_somebody_has_restarted_the_paused_server(any_victim: Source) -> None:
    pause(any_victim)
    any_victim.sandbox.stop()
    any_victim.sandbox.start()
    any_victim.workspace.run("resume", "--yes", check=True)
    assert any_victim.place.rows() == [1, 2, 3, 4]
    assert not any_victim.place.in_recovery()


def beyond_every_commit(source: Source) -> tuple[str, ...]:
    return "--to-xid", str(source.log.epochs[-1].xid + 1000)


def no_such_restore_point(_source: Source) -> tuple[str, ...]:
    return "--to-name", "nobody has made this"


@pytest.mark.parametrize(
    ("aim", "action"),
    [
        (beyond_every_commit, "pause"),
        pytest.param(no_such_restore_point, "pause", marks=pytest.mark.slow),
        pytest.param(no_such_restore_point, "shutdown", marks=pytest.mark.slow),
    ],
)
def test_target_that_the_wal_does_not_reach(
    any_victim: Source, aim: Callable[[Source], tuple[str, ...]], action: str
) -> None:
    refused = any_victim.restore(*aim(any_victim), "--action", action, check=False)
    assert refused.returncode == 3, "the archive itself tells that it is not there"
    fetch = f"cp {any_victim.sandbox.wal}/%f %p"
    known = cluster_config(any_victim.sandbox)
    any_victim.workspace.configure(replace(known, wal_archive=None, restore_command=fetch))
    completed = any_victim.restore(*aim(any_victim), "--action", action, check=False)
    assert completed.returncode == 5, completed.stderr
    assert "can be listed here" in completed.stderr
    last = finished(completed)
    assert last["state"] == "failed"
    assert last["error"]["title"]
    assert last["error"]["next"]
    any_victim.workspace.run("undo", "--yes", check=True)
    assert any_victim.place.rows() == any_victim.log.expected("latest")


def test_a_time_to_come_is_refused_before_anything_is_touched(any_victim: Source) -> None:
    tomorrow = any_victim.log.epochs[-1].committed + timedelta(days=1)
    completed = any_victim.restore("--to", tomorrow.isoformat(), check=False)
    assert completed.returncode == 3
    assert "future" in completed.stderr
    assert any_victim.place.rows() == any_victim.log.expected("latest")


def test_position_beyond_the_archive_is_refused_before_anything_is_touched(
    any_victim: Source,
) -> None:
    far = any_victim.log.epochs[-1].lsn_after + (1 << 32)
    completed = any_victim.restore("--to-lsn", f"{far >> 32:X}/{far & 0xFFFFFFFF:X}", check=False)
    assert completed.returncode == 3
    assert any_victim.place.rows() == any_victim.log.expected("latest")
