"""A standby spares its primary the reading; what comes of it restores like any other."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace

import pytest

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from tests.support.backups import (
    BULK,
    ask,
    entry,
    everything,
    preflight,
    start_backup,
    take,
    told,
    verified,
    wait_until_half_way,
)
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import finished
from tests.support.runs import journal
from tests.support.source import Source

pytestmark = pytest.mark.server


@pytest.fixture(
    scope="module",
    params=[
        "embedded",
        pytest.param("installed", marks=pytest.mark.slow),
    ],
)
def source(
    request: pytest.FixtureRequest, binaries_by_origin: dict[Origin, ServerBinaries]
) -> Iterator[Source]:
    """A primary whose rows a standby has."""
    if request.param not in binaries_by_origin:
        pytest.skip(f"there are no {request.param} PostgreSQL server binaries here")
    workspace = Workspace.make()
    try:
        source = Source.make(workspace, binaries_by_origin[request.param], name="primary")
        source.sandbox.sql(BULK.format(2000))
        yield source
    finally:
        workspace.destroy()


@pytest.fixture(scope="module")
def standby(source: Source) -> Sandbox:
    """Its standby, which streams."""
    primary = source.sandbox
    standby = source.workspace.sandbox(primary.binaries, "standby")
    standby.init()
    shutil.rmtree(standby.data)
    program = primary.binaries.program("pg_basebackup")
    options = ("-D", str(standby.data), "-d", primary.conninfo(), "-R", "-c", "fast")
    run_tool(standby.account, (program, *options), cwd=standby.directory)
    where = standby.endpoint
    with (standby.data / "postgresql.conf").open("a") as configuration:
        configuration.write(
            f"port = {where.port}\nunix_socket_directories = '{where.socket_directory}'\n"
        )
    standby.start()
    return standby


def caught_up(source: Source, standby: Sandbox) -> None:
    """Wait until the standby shows the primary's last row."""
    rows = source.log.expected("latest")
    wait_until(lambda: source.log.rows_visible(standby.conninfo()) == rows, "the standby's rows")


def option(standby: Sandbox) -> str:
    """How the standby is named on the command line."""
    where = standby.endpoint
    return f"--source=host={where.socket_directory} port={where.port} user=postgres"


@pytest.mark.parametrize("form", ["tar", pytest.param("plain", marks=pytest.mark.slow)])
def test_backup_of_a_standby(source: Source, standby: Sandbox, form: str) -> None:
    source.log.mark("streamed")
    caught_up(source, standby)
    taken = take(source.workspace, option(standby), f"--format={form}")
    known = entry(source.workspace, taken.id)
    assert (known["usable"], known["kind"]) == (True, "full")
    assert verified(source.workspace, taken.id)["ok"]
    run = finished(taken.completed)["run"]
    notes = [one["message"] for one in journal(source.workspace, run) if one["event"] == "note"]
    assert not any("has not arrived" in note for note in notes), "a standby archives nothing"
    assert not any("not archived" in note for note in notes), "its primary does"
    source.log.mark("after")
    source.sandbox.switch_wal()
    with source.clone("--backup", taken.id) as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == source.log.expected("latest")
        assert clone.sql("select count(*) from bulk") == ["2000"]


def test_it_is_told_that_it_is_a_standby(source: Source, standby: Sandbox) -> None:
    found = preflight(source.workspace, option(standby))
    assert "a standby" in found["source.version"]["message"]
    assert "source.cluster" not in found, "it is the same cluster"
    assert found["server.archiving"]["status"] == "ok"
    without = ask(source.workspace, option(standby), "--wal-method=none")
    assert without.returncode == 3
    assert "could never be restored" in told(without)


@pytest.mark.slow
def test_cluster_that_is_a_standby_itself(source: Source, standby: Sandbox) -> None:
    """Configured as a cluster of its own, on the machine that has the standby only."""
    workspace = source.workspace
    os.chown(standby.backups, standby.account.uid, standby.account.gid)
    configured = replace(cluster_config(standby, "standby"), wal_archive=None)
    workspace.configure(cluster_config(source.sandbox), configured)
    try:
        caught_up(source, standby)
        run = ("--cluster", "standby", "backup", "--yes", "--json")
        last = finished(workspace.run(*run, check=True))
        assert last["backup"]["verified"]
        assert len(everything(standby.backups)) == 1
    finally:
        workspace.configure(cluster_config(source.sandbox))


def test_standby_that_is_promoted_meanwhile(source: Source, standby: Sandbox) -> None:
    """Last, for it ends the standby: the backup would be invalid, and says so."""
    before = everything(source.sandbox.backups)
    run = start_backup(source.workspace, option(standby), "--max-rate=8M", "--checkpoint=fast")
    wait_until_half_way(source.workspace, run, source.sandbox.backups)
    standby.sql("select pg_promote()")
    completed = source.workspace.run("attach", run, "--json")
    assert completed.returncode == 4
    assert "changed while it was backed up" in told(completed)
    assert "take it again" in told(completed)
    assert everything(source.sandbox.backups) == before
