"""Having a real server archive, and trying whether it does."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document

pytestmark = pytest.mark.server
REFUSED = 3


@pytest.fixture
def quiet(any_binaries: ServerBinaries, workspace: Workspace) -> Workspace:
    """A running server that archives nothing, and a directory that it could archive into."""
    sandbox = workspace.sandbox(any_binaries)
    sandbox.init(1, settings={"archive_command": "", "archive_mode": "on"})
    sandbox.start()
    workspace.configure(cluster_config(sandbox))
    return workspace


def finding(workspace: Workspace) -> dict[str, str]:
    """What trying has shown."""
    found = document(workspace.run("doctor", "--test-archiving", "--json"))["findings"]
    tried: dict[str, str] = found[-1]
    assert tried["code"] == "archive.test"
    return tried


def test_nothing_is_changed_without_a_confirmation(quiet: Workspace) -> None:
    (sandbox,) = quiet.sandboxes
    shown = quiet.run("init", "--archive", "--dry-run", "--json", check=True)
    assert document(shown)["applied"] is False
    assert "-archive_command = ''" in shown.stderr
    assert "+archive_command = 'set -- " in shown.stderr
    refused = quiet.run("init", "--archive", "--json")
    assert refused.returncode == REFUSED
    assert sandbox.sql("show archive_command") == [""]


def test_the_proposed_command_archives(quiet: Workspace) -> None:
    (sandbox,) = quiet.sandboxes
    applied = document(quiet.run("init", "--archive", "--yes", "--json", check=True))
    assert applied["applied"] is True
    assert applied["restart_needed"] is False
    tried = finding(quiet)
    assert tried["status"] == "ok"
    assert "arrived" in tried["message"]
    assert any(sandbox.wal.iterdir())
    again = document(quiet.run("init", "--archive", "--yes", "--json", check=True))
    assert again["changes"] == []


def test_a_file_that_was_there_before_is_no_proof(quiet: Workspace) -> None:
    (sandbox,) = quiet.sandboxes
    sandbox.sql("create table t as select 1 as n")
    (name,) = sandbox.sql("select pg_walfile_name(pg_current_wal_lsn())")
    shutil.copy(sandbox.data / "pg_wal" / name, sandbox.wal / name)
    tried = finding(quiet)
    assert tried["status"] == "blocker"
    assert name in tried["message"]


def test_a_trial_that_cannot_be_made_is_a_failure(quiet: Workspace) -> None:
    (sandbox,) = quiet.sandboxes
    quiet.configure(replace(cluster_config(sandbox), conninfo="user=nobody_here"))
    assert finding(quiet)["status"] == "blocker"
    quiet.configure(cluster_config(sandbox))
    sandbox.stop()
    assert finding(quiet)["status"] == "blocker"


def test_a_place_for_the_archive_is_the_clusters_own_and_outside_it(
    quiet: Workspace, any_binaries: ServerBinaries
) -> None:
    (sandbox,) = quiet.sandboxes
    inside, link = sandbox.data / "wal-archive", quiet.path / "looks-outside"
    inside.mkdir()
    os.chown(inside, sandbox.account.uid, sandbox.account.gid)
    link.symlink_to(inside)
    other = quiet.sandbox(any_binaries, "other")
    other.init(1)
    other.start()
    other.sql("create table t as select 1 as n")
    other.switch_wal()
    wait_until(lambda: any(other.wal.iterdir()), "the other cluster's WAL")
    for place, why in ((inside, "inside"), (link, "inside"), (other.wal, "another cluster")):
        for how in ("--yes", "--receivewal"):
            refused = quiet.run("init", "--archive", str(place), how, "--json")
            assert refused.returncode == REFUSED
            assert why in refused.stderr
    assert sandbox.sql("show archive_command") == [""]


@pytest.mark.slow
def test_what_needs_a_restart_is_said(any_binaries: ServerBinaries, workspace: Workspace) -> None:
    sandbox = workspace.sandbox(any_binaries)
    sandbox.init(1, settings={"archive_mode": "off", "archive_command": ""})
    sandbox.start()
    workspace.configure(cluster_config(sandbox))
    applied = workspace.run("init", "--archive", "--yes", "--json", check=True)
    assert document(applied)["restart_needed"] is True
    assert "restart" in applied.stderr
    sandbox.stop()
    sandbox.start()
    assert finding(workspace)["status"] == "ok"


def test_a_directory_that_is_not_there_is_refused(quiet: Workspace) -> None:
    refused = quiet.run("init", "--archive", "/nonexistent/wal", "--yes", "--json")
    assert refused.returncode == REFUSED
    assert "install -d" in refused.stderr


def test_a_unit_for_pg_receivewal_names_the_servers_own_address(quiet: Workspace) -> None:
    (sandbox,) = quiet.sandboxes
    unit = document(quiet.run("init", "--archive", "--receivewal", "--json", check=True))["unit"]
    assert f"port={sandbox.endpoint.port}" in unit
    assert json.dumps(str(sandbox.wal))[1:-1] in unit
