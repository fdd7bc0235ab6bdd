"""The server goes away in the middle, or the room: told as what it is, nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import stop_processes_with
from tests.support.backups import (
    BULK,
    everything,
    listed,
    start_backup,
    told,
    wait_until_half_way,
)
from tests.support.cluster import Workspace
from tests.support.command import Completed, finished
from tests.support.runs import journal
from tests.support.source import Source

pytestmark = pytest.mark.server

SLOWLY = ("--max-rate=16M", "--checkpoint=fast")
CUT = "select count(pg_terminate_backend(pid)) from pg_stat_activity where {which}"
SENDERS = "backend_type = 'walsender'"
FILES = f"{SENDERS} and query like 'BASE_BACKUP%'"
WAL = f"{SENDERS} and query like 'START_REPLICATION%'"


@pytest.fixture
def source(any_binaries: ServerBinaries, workspace: Workspace) -> Source:
    """A cluster that is worth a few seconds."""
    source = Source.make(workspace, any_binaries)
    source.sandbox.sql(BULK.format(9000))
    return source


def assert_lost(completed: Completed, root: Path, *words: str) -> None:
    """It failed part-way, says why, and has left nothing."""
    assert completed.returncode == 4
    last = finished(completed)
    assert (last["state"], last["step"], last["backup"]) == ("failed", "take", None)
    said = told(completed)
    for word in (*words, "Nothing of it is left", "pgrescue resume"):
        assert word in said, said
    assert everything(root) == []


@pytest.mark.parametrize("which", [FILES, pytest.param(WAL, marks=pytest.mark.slow)])
def test_connection_cut(source: Source, which: str) -> None:
    workspace, root = source.workspace, source.sandbox.backups
    run = start_backup(workspace, *SLOWLY)
    wait_until_half_way(workspace, run, root)
    assert source.sandbox.sql(CUT.format(which=which)) == ["1"]
    completed = workspace.run("attach", run, "--json")
    assert_lost(completed, root, "connection to the server was lost", "server's log")
    assert listed(workspace) == []
    workspace.run("resume", run, "--yes", check=True)
    assert len(listed(workspace)) == 1


@pytest.mark.slow
def test_server_killed(source: Source) -> None:
    workspace, root = source.workspace, source.sandbox.backups
    run = start_backup(workspace, *SLOWLY)
    wait_until_half_way(workspace, run, root)
    source.sandbox.crash()
    completed = workspace.run("attach", run, "--json")
    assert_lost(completed, root, "connection to the server was lost", "server's log")
    early = workspace.run("resume", run, "--yes", "--json")
    assert early.returncode == 4, "it is still down"
    assert "pgrescue resume" in told(early)
    assert everything(root) == []
    source.sandbox.start()
    workspace.run("resume", run, "--yes", check=True)
    (known,) = listed(workspace)
    assert known["usable"]


@pytest.fixture
def small(workspace: Workspace) -> Iterator[Path]:
    """A file system of 160 MiB for backups."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = workspace.path / "small"
    place.mkdir()
    command = ("mount", "-t", "tmpfs", "-o", "size=160m,mode=0777", "tmpfs", str(place))
    if subprocess.run(command, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        yield place
    finally:
        stop_processes_with("PGRESCUE_STATE", str(workspace.state))
        subprocess.run(("umount", str(place)), check=True)


def fill_up(path: Path) -> None:
    """Write until there is no room left, however fast others write meanwhile."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 20))
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise


@pytest.mark.slow
def test_disk_runs_full(small: Path, source: Source) -> None:
    """Somebody else takes the room that was there when the plan was made."""
    workspace = source.workspace
    run = start_backup(workspace, *SLOWLY, "--compress=none", f"--destination={small}")
    wait_until_half_way(workspace, run, small)
    filler = small / "somebody-elses"
    fill_up(filler)
    completed = workspace.run("attach", run, "--json")
    assert completed.returncode == 4
    said = told(completed)
    assert "There is no room left for the backup" in said
    assert "make room" in said
    assert everything(small) == ["somebody-elses"]
    filler.unlink()
    workspace.run("resume", run, "--yes", check=True)
    assert len(everything(small)) == 1
    notes = [one["message"] for one in journal(workspace, run) if one["event"] == "note"]
    assert any("The catalog does not look into" in note for note in notes)


def test_too_little_room_is_seen_beforehand(small: Path, source: Source) -> None:
    with (small / "filler").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, 130 << 20)
    completed = source.workspace.run("backup", "--yes", "--json", f"--destination={small}")
    assert completed.returncode == 3
    assert f"are needed in {small}" in told(completed)
    assert "make room" in told(completed)
    assert everything(small) == ["filler"]
