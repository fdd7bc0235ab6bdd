"""Commits that never reached the archive survive a restore to the latest state."""

from __future__ import annotations

import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.postgres.service import ServiceSpec
from tests.e2e.conftest import SourceFactory
from tests.support.by_hand import run_by_hand, script_of
from tests.support.cluster import cluster_config
from tests.support.command import document, finished
from tests.support.refused import refused
from tests.support.runs import status
from tests.support.source import Source, step_results

pytestmark = pytest.mark.server


@pytest.mark.both_servers
def test_crash_with_unarchived_commits_loses_none(
    server_binaries: ServerBinaries, source_factory: SourceFactory
) -> None:
    source = source_factory(server_binaries)
    source.backup("nightly", "-Ft", "-z", "-Xs")
    source.log.mark("archived")
    source.sandbox.switch_wal()
    stop_archiving(source)
    for _ in range(3):
        source.log.mark("in a segment that nobody archives")
        source.sandbox.sql("select pg_switch_wal()")
    source.log.mark("in the segment that is being written")
    source.sandbox.crash()
    last = finished(source.restore("--to", "latest"))
    assert last["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest") == [1, 2, 3, 4, 5, 6]


def test_damaged_data_files_do_not_matter(victim: Source) -> None:
    stop_archiving(victim)
    victim.log.mark("only in pg_wal")
    victim.sandbox.crash()
    shutil.rmtree(victim.sandbox.data / "base")
    (victim.sandbox.data / "global" / "pg_control").write_bytes(b"\0" * 8192)
    plan = document(victim.workspace.run("plan", "--json", check=True))
    assert any(step["id"] == "rescue_wal" for step in plan["steps"])
    victim.restore()
    assert victim.place.rows() == victim.log.expected("latest")


def test_lost_pg_wal_loses_only_what_was_not_archived(victim: Source) -> None:
    archived = victim.log.expected("latest")
    stop_archiving(victim)
    victim.log.mark("only in pg_wal")
    victim.sandbox.crash()
    shutil.rmtree(victim.sandbox.data / "pg_wal")
    victim.restore()
    assert victim.place.rows() == archived


def test_running_server_hands_over_its_last_commits(victim: Source) -> None:
    victim.log.mark("written a moment ago")
    victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_what_one_run_has_rescued_later_ones_know_and_a_discard_spares(victim: Source) -> None:
    workspace, log = victim.workspace, victim.log
    stop_archiving(victim)
    wanted = log.mark("only in pg_wal")
    victim.sandbox.sql("select pg_switch_wal()")
    log.mark("dropped by mistake, behind it")
    victim.sandbox.crash()
    victim.restore("--to", "latest")
    everything, option = log.expected("latest"), ("--timeline", "1", "--action", "promote")
    assert victim.place.rows() == everything
    (staging,) = victim.sandbox.directory.glob("data.pgrescue-*-wal")
    first = status(workspace)["run"]

    said = workspace.run("discard", "--yes", check=True).stderr
    assert "the archive lacks" in said
    assert not list(victim.sandbox.directory.glob("data.pgrescue-*Z")), "the old data is gone"
    refused(workspace.run("discard", "--yes", "--json"), 3, "only copy", "pgrescue backup")
    with victim.clone("--to-xid", str(wanted.xid), *option) as clone:
        assert clone.rows() == log.expected("xid", epoch=wanted)
        assert "segments that the archive lacks" in step_results(clone.status)["rescue_wal"]
    log.mark("on the second timeline")
    victim.restore("--to-xid", str(wanted.xid), *option)
    assert victim.place.rows() == log.expected("xid", epoch=wanted)

    workspace.run("undo", "--yes", check=True)
    assert victim.place.rows() == [*everything, everything[-1] + 1]
    victim.sandbox.base_backup("after it", "-Xs")
    workspace.run("discard", first, "--yes", check=True)
    assert not staging.exists()


