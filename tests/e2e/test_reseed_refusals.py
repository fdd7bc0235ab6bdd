"""What keeps a re-seed from being begun, on a primary and a standby that nothing happens to."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import stop_servers_below, wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.run.acts import start
from pgrescue.run.plan_file import load_plan
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import Completed, document
from tests.support.runs import wait_for_end
from tests.support.source import Source

pytestmark = pytest.mark.server

USAGE, REFUSED = 2, 3
ANOTHER_LOOPBACK = "127.0.0.2"
"""An address that does not look like this machine's own."""
EVERYBODY = f"host all all {ANOTHER_LOOPBACK}/32 trust\n"


@dataclass(slots=True)
class Pair:
    """A primary and a standby that follows it, both running."""

    workspace: Workspace
    primary: Sandbox
    standby: Sandbox

    def plan(self, target: Sandbox, source: str, *options: str) -> dict[str, Any]:
        """The dry run's plan."""
        made: dict[str, Any] = document(
            self.reseed(target, source, "--dry-run", "--json", *options)
        )
        return made

    def reseed(self, target: Sandbox, source: str, *options: str) -> Completed:
        """Fill the target from the source, given by a connection string."""
        self.workspace.configure(known(target))
        asked = ("reseed", "--source", source, "--checkpoint", "fast")
        return self.workspace.run(*asked, *options)


@pytest.fixture(scope="module")
def pair(any_binaries: ServerBinaries) -> Iterator[Pair]:
    workspace = Workspace.make()
    try:
        settings = {"wal_level": "logical", "listen_addresses": ANOTHER_LOOPBACK}
        primary = Source.make(workspace, any_binaries, settings=settings).sandbox
        with (primary.data / "pg_hba.conf").open("a") as rules:
            rules.write(EVERYBODY)
        primary.sql("select pg_reload_conf()")
        standby = workspace.sandbox(any_binaries, "standby")
        standby.directory.mkdir(mode=0o755)
        os.chown(standby.directory, primary.account.uid, primary.account.gid)
        primary.base_backup("for-the-standby", "-R", "-Xs", "-Fp").rename(standby.data)
        where = standby.endpoint
        with (standby.data / "postgresql.conf").open("a") as configuration:
            configuration.write(f"port = {where.port}\nlisten_addresses = ''\n")
            configuration.write(f"unix_socket_directories = '{where.socket_directory}'\n")
        standby.start()
        yield Pair(workspace, primary, standby)
        stop_servers_below(standby.directory)
    finally:
        workspace.destroy()


@pytest.fixture
def promoted(pair: Pair) -> Sandbox:
    """The standby, promoted meanwhile: it is on a timeline that its primary does not know."""
    if pair.standby.sql("select pg_is_in_recovery()") == ["t"]:
        pair.standby.sql("select pg_promote()")
        pair.standby.sql("create table newer as select 1 as n")
        pair.standby.sql("checkpoint")
    return pair.standby


def known(sandbox: Sandbox) -> ClusterConfig:
    """It, without backups."""
    return replace(cluster_config(sandbox), backups=(), wal_archive=None)


def address(sandbox: Sandbox) -> str:
    """How libpq reaches it over its socket."""
    parts = sandbox.conninfo("postgres").split()
    return " ".join(part for part in parts if not part.startswith("dbname"))


def codes(plan: dict[str, Any], status: str) -> set[str]:
    """Of the plan's findings."""
    return {found["code"] for found in plan["preflight"] if found["status"] == status}


def test_a_standby_in_order_is_not_refused(pair: Pair) -> None:
    assert codes(pair.plan(pair.standby, address(pair.primary)), "blocker") == set()


def test_a_primary_is_not_filled_from_its_own_standby(pair: Pair) -> None:
    refused = pair.reseed(pair.primary, address(pair.standby), "--yes")
    assert refused.returncode == REFUSED
    assert "there would be no primary" in refused.stderr
    assert pair.primary.is_running()


def test_a_server_knows_itself_by_any_address(pair: Pair) -> None:
    itself = f"host={ANOTHER_LOOPBACK} port={pair.primary.endpoint.port} user=postgres"
    assert "reseed.itself" in codes(pair.plan(pair.primary, itself), "blocker")
    assert "reseed.itself" not in codes(pair.plan(pair.standby, itself), "blocker")


def test_its_own_settings_must_let_it_follow(pair: Pair) -> None:
    file = pair.standby.data / "postgresql.conf"
    before = file.read_text()
    file.write_text(f"{before}max_connections = 5\nrecovery_target_lsn = '0/1000000'\n")
    try:
        made = pair.plan(pair.standby, address(pair.primary))
        assert codes(made, "blocker") == {"reseed.limits", "reseed.target"}
        taken_over = pair.plan(pair.standby, address(pair.primary), "--source-configuration")
        assert codes(taken_over, "blocker") == set()
    finally:
        file.write_text(before)


