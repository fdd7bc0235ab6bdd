"""A tablespace whose location leads through a link, as after a move to another disk."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrescue.demo.processes import stop_servers_below
from tests.support.command import finished
from tests.support.places import Place, free_port
from tests.support.source import Source

pytestmark = pytest.mark.server


@pytest.mark.slow
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


def test_a_copy_that_somebody_starts_writes_into_nothing_of_the_cluster(any_victim: Source) -> None:
    """The set-aside one, to look at it; and after the undo the one that was restored."""
    victim, sandbox = any_victim, any_victim.sandbox
    sandbox.create_tablespace("fast")
    sandbox.sql("create table elsewhere tablespace fast as select generate_series(1, 9) n")
    victim.backup("with a tablespace", "-Ft", "-Xs")
    sandbox.sql("insert into elsewhere values (10)")
    sandbox.switch_wal()
    victim.restore("--to", "immediate", "--action", "promote")
    (aside,) = sandbox.directory.glob("data.pgrescue-*Z")
    assert written_by_hand(victim, aside) == ["10"]
    assert sandbox.sql("checkpoint; select count(*), sum(n) from elsewhere") == ["9|45"]
    victim.workspace.run("undo", "--yes", check=True)
    assert sandbox.sql("select count(*) from elsewhere") == ["11"], "with what was written by hand"
    (undone,) = sandbox.directory.glob("data.pgrescue-*-undone")
    assert written_by_hand(victim, undone) == ["9"]
    assert sandbox.sql("checkpoint; select count(*) from elsewhere") == ["11"]
    assert sandbox.sql(
        "select pg_tablespace_location(oid) from pg_tablespace where oid > 9999"
    ) == [str(sandbox.tablespaces / "fast")]
    victim.workspace.run("discard", "--yes", check=True)
    left = [path.name for path in (sandbox.tablespaces / "fast").iterdir()]
    assert len(left) == 1, left
    assert not [path for path in sandbox.data.rglob("*") if "pgrescue" in path.name]


def written_by_hand(source: Source, data: Path) -> list[str]:
    """How many rows a server shows that somebody starts on a copy, before it adds one."""
    copy = Place(data, source.sandbox)
    copy.start(f"port={free_port()}", "archive_mode=off")
    try:
        rows = copy.sql("select count(*) from elsewhere")
        copy.sql("update elsewhere set n = n + 1000; insert into elsewhere values (0); checkpoint")
    finally:
        stop_servers_below(data)
    return rows
