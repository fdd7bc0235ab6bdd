"""Who runs pgrescue: root, the cluster's owner, somebody else. The files end up the owner's."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.postgres.account import Account
from pgrescue.postgres.service import ServiceSpec
from tests.services.conftest import Stage
from tests.support.cluster import cluster_config
from tests.support.command import document, finished
from tests.support.files import differences, file_tree
from tests.support.people import plain_user, run_as, unavailable
from tests.support.places import free_port
from tests.support.refused import refused, unchanged

pytestmark = pytest.mark.server

REFUSED = 3


def _belongs_to(account: Account, place: Path, directories: int, files: int) -> None:
    """Everything below a place is that account's, with these modes."""
    for path, entry in file_tree(place).items():
        assert (entry.uid, entry.gid) == (account.uid, account.gid), path
        if entry.kind == "directory":
            assert entry.mode == directories, (path, oct(entry.mode))
        elif entry.kind == "file":
            wanted = 0o700 if path == "fetch-wal" else files
            assert entry.mode == wanted, (path, oct(entry.mode))


@pytest.fixture
def owner(stage: Stage) -> Account:
    """The cluster's owner, if it can run this source tree."""
    reason = unavailable(stage.sandbox.account)
    if reason is not None:
        pytest.skip(reason)
    # What a configuration's writer would do whose cluster is administered by its owner.
    os.chown(stage.workspace.config, stage.sandbox.account.uid, stage.sandbox.account.gid)
    return stage.sandbox.account


@pytest.fixture
def visitor(stage: Stage) -> Iterator[Account]:
    """An ordinary user who may read the configuration and nothing else."""
    if os.geteuid() != 0:
        pytest.skip("making an account needs root")
    with plain_user() as account:
        reason = unavailable(account)
        if reason is not None:
            pytest.skip(reason)
        stage.workspace.config.chmod(0o644)
        yield account


@pytest.mark.skipif(os.geteuid() != 0, reason="for root only")
@pytest.mark.parametrize(
    "group",
    [
        pytest.param(False, id="owner only"),
        pytest.param(True, id="group may read", marks=pytest.mark.slow),
    ],
)
def test_root_leaves_everything_to_the_owner(stage: Stage, group: bool) -> None:
    if group:
        for path in (stage.sandbox.data, *stage.sandbox.data.rglob("*")):
            path.chmod(path.stat().st_mode | (0o050 if path.is_dir() else 0o040))
        stage.sandbox.stop()
        stage.sandbox.start()
        stage.sandbox.base_backup("group", "-Ft")
        epoch = stage.log.mark("after the second backup")
        stage.log.mark("after that")
        stage.sandbox.switch_wal()
        options = stage.before(epoch.n + 1)
    else:
        options = stage.before(3)
    stage.workspace.run("restore", *options, check=True)
    stage.sandbox.stop()
    modes = (0o750, 0o640) if group else (0o700, 0o600)
    _belongs_to(stage.sandbox.account, stage.sandbox.data, *modes)
    (staging,) = stage.sandbox.directory.glob("data.pgrescue-*-wal")
    _belongs_to(stage.sandbox.account, staging, *modes)


@pytest.mark.skipif(os.geteuid() != 0, reason="for root only")
def test_what_is_made_on_the_way_to_a_tablespace_is_open_to_the_owner(stage: Stage) -> None:
    """As root with the umask of a careful administrator."""
    stage.sandbox.create_tablespace("fast")
    stage.sandbox.sql("create table elsewhere tablespace fast as select 1 n")
    stage.sandbox.base_backup("with a tablespace", "-Ft")
    clone = stage.sandbox.directory / "clone"
    before = os.umask(0o077)
    try:
        options = ("--into", str(clone), "--port", str(free_port()), "--to", "immediate")
        done = stage.workspace.run(
            "restore", *options, "--action", "promote", "--yes", "--json", check=True
        )
    finally:
        os.umask(before)
    assert finished(done)["state"] == "succeeded"
    made = Path(f"{clone}.tablespaces")
    assert (made.stat().st_uid, made.stat().st_mode & 0o777) == (stage.sandbox.account.uid, 0o700)


def test_owner_needs_no_root(stage: Stage, owner: Account) -> None:
    restored = run_as(owner, stage.workspace, "restore", *stage.before(3))
    assert restored.returncode == 0, restored.stderr
    assert finished(restored)["state"] == "succeeded"
    assert stage.log.rows_visible() == [1, 2]
    stage.sandbox.stop()
    _belongs_to(owner, stage.sandbox.data, 0o700, 0o600)
    assert run_as(owner, stage.workspace, "undo", "--yes").returncode == 0
    assert stage.log.rows_visible() == [1, 2, 3, 4]


def test_owner_who_may_not_write_beside_the_data(stage: Stage, owner: Account) -> None:
    """As below /var/lib on many systems: the old data is set aside inside its own directory."""
    stage.sandbox.stop()
    os.chown(stage.sandbox.directory, 0, 0)
    stage.sandbox.directory.chmod(0o755)
    before = file_tree(stage.sandbox.data)

    restored = run_as(owner, stage.workspace, "restore", *stage.before(3))
    assert restored.returncode == 0, restored.stderr
    aside = finished(restored)["set_aside"]
    assert Path(aside).is_relative_to(stage.sandbox.data)
    assert stage.log.rows_visible() == [1, 2]
    undone = run_as(owner, stage.workspace, "undo", "--yes", "--json")
    assert undone.returncode == 0, undone.stderr
    discarded = run_as(owner, stage.workspace, "discard", "--yes", "--json")
    assert discarded.returncode == 0, discarded.stderr
    assert differences(before, file_tree(stage.sandbox.data, (".pgrescue",))) == []


def test_nobody_else_may(stage: Stage, visitor: Account) -> None:
    with unchanged(stage.sandbox):
        completed = run_as(visitor, stage.workspace, "restore", "--yes", "--json")
    name = stage.sandbox.account.name
    refused(completed, REFUSED, f"belongs to {name}", visitor.name, f"as {name}", "sudo = true")


def test_nobody_else_may_even_with_readable_backups(stage: Stage, visitor: Account) -> None:
    for place in (stage.sandbox.backups, stage.sandbox.wal):
        for path in (place, *place.rglob("*")):
            path.chmod(0o755 if path.is_dir() else 0o644)
    stage.sandbox.directory.chmod(0o755)
    with unchanged(stage.sandbox):
        completed = run_as(visitor, stage.workspace, "restore", "--yes", "--json")
    told = refused(completed, REFUSED, "sudo = true")
    assert f"belongs to {stage.sandbox.account.name}" in told["title"]
    assert "no PostgreSQL data directory" not in told["title"] + told["cause"]


def test_owner_may_not_act_for_systemd(stage: Stage, owner: Account) -> None:
    service = ServiceSpec("systemd", unit="postgresql@15-main")
    stage.workspace.configure(replace(cluster_config(stage.sandbox), service=service))
    stage.workspace.config.chmod(0o644)
    with unchanged(stage.sandbox):
        completed = run_as(owner, stage.workspace, "restore", "--yes", "--json")
    refused(completed, REFUSED, "may not stop and start the unit postgresql@15-main", "sudo")


def test_catalog_says_what_it_may_not_read(stage: Stage, visitor: Account) -> None:
    stage.sandbox.directory.chmod(0o755)
    completed = run_as(visitor, stage.workspace, "catalog", "--json")
    assert completed.returncode == 0, completed.stderr
    place = document(completed)["backups"][0]
    assert not place["usable"]
    assert "Permission denied" in place["problems"][0]["message"]
