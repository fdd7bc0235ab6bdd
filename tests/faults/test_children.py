"""Programs that a run starts die, or outlive it: none works unknown to the journal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.processes import exists, processes_with, wait_until
from pgrescue.postgres.postmaster import (
    find_postmaster,
    is_alive,
    process_title,
    server_processes,
    start_time,
)
from pgrescue.run.records import CommandBegan
from pgrescue.run.run_directory import RunDirectory
from pgrescue.survey.host import boot_id
from tests.faults.faulty import created, make_chained, run_with
from tests.support.cluster import Workspace
from tests.support.command import finished
from tests.support.runs import journal, status
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

OTHER_BOOT = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def chained(binaries_by_origin: dict[Origin, ServerBinaries], workspace: Workspace) -> Source:
    """A running cluster with an incremental backup upon a full one."""
    return make_chained(workspace, binaries_by_origin, "-Fp")


def test_a_program_that_is_not_in_the_journal_has_never_run(victim: Source) -> None:
    """The runner is killed between the start of pg_ctl and the record of it."""
    workspace, run = victim.workspace, created(victim)
    before = find_postmaster(victim.sandbox.data)
    run_with(run, {"what": "die", "when": "before", "event": "command_began"})
    assert [one for one in journal(workspace, run.id) if one["event"] == "command_began"] == []
    wait_until(lambda: not ours(workspace), "the end of what the runner had started")
    time.sleep(1)
    after = find_postmaster(victim.sandbox.data)
    assert before is not None
    assert after is not None
    assert after.pid == before.pid, "pg_ctl stop was not run"
    workspace.run("resume", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


def ours(workspace: Workspace) -> list[int]:
    """Whatever a runner has started, except servers."""
    return processes_with("PGRESCUE_STATE", str(workspace.state))


def test_a_program_that_cannot_be_recorded_does_not_run(victim: Source) -> None:
    """The record is refused, as by a full disk; the runner itself goes on to its end."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "deny", "when": "before", "event": "command_began"})
    assert "Read-only" in run.last_words()
    assert victim.place.is_running
    assert ours(workspace) == []


@pytest.mark.slow
def test_pg_combinebackup_that_outlives_its_runner_is_ended(chained: Source) -> None:
    workspace = chained.workspace
    run = created(chained, "--backup", chained.id_of("increment"))
    run_with(run, {"what": "die with the program held", "word": "pg_combinebackup"})
    tool = left_over(run)
    assert is_alive(tool.pid)
    workspace.run("resume", run.id, "--yes", check=True)
    assert not is_alive(tool.pid)
    assert chained.place.rows() == chained.log.expected("latest")


def left_over(run: RunDirectory) -> CommandBegan:
    """The one program that an ended runner has left behind."""
    (tool,) = run.state().tools
    return tool


@contextmanager
def stranger() -> Iterator[subprocess.Popen[bytes]]:
    """Somebody else's process, with a process group of its own."""
    process = subprocess.Popen(("sleep", "600"), start_new_session=True)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("rebooted", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_after_a_reboot_the_numbers_are_those_of_strangers(victim: Source, rebooted: bool) -> None:
    """A process with the very pid and start that were noted, which no other boot can know."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "extract"})
    with stranger() as process:
        records = journal(workspace, run.id)
        noted = {
            "event": "command_began",
            "step": "extract",
            "command": "pg_basebackup",
            "pid": process.pid,
            "process_start": start_time(process.pid),
            "seq": len(records) + 1,
            "at": None,
            "schema": 1,
        }
        text = run.journal_path.read_text() + json.dumps(noted) + "\n"
        run.journal_path.write_text(text.replace(boot_id(), OTHER_BOOT) if rebooted else text)
        workspace.run("resume", run.id, "--yes", check=True)
        assert (process.poll() is None) == rebooted
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_pg_combinebackup_is_ended_when_the_run_is_asked_to_stop(chained: Source) -> None:
    """It may take hours."""
    workspace = chained.workspace
    run = created(chained, "--backup", chained.id_of("increment"))
    fault = {"what": "ask to stop with the program held", "word": "pg_combinebackup"}
    run_with(run, fault)
    seen = status(workspace, run.id)
    assert (seen["state"], seen["step"]) == ("aborted", "combine")
    assert ours(workspace) == []
    workspace.run("resume", run.id, "--yes", check=True)
    assert chained.place.rows() == chained.log.expected("latest")


@pytest.mark.slow
def test_pg_combinebackup_is_killed(chained: Source) -> None:
    workspace = chained.workspace
    run = created(chained, "--backup", chained.id_of("increment"))
    run_with(run, {"what": "kill the program", "word": "pg_combinebackup"})
    seen = status(workspace, run.id)
    assert (seen["state"], seen["step"]) == ("failed", "combine")
    assert seen["error"]["title"] == "pg_combinebackup failed."
    assert not (chained.sandbox.data / "global" / "pg_control").exists()
    workspace.run("resume", run.id, "--yes", check=True)
    assert chained.place.rows() == chained.log.expected("latest")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["stop", "start"])
def test_pg_ctl_is_killed(victim: Source, step: str) -> None:
    """What it had asked for may have come about or not; going on settles it."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "kill the program", "word": f"pg_ctl {step}"})
    if status(workspace, run.id)["state"] != "succeeded":
        workspace.run("resume", run.id, "--yes", check=True)
    assert status(workspace, run.id)["state"] == "succeeded"
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
@pytest.mark.parametrize("whom", ["startup", pytest.param("postmaster", marks=pytest.mark.slow)])
def test_server_is_killed_while_it_waits_at_its_target(victim: Source, whom: str) -> None:
    """Going on starts it again, lets it recover to the same place, and promotes it."""
    workspace, data = victim.workspace, victim.sandbox.data
    before = victim.log.epochs[1]
    run = finished(victim.restore("--to-xid", str(before.xid)))["run"]
    assert status(workspace, run)["state"] == "waiting"
    postmaster = find_postmaster(data)
    assert postmaster is not None
    os.kill(startup_of(data) if whom == "startup" else postmaster.pid, signal.SIGKILL)
    wait_until(lambda: not server_processes(data), "the end of the server")
    wait_until(lambda: not exists(postmaster.pid), "the reaping of the postmaster")
    workspace.run("resume", run, "--yes", check=True)
    assert victim.place.rows() == [1, 2]
    assert not victim.place.in_recovery()


def startup_of(data: Path) -> int:
    """The process of the server there that recovers."""
    (found,) = [pid for pid in server_processes(data) if "startup" in process_title(pid)]
    return found