@pytest.mark.slow
def test_beside_a_command_that_cannot_be_listed_all_that_was_rescued_is_used(
    any_victim: Source,
) -> None:
    """Its archive lacks the first timeline's end; recovery along the second one needs that."""
    victim, known = any_victim, cluster_config(any_victim.sandbox)
    command = f"cp {victim.sandbox.wal}/%f %p"
    victim.workspace.configure(replace(known, wal_archive=None, restore_command=command))
    stop_archiving(victim)
    for _ in range(2):
        victim.sandbox.sql("select pg_switch_wal()")
        victim.log.mark("only in pg_wal")
    victim.sandbox.crash()
    victim.restore("--to", "latest")
    for _ in range(4):
        victim.log.mark("on the second timeline")
        victim.sandbox.switch_wal()
        victim.sandbox.sql("checkpoint")
    victim.sandbox.crash()
    victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.parametrize("by_hand", [False, True])
def test_what_a_stop_would_remove_is_held(any_victim: Source, by_hand: bool) -> None:
    """The server takes for archived what its command only says that it has archived."""
    victim = any_victim
    victim.sandbox.sql("alter system set archive_command = 'true'; select pg_reload_conf()")
    for _ in range(3):
        victim.log.mark("in a segment that is nowhere else")
        victim.sandbox.sql("select pg_switch_wal()")
    only_there = victim.sandbox.data / "pg_wal"
    before = {path.name for path in only_there.glob("0*[0-9A-F]")}
    if by_hand:
        run_by_hand(script_of(victim, "--to", "latest"))
    else:
        victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest")
    (aside,) = victim.sandbox.directory.glob("data.pgrescue-*Z")
    left = {path.name for path in (aside / "pg_wal").glob("0*[0-9A-F]")}
    assert before - left, "the stop has removed none: this proves nothing"


def held_in_its_stop(
    victim: Source, *, before_start: str = "", is_stopped: bool = False
) -> tuple[ServiceSpec, Path]:
    """A service whose stop waits as long as a file is there, before or after the server is down."""
    control, data = victim.sandbox.binaries.program("pg_ctl"), victim.sandbox.data
    flag, log = victim.workspace.path / "in the stop", victim.workspace.path / "server.log"
    log.touch()
    log.chmod(0o666)
    run = f"{as_account(victim)}{control} -D {data}"
    wait = f"touch '{flag}'; while [ -e '{flag}' ]; do sleep 0.1; done"
    parts = (f"{run} stop -m fast -w", wait) if is_stopped else (wait, f"{run} stop -m fast -w")
    service = ServiceSpec(
        kind="command",
        stop="; ".join(parts),
        start=f"{before_start}{run} start -W -l '{log}'",
        status=f"{run} status",
    )
    return service, flag


def as_account(victim: Source) -> str:
    """The words before a command that the server's account is to run."""
    return f"runuser -u {victim.sandbox.account.name} -- " if os.geteuid() == 0 else ""


def written_in_the_stop(victim: Source, flag: Path) -> None:
    """Commits of clients while the server is about to be stopped."""
    wait_until(flag.exists, "the stop")
    victim.log.mark("while it is stopped")
    victim.sandbox.sql("select pg_switch_wal()")
    status = victim.sandbox.data / "pg_wal/archive_status"
    wait_until(lambda: not list(status.glob("*.ready")), "the archiving of it")
    flag.unlink()


@pytest.mark.parametrize("by_hand", [False, True])
def test_commits_during_the_stop_are_not_lost(any_victim: Source, by_hand: bool) -> None:
    """What the archive gets meanwhile is whole: no beginning of it comes before."""
    victim = any_victim
    victim.log.mark("before the plan")
    service, flag = held_in_its_stop(victim)
    victim.workspace.configure(replace(cluster_config(victim.sandbox), service=service))
    script = script_of(victim, "--to", "latest") if by_hand else None
    with ThreadPoolExecutor() as beside:
        committed = beside.submit(written_in_the_stop, victim, flag)
        if script is not None:
            run_by_hand(script)
        else:
            victim.restore("--to", "latest")
        committed.result()
    assert victim.place.rows() == victim.log.expected("latest")


