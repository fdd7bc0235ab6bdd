"""Restoring again after a restore: which history recovery follows."""

from __future__ import annotations

import pytest

from pgrescue.postgres.control_file import parse_control_file
from tests.support.command import document, finished
from tests.support.epochs import EpochLog
from tests.support.source import Source

pytestmark = pytest.mark.server


def fork_after(source: Source, n: int) -> EpochLog:
    """Restore to an epoch and promote: later epochs are gone, a new timeline begins."""
    epoch = source.log.epochs[n - 1]
    source.restore("--to-xid", str(epoch.xid), "--action", "promote")
    visible = list(range(1, n + 1))
    assert source.place.rows() == visible
    return source.log.branch(visible)


def test_latest_follows_the_clusters_own_timeline(victim: Source) -> None:
    second = fork_after(victim, 3)
    second.mark("on the second timeline")
    second.mark("right after the promotion, before any checkpoint")
    last = finished(victim.restore("--to", "latest"))
    assert last["reached"]["timeline"] == 3
    assert victim.place.rows() == second.expected("latest") == [1, 2, 3, 6, 7]
    second.mark("on the third")
    assert victim.place.rows() == [1, 2, 3, 6, 7, 8]


@pytest.mark.slow
def test_timeline_1_goes_back(victim: Source) -> None:
    everything = victim.log.expected("latest")
    second = fork_after(victim, 3)
    second.mark("on the second timeline")
    victim.sandbox.switch_wal()
    plan = document(victim.workspace.run("plan", "--timeline", "1", "--json", check=True))
    assert plan["target"]["timeline"] == plan["stop"]["timeline"] == 1
    victim.restore("--timeline", "1", "--to", "latest")
    assert victim.place.rows() == everything
    victim.workspace.run("undo", "--yes", check=True)
    assert victim.place.rows() == second.expected("latest")


def test_target_on_the_second_timeline(victim: Source) -> None:
    second = fork_after(victim, 4)
    epoch = second.mark("wanted")
    second.mark("not wanted")
    victim.sandbox.switch_wal()
    victim.restore("--to", epoch.committed.isoformat(), "--action", "promote")
    assert victim.place.rows() == [1, 2, 3, 4, 6]


@pytest.mark.slow
def test_backup_taken_on_the_second_timeline(victim: Source) -> None:
    second = fork_after(victim, 4)
    second.mark("in the backup")
    victim.backup("second", "-Ft", "-z", "-Xs")
    second.mark("after the backup")
    victim.sandbox.crash()
    last = finished(victim.restore("--backup", victim.id_of("second")))
    assert last["state"] == "succeeded"
    assert victim.place.rows() == second.expected("latest") == [1, 2, 3, 4, 6, 7]
    refused = victim.restore("--backup", victim.id_of("second"), "--timeline", "1", check=False)
    assert refused.returncode == 3
    assert "imeline 1" in refused.stderr


def test_unknown_timeline_is_refused(victim: Source) -> None:
    completed = victim.restore("--timeline", "7", check=False)
    assert completed.returncode == 3
    assert "7" in completed.stderr
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_undo_of_an_earlier_restore_waits_for_the_later_one(victim: Source) -> None:
    fork_after(victim, 3)
    first = finished_run(victim)
    victim.restore("--timeline", "1", "--to", "latest")
    refused = victim.workspace.run("undo", first, "--yes")
    assert refused.returncode == 3
    assert victim.place.rows() == victim.log.expected("latest")
    victim.workspace.run("undo", "--yes", check=True)
    assert victim.place.rows() == [1, 2, 3]
    victim.workspace.run("undo", first, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


def finished_run(source: Source) -> str:
    """The name of the last run."""
    last: str = document(source.workspace.run("status", "--json", check=True))["run"]
    return last


@pytest.mark.slow
def test_crash_right_after_a_standby_was_promoted(victim: Source) -> None:
    """pg_control's last checkpoint is still on timeline 1 then, the last commits are on 2."""
    victim.sandbox.sql(
        "create table bulk as select n, repeat('x', 500) as text from generate_series(1, 40000) n"
    )
    victim.log.mark("after much work")
    victim.restore("--standby", "--to", "latest")
    assert victim.place.in_recovery()
    victim.sandbox.sql("select pg_promote()")
    assert victim.place.rows() == victim.log.expected("latest")
    victim.log.mark("on the second timeline")
    assert read_timeline(victim) == 1, "the checkpoint after the promotion is still being made"
    victim.sandbox.crash()
    victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest") == [1, 2, 3, 4, 5, 6, 7]


@pytest.mark.slow
def test_a_standby_is_not_called_restored_before_it_has_replayed_all(any_victim: Source) -> None:
    """It answers queries long before that."""
    victim = any_victim
    victim.sandbox.sql(
        "create table scattered (key uuid primary key);"
        "insert into scattered select gen_random_uuid() from generate_series(1, 400000)"
    )
    last = victim.log.mark("after much to replay")
    reached = finished(victim.restore("--standby", "--to", "latest"))["reached"]
    assert reached["xid"] == last.xid
    assert victim.place.rows() == victim.log.expected("latest")
    assert victim.place.in_recovery()


def read_timeline(source: Source) -> int:
    """The timeline of the last checkpoint that has been completed."""
    content = (source.sandbox.data / "global" / "pg_control").read_bytes()
    return parse_control_file(content).timeline
