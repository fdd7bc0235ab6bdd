"""A tablespace whose location leads through a link, as after a move to another disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.command import finished
from tests.support.source import Source

pytestmark = pytest.mark.server


def test_undone_and_discarded_as_any_other(any_victim: Source) -> None:
    victim, sandbox = any_victim, any_victim.sandbox
    disk = sandbox.directory / "disk"
    disk.mkdir()
    (disk / "fast").mkdir(mode=0o700)
    for path in (disk, disk / "fast"):
        os.chown(path, sandbox.account.uid, sandbox.account.gid)
    alias = sandbox.tablespaces / "alias"
    alias.symlink_to(disk)
    sandbox.sql(f"create tablespace fast location '{alias}/fast'")
    sandbox.sql("create table elsewhere tablespace fast as select generate_series(1, 9) n")
    victim.backup("with a tablespace", "-Ft", "-Xs")
    sandbox.sql("insert into elsewhere values (10)")
    sandbox.switch_wal()
    assert finished(victim.restore("--to", "immediate", "--action", "promote"))["state"] == (
        "succeeded"
    )
    assert sandbox.sql(
        "select pg_tablespace_location(oid) from pg_tablespace where oid > 9999"
    ) == [f"{alias}/fast"]
    assert sandbox.sql("select count(*) from elsewhere") == ["9"]
    undone = finished(victim.workspace.run("undo", "--yes", "--json"))
    assert (undone["state"], undone["error"]) == ("undone", None)
    assert sandbox.sql("select count(*) from elsewhere") == ["10"]
    victim.workspace.run("discard", "--yes", check=True)
    assert sandbox.sql("select count(*) from elsewhere") == ["10"]
    left = [path.name for path in (*Path(disk / "fast").iterdir(), *sandbox.directory.iterdir())]
    assert not [name for name in left if "pgrescue" in name]
