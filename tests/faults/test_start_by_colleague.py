"""A half-restored directory cannot be started, and what is started is on disk."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.plan.model import Plan
from pgrescue.plan.work import combined_directory
from pgrescue.run.run_directory import RunDirectory
from tests.faults.faulty import created, make_chained, run_with, tried_starts
from tests.support.cluster import Workspace
from tests.support.command import command_environment
from tests.support.runs import status
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

CALLS = "syncfs,rename,fsync,execve"
_CALL = re.compile(r"^\d+\s+(\w+)\((.*)\) = 0")


@pytest.fixture
def chained(binaries_by_origin: dict[Origin, ServerBinaries], workspace: Workspace) -> Source:
    """A running cluster with a tablespace and a chain of two backups."""
    return make_chained(workspace, binaries_by_origin, "-Ft", tablespace=True)


def tried(source: Source, run: RunDirectory) -> list[dict[str, object]]:
    """What a colleague hears who tries `pg_ctl start` after each record of a run that goes well."""
    place = source.workspace.path / "tried"
    assert run_with(run, {"what": "try to start", "to": str(place)}) == 0
    assert status(source.workspace, run.id)["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")
    return tried_starts(place)


def test_nothing_starts_before_it_is_complete(victim: Source) -> None:
    starts = tried(victim, created(victim))
    assert {one["step"] for one in starts} == {
        "set_aside",
        "extract",
        "place_wal",
        "configure",
        "complete",
    }
    assert_refused(starts)
    filled = {one["step"] for one in starts if one["there"]}
    assert filled == {"extract", "place_wal", "configure", "complete"}


def assert_refused(starts: Sequence[dict[str, object]]) -> None:
    assert [one for one in starts if one["exit_code"] == 0] == []


@pytest.mark.slow
def test_nothing_starts_while_a_chain_is_combined(chained: Source) -> None:
    run = created(chained, "--backup", chained.id_of("increment"))
    plan = run.plan()
    assert isinstance(plan, Plan)
    combined = combined_directory(plan.work)
    starts = tried(chained, run)
    assert_refused(starts)
    ready = [one for one in starts if one["place"] == combined and one["event"] == "command_ended"]
    (said,) = [str(one["said"]) for one in ready]
    assert ready[0]["there"]
    assert "invalid permissions" in said
    chained.workspace.run("undo", run.id, "--yes", check=True)
    assert chained.place.sql("select n from elsewhere") == ["1"]


@pytest.mark.slow
@pytest.mark.parametrize("then", ["resume", pytest.param("undo", marks=pytest.mark.slow)])
def test_killed_while_a_chain_is_combined(chained: Source, then: str) -> None:
    workspace = chained.workspace
    run = created(chained, "--backup", chained.id_of("increment"))
    run_with(run, {"what": "die", "when": "before", "event": "command_ended", "word": "combine"})
    assert (status(workspace, run.id)["state"], status(workspace, run.id)["step"]) == (
        "interrupted",
        "combine",
    )
    plan = run.plan()
    assert isinstance(plan, Plan)
    for place in (chained.sandbox.data, Path(combined_directory(plan.work))):
        assert not starts_by_hand(chained, place)
    workspace.run(then, run.id, "--yes", check=True)
    assert chained.place.rows() == chained.log.expected("latest")
    assert chained.place.sql("select n from elsewhere") == ["1"]


def starts_by_hand(source: Source, place: Path) -> bool:
    """Whether `pg_ctl start` brings a server up there."""
    argv = (source.sandbox.binaries.program("pg_ctl"), "start", "-w", "-t", "5", "-D", str(place))
    tried = subprocess.run(
        argv, cwd="/", capture_output=True, check=False, **source.sandbox.account.spawn_arguments()
    )
    return tried.returncode == 0


@pytest.mark.slow
def test_everything_is_on_disk_before_the_server_starts(victim: Source) -> None:
    """By what the kernel was asked for, in this order."""
    strace = shutil.which("strace")
    if (
        strace is None
        or subprocess.run((strace, "-o", "/dev/null", "true"), check=False).returncode
    ):
        pytest.skip("strace cannot be used here")
    trace, target = victim.workspace.path / "trace", victim.log.epochs[1]
    # strace goes on as long as the server does.
    run = created(victim, "--to-xid", str(target.xid), "--action", "shutdown")
    argv = (strace, "-f", "-y", "-s", "4096", "-e", f"trace={CALLS}", "-o", str(trace))
    subprocess.run(
        (*argv, sys.executable, "-m", "pgrescue.run", str(run.path), "restore"),
        env=command_environment(victim.workspace.state),
        cwd="/",
        stdin=subprocess.DEVNULL,
        check=True,
        timeout=300,
    )
    assert status(victim.workspace, run.id)["state"] == "succeeded"
    calls = [
        found.groups() for line in trace.open(errors="replace") if (found := _CALL.match(line))
    ]
    data = os.path.realpath(victim.sandbox.data)
    control = f"{data}/global/pg_control"

    def position(call: str, *words: str, after: int = -1) -> int:
        """Of the first such call after a position."""
        for number, (name, arguments) in enumerate(calls):
            if number > after and name == call and all(word in arguments for word in words):
                return number
        raise AssertionError(f"no {call} with {words} after call {after}")

    configured = position("rename", f"{data}/postgresql.auto.conf")
    synced = position("syncfs", f"<{data}>", after=configured)
    placed = position("rename", f'"{control}"', after=synced)
    position("rename", f'"{control}"')
    settled = position("fsync", f"<{data}/global>", after=placed)
    started = position("execve", '"start"', data)
    assert placed == position("rename", f'"{control}"'), "it is put there once"
    assert started > settled
    tail = position("fsync", "-wal/tail>")
    moved = position("rename", f'"{data}", ')
    assert tail < moved, "what is rescued is on disk before the old data moves"
