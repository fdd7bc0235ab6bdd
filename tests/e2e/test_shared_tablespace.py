"""A copied data directory has links to the tablespaces of the cluster that it was copied from."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import pytest

from tests.support.cluster import cluster_config
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
