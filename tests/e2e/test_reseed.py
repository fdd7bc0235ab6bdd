"""A broken standby, or an empty directory, filled from a live server on the same machine."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.processes import stop_servers_below, wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.service import ServiceSpec
from tests.support.cluster import cluster_config
from tests.support.command import Completed, document, finished, run_pgrescue
from tests.support.runs import journal, kill_runner, status, wait_for_end, wait_for_step
from tests.support.source import Source

pytestmark = pytest.mark.server

USAGE, REFUSED, STEP_FAILED = 2, 3, 4
BULK = """
create table bulk as
select n, repeat(md5(n::text), 30) as text from generate_series(1, 50000) n
"""


@dataclass(slots=True)
class Pair:
    """A primary, and the place of its standby, which the configuration names."""

    source: Source
    standby: Sandbox

    @property
    def conninfo(self) -> str:
        """How pgrescue is told to reach the primary."""
        parts = self.source.sandbox.conninfo("postgres").split()
        return " ".join(part for part in parts if not part.startswith("dbname"))

    def reseed(self, *options: str, source: str | None = None) -> Completed:
        """Run it."""
        named = ("--source", source or self.conninfo)
        return self.source.workspace.run("reseed", *named, "--checkpoint", "fast", *options)

    def break_it(self) -> None:
        """The standby dies and loses files."""
        self.standby.crash()
        shutil.rmtree(self.standby.data / "base" / "1")

    def rows(self) -> list[int]:
        """What the standby has of the epochs."""
        return [int(row) for row in self.standby.sql("select n from epochs order by n")]

    def follows(self) -> bool:
        """Whether what is committed at the primary arrives."""
        epoch = self.source.log.mark("after the standby was filled")
        wait_until(lambda: epoch.n in self.rows(), "the arrival of a commit")
        return self.standby.sql("select pg_is_in_recovery()") == ["t"]


@pytest.fixture
def pair(any_victim: Source) -> Iterator[Pair]:
    """A primary with a standby that runs."""
    primary, workspace = any_victim.sandbox, any_victim.workspace
    standby = workspace.sandbox(primary.binaries, "standby")
    standby.directory.mkdir(mode=0o755)
    os.chown(standby.directory, primary.account.uid, primary.account.gid)
    taken = primary.base_backup("for-the-standby", "-R", "-Xs", "-Fp")
    taken.rename(standby.data)
    with (standby.data / "postgresql.conf").open("a") as configuration:
        configuration.write(f"port = {standby.endpoint.port}\n")
        configuration.write(f"unix_socket_directories = '{standby.endpoint.socket_directory}'\n")
    standby.start()
    workspace.configure(replace(cluster_config(standby), backups=(), wal_archive=None))
    yield Pair(any_victim, standby)
    stop_servers_below(standby.directory)


def test_a_broken_standby_is_filled_again_and_follows(pair: Pair) -> None:
    pair.break_it()
    pair.source.log.mark("while the standby was down")
    last = finished(pair.reseed("--yes", "--json"))
    assert last["state"] == "succeeded"
    assert pair.rows() == pair.source.log.expected("latest")
    assert pair.follows()
    own = (pair.standby.data / "postgresql.conf").read_text()
    assert f"port = {pair.standby.endpoint.port}" in own
    assert "application_name" not in (pair.standby.data / "postgresql.auto.conf").read_text()


def test_what_it_has_beside_its_configuration_stays_and_a_password_may_be_in_the_environment(
    pair: Pair,
) -> None:
    primary, standby, workspace = pair.source.sandbox, pair.standby, pair.source.workspace
    primary.sql(
        "set password_encryption = 'scram-sha-256'; "
        "create role filler superuser replication login password 'TOPSECRET'; "
        "alter system set listen_addresses = '127.0.0.1'"
    )
    rules = primary.data / "pg_hba.conf"
    rules.write_text(f"host all,replication filler all scram-sha-256\n{rules.read_text()}")
    primary.stop()
    primary.start()
    included, outside = standby.data / "conf.d", standby.directory / "outside.conf"
    included.mkdir()
    (included / "own.conf").write_text("work_mem = '7MB'\n")
    outside.write_text("maintenance_work_mem = '77MB'\n")
    (included / "outside.conf").symlink_to(outside)
    with (standby.data / "postgresql.conf").open("a") as configuration:
        configuration.write("include_dir = 'conf.d'\n")
    with (standby.data / "postgresql.auto.conf").open("a") as configuration:
        configuration.write("recovery_target_lsn = '0/1000000'\n")
    for path in (included, *included.iterdir()):
        os.chown(path, standby.account.uid, standby.account.gid, follow_symlinks=False)
    pair.break_it()
    source = f"host=127.0.0.1 port={primary.endpoint.port} user=filler"
    asked = ("reseed", "--source", source, "--checkpoint", "fast", "--yes", "--json")
    password = {"PGPASSWORD": "TOPSECRET"}
    run = run_pgrescue(*asked, config=workspace.config, state=workspace.state, env=password)
    last = finished(run)
    assert last["state"] == "succeeded"
    assert standby.sql("select current_setting('work_mem')") == ["7MB"]
    assert standby.sql("select current_setting('maintenance_work_mem')") == ["77MB"]
    assert (included / "outside.conf").is_symlink()
    assert "recovery_target" not in (standby.data / "postgresql.auto.conf").read_text()
    assert pair.follows()
    (server, *_) = (standby.data / "postmaster.pid").read_text().split()
    assert b"TOPSECRET" not in Path("/proc", server, "environ").read_bytes()
    kept = [path for path in workspace.state.rglob("*") if path.is_file()]
    assert not [path for path in kept if b"TOPSECRET" in path.read_bytes()]


def test_undo_puts_the_old_standby_back_and_discard_deletes_it(pair: Pair) -> None:
    control = (pair.standby.data / "PG_VERSION").stat().st_ino
    finished(pair.reseed("--yes", "--json"))
    workspace = pair.source.workspace
    assert finished(workspace.run("undo", "--yes", "--json"))["state"] == "undone"
    assert (pair.standby.data / "PG_VERSION").stat().st_ino == control
    wait_until(pair.standby.is_running, "the old standby")
    last = finished(workspace.run("discard", "--yes", "--json"))
    assert last["state"] == "undone"
    names = [path.name for path in pair.standby.directory.iterdir()]
    assert not [name for name in names if "pgrescue" in name]


@pytest.mark.slow
def test_an_empty_place_is_filled(pair: Pair) -> None:
    pair.standby.stop()
    shutil.rmtree(pair.standby.data)
    service = by_command(pair.standby)
    known = replace(cluster_config(pair.standby), backups=(), wal_archive=None, service=service)
    pair.source.workspace.configure(with_owner(known, pair.standby))
    last = finished(pair.reseed("--slot", "standby1", "--create-slot", "--yes", "--json"))
    assert last["state"] == "succeeded"
    assert pair.follows()
    slots = "select slot_name, active from pg_replication_slots where not temporary"
    assert pair.source.sandbox.sql(slots) == ["standby1|t"]


@pytest.mark.slow
def test_a_tablespace_of_the_source_on_this_machine_is_not_touched(pair: Pair) -> None:
    location = pair.source.sandbox.create_tablespace("ts")
    pair.source.sandbox.sql(
        "create table apart (n int) tablespace ts; insert into apart values (7)"
    )
    pair.source.log.mark("seen by the standby, which has made a link to the same place")
    wait_until(lambda: pair.rows() == pair.source.log.expected("latest"), "the standby")
    pair.break_it()
    refused = pair.reseed("--yes", "--json")
    assert refused.returncode == REFUSED
    assert "uses it, too" in refused.stderr
    for link in (pair.standby.data / "pg_tblspc").iterdir():
        link.unlink()
    refused = pair.reseed("--yes", "--json")
    assert refused.returncode == REFUSED
    assert "--tablespace" in refused.stderr
    assert pair.source.sandbox.sql("select n from apart") == ["7"]
    elsewhere = pair.standby.directory / "ts"
    elsewhere.mkdir()
    os.chown(elsewhere, pair.standby.account.uid, pair.standby.account.gid)
    mapped = ("--tablespace", f"{location}={elsewhere}")
    assert finished(pair.reseed(*mapped, "--yes", "--json"))["state"] == "succeeded"
    assert pair.standby.sql("select n from apart") == ["7"]
    assert pair.standby.sql(
        "select pg_tablespace_location(oid) from pg_tablespace where spcname = 'ts'"
    ) == [str(elsewhere)]
    assert pair.follows()


@pytest.mark.slow
def test_a_slot_is_made_once_and_goes_with_the_undo(pair: Pair) -> None:
    pair.source.sandbox.sql(BULK)
    workspace, slot = pair.source.workspace, ("--slot", "standby1", "--create-slot")
    listed = "select slot_name from pg_replication_slots where not temporary"
    run = started(pair.reseed(*slot, "--max-rate", "8M", "--yes", "--json", "--detach"))
    wait_until(lambda: receiving(pair, run), "the first bytes")
    workspace.run("abort", run, "--yes", check=True)
    assert pair.source.sandbox.sql(listed) == ["standby1"]
    last = finished(workspace.run("resume", run, "--yes", "--json", check=True))
    assert last["state"] == "succeeded"
    assert any("keeps WAL" in note for note in last["notes"])
    assert pair.source.sandbox.sql(f"{listed} and active") == ["standby1"]
    assert pair.reseed(*slot, "--yes").returncode == REFUSED, "there is one of that name by now"
    assert finished(workspace.run("undo", run, "--yes", "--json"))["state"] == "undone"
    assert pair.source.sandbox.sql(listed) == []


@pytest.mark.slow
def test_a_linked_pg_wal_stays_where_it_was(pair: Pair) -> None:
    pair.standby.stop()
    inside, elsewhere = pair.standby.data / "pg_wal", pair.standby.directory / "wal-disk"
    inside.rename(elsewhere)
    inside.symlink_to(elsewhere)
    pair.standby.start()
    pair.break_it()
    workspace = pair.source.workspace
    assert finished(pair.reseed("--yes", "--json"))["state"] == "succeeded"
    assert inside.readlink() == elsewhere
    assert {path.owner() for path in elsewhere.iterdir()} == {pair.standby.account.name}
    assert pair.follows()
    assert finished(workspace.run("undo", "--yes", "--json"))["state"] == "undone"
    assert inside.readlink() == elsewhere
    assert any(elsewhere.iterdir())


def test_what_makes_no_sense_is_refused(pair: Pair) -> None:
    parts = pair.standby.conninfo("postgres").split()
    own = " ".join(part for part in parts if not part.startswith("dbname"))
    itself = pair.reseed("--yes", source=own)
    assert itself.returncode == REFUSED
    assert "very server" in itself.stderr
    assert pair.reseed("--slot", "nowhere", "--yes").returncode == REFUSED
    assert pair.reseed("--slot", "a'; drop", "--create-slot", "--yes").returncode == USAGE
    nobody = pair.reseed("--yes", source=f"host={pair.standby.directory} port=1")
    assert nobody.returncode == REFUSED
    assert "cannot be asked" in nobody.stderr
    password = pair.reseed("--yes", source=f"{pair.conninfo} password=secret")
    assert password.returncode == USAGE
    assert "secret" not in password.stderr
    plan = document(pair.reseed("--dry-run", "--json"))
    assert [step["id"] for step in plan["steps"]] == [
        "stop",
        "set_aside",
        "receive",
        "own_configuration",
        "complete",
        "start",
        "stream",
    ]
    assert pair.standby.is_running()


@pytest.mark.slow
@pytest.mark.parametrize("way_on", ["resume", pytest.param("undo", marks=pytest.mark.slow)])
def test_a_killed_runner_leaves_nothing_that_starts(pair: Pair, way_on: str) -> None:
    pair.source.sandbox.sql(BULK)
    workspace, before = pair.source.workspace, pair.rows()
    run = started(pair.reseed("--max-rate", "8M", "--yes", "--json", "--detach"))
    wait_for_step(workspace, run, "receive")
    wait_until(lambda: receiving(pair, run), "the first bytes")
    kill_runner(workspace, run)
    assert status(workspace, run)["state"] == "interrupted"
    assert not (pair.standby.data / "global" / "pg_control").exists()
    last = finished(workspace.run(way_on, run, "--yes", "--json"))
    assert last["state"] == ("succeeded" if way_on == "resume" else "undone")
    wait_until(pair.standby.is_running, "the standby")
    if way_on == "resume":
        assert pair.follows()
    else:  # the source need not have the WAL any more that it would take to follow
        assert pair.rows() == before


@pytest.mark.slow
def test_a_source_that_dies_meanwhile_leaves_the_old_data_to_be_put_back(pair: Pair) -> None:
    pair.source.sandbox.sql(BULK)
    workspace = pair.source.workspace
    run = started(pair.reseed("--max-rate", "8M", "--yes", "--json", "--detach"))
    wait_for_step(workspace, run, "receive")
    wait_until(lambda: receiving(pair, run), "the first bytes")
    pair.source.sandbox.crash()
    wait_for_end(workspace, run)
    last = status(workspace, run)
    assert last["state"] == "failed"
    assert last["error"]["exit_code"] == STEP_FAILED
    assert "connection" in last["error"]["title"]
    assert finished(workspace.run("undo", run, "--yes", "--json"))["state"] == "undone"
    wait_until(pair.standby.is_running, "the old standby")


def receiving(pair: Pair, run: str) -> bool:
    """Whether pg_basebackup has told of bytes."""
    records = journal(pair.source.workspace, run)
    return any(record["event"] == "progress" and record["done_bytes"] for record in records)


def started(completed: Completed) -> str:
    """The run's name."""
    return str(document(completed)["run"])


def by_command(standby: Sandbox) -> ServiceSpec:
    """A service that gives the standby an address of its own, whatever its files say."""
    program = standby.binaries.program("pg_ctl")
    account = f"runuser -u {standby.account.name} -- " if os.geteuid() == 0 else ""
    pg_ctl = f"{account}{program} -D {standby.data}"
    socket = standby.endpoint.socket_directory
    options = f"-p {standby.endpoint.port} -k {socket}"
    return ServiceSpec(
        "command",
        start=f"{pg_ctl} -l {standby.log} -o '{options}' -W start",
        stop=f"{pg_ctl} -m fast -w stop",
        status=f"{pg_ctl} status",
    )


def with_owner(config: ClusterConfig, sandbox: Sandbox) -> ClusterConfig:
    """Named: there is no data directory whose owner it could be."""
    assert isinstance(config.data_directory, Path)
    return replace(config, owner=sandbox.account.name)