def test_an_archive_that_lags_hides_no_commits(any_victim: Source) -> None:
    """The server's command only hands over: what it has taken arrives before the start."""
    victim, incoming = any_victim, any_victim.sandbox.directory / "incoming"
    incoming.mkdir()
    incoming.chmod(0o777)
    victim.sandbox.sql(
        f"alter system set archive_command = 'cp %p {incoming}/%f'; select pg_reload_conf()"
    )
    victim.log.mark("before the plan")
    arrives = f"mv {incoming}/* {victim.sandbox.wal}/; "
    service, flag = held_in_its_stop(victim, before_start=arrives)
    victim.workspace.configure(replace(cluster_config(victim.sandbox), service=service))
    with ThreadPoolExecutor() as beside:
        committed = beside.submit(written_in_the_stop, victim, flag)
        victim.restore("--to", "latest")
        committed.result()
    assert victim.place.rows() == victim.log.expected("latest")


def test_what_is_called_archived_only_after_the_plan_is_held_too(any_victim: Source) -> None:
    victim, plan = any_victim, any_victim.workspace.path / "plan.json"
    stop_archiving(victim)
    for _ in range(3):
        victim.log.mark("in a segment that is nowhere else")
        victim.sandbox.sql("select pg_switch_wal()")
    plan.write_text(victim.workspace.run("plan", "--to", "latest", "--json", check=True).stdout)
    victim.sandbox.sql("alter system set archive_command = 'true'; select pg_reload_conf()")
    victim.sandbox.sql("select pg_switch_wal()")
    status = victim.sandbox.data / "pg_wal/archive_status"
    wait_until(lambda: not list(status.glob("*.ready")), "what the server calls archived", 90)
    victim.workspace.run("restore", "--plan", str(plan), "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


def test_a_plan_after_an_abort_knows_what_the_stop_has_removed(any_victim: Source) -> None:
    victim = any_victim
    victim.sandbox.sql("alter system set archive_command = 'true'; select pg_reload_conf()")
    for _ in range(3):
        victim.log.mark("in a segment that is nowhere else")
        victim.sandbox.sql("select pg_switch_wal()")
    service, flag = held_in_its_stop(victim, is_stopped=True)
    victim.workspace.configure(replace(cluster_config(victim.sandbox), service=service))
    with ThreadPoolExecutor() as beside:
        run = beside.submit(victim.restore, "--to", "latest", check=False)
        wait_until(flag.exists, "the stop")
        abort = beside.submit(victim.workspace.run, "abort", "--yes")
        runs = victim.workspace.state / "runs"
        wait_until(lambda: any(runs.glob("*/abort-asked-by")), "the request to stop")
        time.sleep(0.5)  # its signal comes right behind
        flag.unlink()
        abort.result()
    assert finished(run.result())["state"] == "aborted"
    victim.workspace.configure(cluster_config(victim.sandbox))
    victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_a_plan_after_an_undo_knows_what_the_stop_has_removed(any_victim: Source) -> None:
    """It did not come back with the old data; what the server went on with is its own."""
    victim = any_victim
    victim.sandbox.sql("alter system set archive_command = 'true'; select pg_reload_conf()")
    for _ in range(3):
        victim.log.mark("in a segment that is nowhere else")
        victim.sandbox.sql("select pg_switch_wal()")
    victim.restore("--to", "latest")
    victim.workspace.run("undo", "--yes", check=True)
    victim.log.mark("after the undo")
    victim.restore("--to", "latest")
    assert victim.place.rows() == victim.log.expected("latest")


def stop_archiving(source: Source) -> None:
    """From now on nothing reaches the archive, as when its disk is full."""
    source.sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
