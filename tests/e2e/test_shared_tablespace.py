"""A copied data directory has links to the tablespaces of the cluster that it was copied from."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.support.cluster import cluster_config
from tests.support.places import Place, free_port
from tests.support.source import Source

pytestmark = pytest.mark.server
REFUSED = 3


def test_the_tablespace_of_a_running_server_is_not_set_aside(any_victim: Source) -> None:
    original, workspace = any_victim.sandbox, any_victim.workspace
    original.create_tablespace("ts")
    original.sql("create table apart tablespace ts as select 7 as n")
    original.stop()
    copy = original.directory / "copy"
    subprocess.run(["cp", "-a", original.data, copy], check=True)
    original.start()
    workspace.configure(replace(cluster_config(original), data_directory=copy))
    refused = workspace.run("restore", "--to", "latest", "--yes", "--json")
    assert refused.returncode == REFUSED
    assert "uses it, too" in refused.stderr
    assert original.sql("select n from apart") == ["7"]
    shutil.rmtree(copy)


def test_a_clone_does_not_replay_a_tablespace_that_came_after_its_plan(any_victim: Source) -> None:
    original, workspace = any_victim.sandbox, any_victim.workspace
    path, port = any_victim.clone_path(), free_port()
    planned = any_victim.log.expected("latest")
    reviewed = workspace.path / "reviewed.json"
    plan = workspace.run("plan", "--into", str(path), "--port", str(port), "--json", check=True)
    reviewed.write_text(plan.stdout)
    place = original.create_tablespace("later")
    original.sql("create table apart tablespace later as select 7 as n")
    any_victim.log.mark("after the plan")
    original.switch_wal()
    before = {file: file.stat().st_mtime_ns for file in place.rglob("*")}
    clone = Place(path, original)
    try:
        workspace.run("restore", "--plan", str(reviewed), "--yes", "--json", check=True)
        assert clone.rows() == planned, "what was archived when it was planned, to the last commit"
        assert not list((path / "pg_tblspc").iterdir())
        clone.sql("checkpoint")
        assert {file: file.stat().st_mtime_ns for file in place.rglob("*")} == before
        assert original.sql("select n from apart") == ["7"]
    finally:
        clone.remove()