def test_names_that_cannot_be_are_refused(pair: Pair) -> None:
    """Of what would be set aside and made; a name with a line break no server can keep."""
    ask = ("reseed", "--source", address(pair.primary), "--dry-run", "--json")
    broken = replace(known(pair.standby), data_directory=pair.standby.directory / "two\nlines")
    pair.workspace.configure(broken)
    refused = pair.workspace.run(*ask)
    assert refused.returncode == REFUSED
    assert "line break" in refused.stderr
    long = replace(known(pair.standby), data_directory=pair.standby.directory / ("d" * 250))
    pair.workspace.configure(long)
    assert "host.name" in codes(document(pair.workspace.run(*ask)), "blocker")


def test_a_log_inside_the_old_data_is_not_written_on(pair: Pair) -> None:
    """It is set aside with the rest."""
    inside = replace(known(pair.standby), log=pair.standby.data / "server.log")
    pair.workspace.configure(inside)
    made = document(
        pair.workspace.run("reseed", "--source", address(pair.primary), "--dry-run", "--json")
    )
    assert made["work"]["log"] is None


def test_a_slot_must_be_free_and_physical(pair: Pair) -> None:
    primary, standby, source = pair.primary, pair.standby, address(pair.primary)
    primary.sql("select pg_create_logical_replication_slot('decoded', 'test_decoding')")
    primary.sql("select pg_create_physical_replication_slot('own')")
    standby.sql("alter system set primary_slot_name = 'own'")
    standby.sql("select pg_reload_conf()")
    active = "select active from pg_replication_slots where slot_name = 'own'"
    wait_until(lambda: primary.sql(active) == ["t"], "the standby's use of its slot")
    logical = pair.plan(standby, source, "--slot", "decoded")
    assert codes(logical, "blocker") == {"reseed.slot"}
    assert codes(pair.plan(standby, source, "--slot", "own"), "blocker") == set()
    standby.sql("alter system reset primary_slot_name")
    others = pair.plan(standby, source, "--slot", "own")
    assert codes(others, "blocker") == {"reseed.slot"}, "the standby's files do not name it"


def test_what_has_changed_at_the_source_is_seen_before_anything_is_stopped(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = pair.plan(pair.standby, address(pair.primary), "--slot", "theirs", "--create-slot")
    pair.primary.sql("select pg_create_physical_replication_slot('theirs', true)")
    monkeypatch.setenv("PGRESCUE_STATE", str(pair.workspace.state))
    run = start(load_plan(pair.workspace.state / "plans" / f"{plan['id']}.json"))
    last = wait_for_end(pair.workspace, run.id)
    assert last["state"] == "failed"
    assert "Nothing has been moved" in last["error"]["evidence"]
    assert pair.standby.is_running()
    pair.workspace.run("undo", run.id, "--yes")
    slots = "select slot_name from pg_replication_slots where slot_name = 'theirs'"
    assert pair.primary.sql(slots) == ["theirs"]


def test_no_secret_of_a_connection_string_is_taken_or_shown(pair: Pair) -> None:
    own = address(pair.primary)
    for source in (f"{own} sslpassword=TOPSECRET", f"{own} password=TOPSECRET oops", "TOPSECRET"):
        refused = pair.reseed(pair.standby, source, "--yes", "--json")
        assert refused.returncode == USAGE
        assert "TOPSECRET" not in refused.stderr + refused.stdout
    assert not holding(pair.workspace.state, "TOPSECRET")


def test_a_running_primary_is_replaced_by_its_name_only(pair: Pair, promoted: Sandbox) -> None:
    source = address(promoted)
    assert "reseed.running_primary" in codes(pair.plan(pair.primary, source), "warning")
    refused = pair.reseed(pair.primary, source, "--yes")
    assert refused.returncode == REFUSED
    assert "--confirm" in refused.stderr
    assert pair.reseed(pair.primary, source, "--confirm", "elsewhere/main").returncode == REFUSED
    assert pair.primary.is_running()


def test_a_source_that_is_behind_is_told(pair: Pair, promoted: Sandbox) -> None:
    assert "reseed.behind" in codes(pair.plan(promoted, address(pair.primary)), "warning")
    assert "reseed.behind" in codes(pair.plan(pair.primary, address(promoted)), "ok")


def holding(directory: Path, text: str) -> list[Path]:
    """Files below with that text in them."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]
