"""A real Debian cluster: configuration outside the data directory, run by pg_ctlcluster."""

from __future__ import annotations

import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support import debian
from tests.support.cluster import Workspace
from tests.support.command import document, finished
from tests.support.debian import DebianSandbox
from tests.support.epochs import EpochLog
from tests.support.files import differences, file_tree
from tests.support.places import free_port

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(debian.unavailable() is not None, reason=str(debian.unavailable())),
]


@dataclass(frozen=True, slots=True)
class Debian:
    """A running Debian cluster with a backup, four epochs and a configuration of pgrescue."""

    workspace: Workspace
    cluster: DebianSandbox
    log: EpochLog


@pytest.fixture
def debian_cluster(binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Debian]:
    """One for each test, dropped at its end."""
    if "installed" not in binaries_by_origin:
        pytest.skip("there are no installed server binaries")
    workspace = Workspace.make()
    try:
        cluster = DebianSandbox(workspace.path / "debian", binaries_by_origin["installed"])
        workspace.sandboxes.append(cluster)
        # More connections than the default: recovery insists on as many, in /etc or elsewhere.
        cluster.init(segment_size_mb=1, settings={"max_connections": "120"})
        cluster.start()
        log = EpochLog(cluster)
        log.mark("before the backup")
        cluster.base_backup("full", "-Ft", "-z")
        for note in ("first", "second", "third"):
            log.mark(note)
        cluster.switch_wal()
        workspace.configure(cluster.cluster_config("main"))
        yield Debian(workspace, cluster, log)
    finally:
        workspace.destroy()


def test_back_and_forth_in_place(debian_cluster: Debian) -> None:
    workspace, cluster, log = debian_cluster.workspace, debian_cluster.cluster, debian_cluster.log
    configuration = file_tree(cluster.configuration)

    before = str(log.epochs[2].xid)
    restored = workspace.run("restore", "--before-xid", before, "--yes", "--json", check=True)
    assert finished(restored)["state"] == "waiting"
    assert cluster.status() == "online,recovery"
    assert log.rows_visible() == [1, 2]
    workspace.run("resume", "--yes", check=True)
    assert cluster.status() == "online"
    assert log.rows_visible() == [1, 2]
    assert cluster.sql("show config_file") == [f"{cluster.configuration}/postgresql.conf"]
    left = "select name from pg_file_settings where name ~ '^recovery_target|^restore_command'"
    assert cluster.sql(left) == []
    assert stat.S_IMODE(cluster.data.stat().st_mode) == 0o700
    assert cluster.data.owner() == cluster.account.name

    workspace.run("undo", "--yes", check=True)
    assert cluster.status() == "online"
    assert log.rows_visible() == [1, 2, 3, 4]

    workspace.run("restore", "--to", "latest", "--yes", check=True)
    assert cluster.status() == "online"
    assert log.rows_visible() == [1, 2, 3, 4]
    assert not cluster.switch_wal().startswith("00000001"), "a timeline of its own"
    assert differences(configuration, file_tree(cluster.configuration)) == []


def test_data_directory_is_gone(debian_cluster: Debian) -> None:
    workspace, cluster, log = debian_cluster.workspace, debian_cluster.cluster, debian_cluster.log
    cluster.crash()
    shutil.rmtree(cluster.data)
    target = ("--to-xid", str(log.epochs[1].xid), "--action", "promote")
    restored = workspace.run("restore", *target, "--yes", "--json", check=True)
    assert finished(restored)["reached"]["xid"] == log.epochs[1].xid
    assert cluster.status() == "online"
    assert log.rows_visible() == [1, 2]
    assert cluster.data.owner() == cluster.account.name


@pytest.mark.slow
def test_clone_of_a_backup_without_configuration(debian_cluster: Debian) -> None:
    workspace, cluster, log = debian_cluster.workspace, debian_cluster.cluster, debian_cluster.log
    _plan_names_the_service(workspace, cluster)
    clone, port = workspace.path / "clone", free_port()
    options = ("--into", str(clone), "--port", str(port), "--to-xid", str(log.epochs[2].xid))
    workspace.run("restore", *options, "--action", "promote", "--yes", check=True)

    where = f"host={clone} port={port} user=postgres dbname=postgres"
    assert log.rows_visible(where) == [1, 2, 3]
    assert log.rows_visible() == [1, 2, 3, 4]
    assert cluster.status() == "online"
    shown = "select name, setting from pg_settings where name in ({}) order by 1"
    names = "'archive_mode', 'config_file', 'listen_addresses'"
    assert cluster.sql_at(where, shown.format(names)) == [
        "archive_mode|off",
        f"config_file|{clone}/postgresql.conf",
        "listen_addresses|127.0.0.1",
    ]
    for name in ("postgresql.conf", "pg_hba.conf", "pg_ident.conf"):
        assert (clone / name).owner() == cluster.account.name

    workspace.run("undo", "--yes", check=True)
    assert not clone.exists()
    assert log.rows_visible() == [1, 2, 3, 4]


def _plan_names_the_service(workspace: Workspace, cluster: DebianSandbox) -> None:
    """A plan for the cluster itself has its service's commands, its log and its configuration."""
    plan = document(workspace.run("plan", "--json", check=True))
    assert plan["work"]["log"] == str(cluster.log)
    commands = [line for step in plan["steps"] for line in step["commands"]]
    for verb in ("stop -m fast", "start"):
        told = f"pg_ctlcluster {cluster.version} {cluster.name} {verb}"
        assert any(told in line for line in commands), commands
    assert Path(plan["work"]["config_directory"]) == cluster.configuration
