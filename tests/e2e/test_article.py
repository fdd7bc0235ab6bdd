"""`pg_basebackup -D DIR -Ft -z -Xs -P -c fast`, no WAL archive, a disaster, `pgrescue restore`."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import servers_below, wait_until
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import finished
from tests.support.source import Source

pytestmark = pytest.mark.server

ARTICLE = ("-Ft", "-z", "-Xs", "-P")
"""Added to `-D DIR -c fast`, which the sandbox always gives."""


@pytest.fixture
def source(server_binaries: ServerBinaries, workspace: Workspace) -> Source:
    """Two epochs in the backup, one after it, and nothing archived anywhere."""
    source = Source.make(workspace, server_binaries, settings={"archive_mode": "off"})
    workspace.configure(replace(cluster_config(source.sandbox), wal_archive=None))
    source.log.mark("in the backup")
    source.backup("nightly", *ARTICLE)
    source.log.mark("after the backup")
    return source


def delete_everything(source: Source) -> None:
    """The data directory is gone, name and all."""
    source.sandbox.crash()
    shutil.rmtree(source.sandbox.data)


def empty_directory(source: Source) -> None:
    """Somebody has emptied the data directory of a stopped server."""
    source.sandbox.stop()
    for entry in source.sandbox.data.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


def delete_under_the_running_server(source: Source) -> None:
    """`rm -rf` while the server runs."""
    shutil.rmtree(source.sandbox.data)


def damage_without_wal(source: Source) -> None:
    """A disk has lost the WAL, pg_control and half of the data."""
    source.sandbox.crash()
    for name in ("pg_wal", "global", "base/1"):
        shutil.rmtree(source.sandbox.data / name)


@pytest.mark.parametrize(
    "disaster",
    [delete_everything, empty_directory, delete_under_the_running_server, damage_without_wal],
)
def test_running_on_what_the_backup_held(
    source: Source, disaster: Callable[[Source], None]
) -> None:
    taken = source.backups["nightly"]
    disaster(source)
    last = finished(source.restore())
    assert last["state"] == "succeeded"
    assert last["error"] is None
    assert tuple(source.place.rows()) == taken.rows
    assert not source.place.in_recovery()
    source.log.branch(taken.rows).mark("the business goes on")
    assert source.place.rows() == [*taken.rows, 4]


@pytest.mark.parametrize("damaged", ["global/pg_control", "base/1", "PG_VERSION"])
def test_damaged_files_but_whole_wal_lose_nothing(source: Source, damaged: str) -> None:
    source.sandbox.crash()
    path = source.sandbox.data / damaged
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert finished(source.restore())["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.slow
def test_second_disaster_after_the_first_restore(source: Source) -> None:
    """Without an archive only the lost cluster's own pg_wal knows its second timeline."""
    source.sandbox.crash()
    source.restore()
    second = source.log.branch(source.place.rows())
    second.mark("after the first restore")
    source.sandbox.crash()
    shutil.rmtree(source.sandbox.data / "base")
    last = finished(source.restore())
    assert last["state"] == "succeeded"
    assert source.place.rows() == second.expected("latest") == [1, 2, 3, 4]


def test_nothing_but_the_backup_if_that_is_wanted(source: Source) -> None:
    source.sandbox.crash()
    source.restore("--to", "immediate", "--action", "promote")
    assert tuple(source.place.rows()) == source.backups["nightly"].rows
    source.workspace.run("undo", "--yes", check=True)
    assert source.place.rows() == source.log.expected("latest"), "recovered from its own crash"


def test_nobody_else_is_running_in_the_end(source: Source) -> None:
    source.sandbox.crash()
    source.restore()
    (root,) = {Path(f"/proc/{pid}/cwd").resolve() for pid in servers_below(source.sandbox.data)}
    assert root == source.sandbox.data
    source.sandbox.stop()
    wait_until(lambda: not servers_below(source.workspace.path), "the end of every server")
