"""Runs whose runner something happens to, and what a careful DBA sees of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.run.plan_file import load_plan
from pgrescue.run.records import Purpose
from pgrescue.run.run_directory import RunDirectory, create_run
from tests.support.cluster import Workspace
from tests.support.command import command_environment, document
from tests.support.source import Source

QUIET = {"autovacuum": "off", "checkpoint_timeout": "1h"}

Fault = Mapping[str, object]
"""What happens to a runner, and when: see `faulty_runner`."""


def make_victim(workspace: Workspace, binaries: ServerBinaries) -> Source:
    """A running cluster with a tar backup amid its epochs, all archived but the last."""
    source = Source.make(workspace, binaries, settings=QUIET)
    source.backup("nightly", "-Ft", "-z", "-Xs")
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    source.log.mark("only in pg_wal")
    return source


def make_chained(
    workspace: Workspace,
    binaries_by_origin: Mapping[Origin, ServerBinaries],
    form: str,
    *,
    tablespace: bool = False,
) -> Source:
    """A running cluster with a full backup of that form and an increment upon it."""
    newest = max(binaries_by_origin.values(), key=lambda binaries: binaries.major)
    if newest.major < 17:
        pytest.skip("incremental backups came with PostgreSQL 17")
    source = Source.make(workspace, newest, settings={**QUIET, "summarize_wal": "on"})
    if tablespace:
        source.sandbox.create_tablespace("fast")
        source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    full = source.backup("full", form).path
    source.log.mark("between the backups")
    source.backup("increment", form, f"--incremental={full}/backup_manifest")
    source.log.mark("after the backups")
    source.sandbox.switch_wal()
    return source


@contextmanager
def state_of(workspace: Workspace) -> Iterator[None]:
    """In this process, too, the workspace's state directory is the one."""
    before = os.environ.get("PGRESCUE_STATE")
    os.environ["PGRESCUE_STATE"] = str(workspace.state)
    try:
        yield
    finally:
        del os.environ["PGRESCUE_STATE"]
        if before is not None:
            os.environ["PGRESCUE_STATE"] = before


def created(source: Source, *options: str) -> RunDirectory:
    """A run of a restore that nobody has started yet."""
    workspace = source.workspace
    plan = document(workspace.run("plan", *options, "--json", check=True))
    with state_of(workspace):
        return create_run(load_plan(workspace.state / "plans" / f"{plan['id']}.json"))


def run_with(run: RunDirectory, fault: Fault | None, purpose: Purpose = "restore") -> int:
    """Run its runner to the end, whichever that is; returns the exit code.

    What it says beside its journal goes where a launched runner's would.
    """
    state = run.path.parent.parent
    faulty = () if fault is None else ("tests.faults.faulty_runner", json.dumps(fault))
    program = (sys.executable, "-m", *(faulty or ("pgrescue.run",)))
    with run.runner_errors.open("wb") as errors:
        return subprocess.run(
            (*program, str(run.path), purpose),
            env=command_environment(state),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            start_new_session=True,
            timeout=120,
            check=False,
        ).returncode


def tried_starts(path: Path) -> list[dict[str, object]]:
    """What a colleague was told."""
    return [json.loads(line) for line in path.read_text().splitlines()]
