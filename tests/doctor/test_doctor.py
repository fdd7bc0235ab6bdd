"""What the doctor finds, on real clusters: healthy, stopped, and wrong in many ways."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.cli import doctor
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.doctor.examine import examine
from pgrescue.doctor.subject import look_at
from pgrescue.errors import ExitCode
from pgrescue.findings import Finding
from pgrescue.postgres.account import account_by_name
from pgrescue.postgres.service import ServiceSpec
from tests.conftest import SandboxFactory
from tests.support.cluster import Workspace, cluster_config
from tests.support.stand_in import StandIn

Diagnosis = dict[str, Finding]

pytestmark = pytest.mark.server


@pytest.fixture(autouse=True)
def _state(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.state))


@pytest.fixture
def sandbox(sandbox_factory: SandboxFactory, any_binaries: ServerBinaries) -> Sandbox:
    """A running cluster that has archived a segment."""
    made = sandbox_factory(any_binaries)
    made.switch_wal()
    return made


def diagnose(cluster: ClusterConfig) -> Diagnosis:
    findings = examine(look_at(Config(path=None, clusters={cluster.name: cluster}), cluster))
    for finding in findings:
        assert finding.status == "ok" or finding.fix, f"no fix: {finding}"
    return {finding.code: finding for finding in findings}


def blockers(diagnosis: Diagnosis) -> set[str]:
    return {code for code, finding in diagnosis.items() if finding.status == "blocker"}


def test_a_healthy_cluster(
    sandbox_factory: SandboxFactory, server_binaries: ServerBinaries, workspace: Workspace
) -> None:
    sandbox = sandbox_factory(server_binaries)
    sandbox.base_backup("first", "-Ft", "-z")
    sandbox.switch_wal()
    diagnosis = diagnose(cluster_config(sandbox))
    not_ok = {code for code, finding in diagnosis.items() if finding.status != "ok"}
    assert not_ok == {"backups.verified"}
    assert sandbox.binaries.version_text in diagnosis["tools.postgres"].message
    assert "the server is running" in diagnosis["service.status"].message
    assert ("tools.pg_combinebackup" in diagnosis) == (server_binaries.major >= 17)
    assert not workspace.state.exists()


def test_a_stopped_cluster_is_no_obstacle(sandbox: Sandbox) -> None:
    sandbox.base_backup("first", "-Ft")
    sandbox.stop()
    diagnosis = diagnose(cluster_config(sandbox))
    assert not blockers(diagnosis)
    assert "'shut down'" in diagnosis["cluster.data_directory"].message
    assert "down" in diagnosis["service.status"].message


def test_a_lost_data_directory_is_no_obstacle(sandbox: Sandbox) -> None:
    sandbox.base_backup("first", "-Ft")
    sandbox.stop()
    shutil.rmtree(sandbox.data)
    diagnosis = diagnose(cluster_config(sandbox))
    assert not blockers(diagnosis)
    assert "does not exist" in diagnosis["cluster.data_directory"].message


def test_a_broken_control_file_is_told(sandbox: Sandbox) -> None:
    sandbox.stop()
    (sandbox.data / "global" / "pg_control").write_bytes(b"\0" * 8192)
    diagnosis = diagnose(cluster_config(sandbox))
    assert "pg_control" in diagnosis["cluster.data_directory"].message


def test_no_backups_and_no_archive(sandbox: Sandbox) -> None:
    cluster = cluster_config(sandbox)
    assert "backups.newest" in blockers(diagnose(cluster))
    diagnosis = diagnose(replace(cluster, backups=(), wal_archive=None))
    assert "backups.newest" in blockers(diagnosis)
    assert diagnosis["archive.configured"].status == "warning"


def test_a_broken_backup_is_named(sandbox: Sandbox) -> None:
    backup = sandbox.base_backup("first", "-Ft")
    (backup / "base.tar").unlink()
    diagnosis = diagnose(cluster_config(sandbox))
    assert "backups.newest" in blockers(diagnosis)
    assert str(backup) in diagnosis["backups.unusable"].message


def test_another_clusters_backups_and_wal(
    sandbox: Sandbox, sandbox_factory: SandboxFactory, any_binaries: ServerBinaries
) -> None:
    other = sandbox_factory(any_binaries, "other")
    other.base_backup("first", "-Ft")
    other.switch_wal()
    wrong = replace(cluster_config(sandbox), backups=(other.backups,), wal_archive=other.wal)
    assert blockers(diagnose(wrong)) >= {"backups.cluster", "archive.cluster"}


def test_wal_that_goes_elsewhere(sandbox: Sandbox) -> None:
    name = sandbox.switch_wal()
    elsewhere = sandbox.directory / "elsewhere"
    shutil.copytree(sandbox.wal, elsewhere)
    os.chmod(elsewhere, 0o755)
    (elsewhere / name).unlink()
    wait_until(lambda: sandbox.sql(_LAST_ARCHIVED) == [name], "the archiver's statistics")
    diagnosis = diagnose(replace(cluster_config(sandbox), wal_archive=elsewhere))
    assert "archive.place" in blockers(diagnosis)
    assert name in diagnosis["archive.place"].message


_LAST_ARCHIVED = "select last_archived_wal from pg_stat_archiver"


def test_a_failing_archive_command(sandbox: Sandbox) -> None:
    sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
    sandbox.sql("create table t (); select pg_switch_wal()")
    failed = "select failed_count > 0 from pg_stat_archiver"
    wait_until(lambda: sandbox.sql(failed) == ["t"], "a failure of the archiver")
    finding = diagnose(cluster_config(sandbox))["archive.archiver"]
    assert finding.status == "warning"
    assert "fails" in finding.message


def test_a_gap_in_the_archive(sandbox: Sandbox) -> None:
    for number in range(3):
        sandbox.sql(f"create table t{number} ()")
        sandbox.switch_wal()
    names = sorted(path.name for path in sandbox.wal.iterdir())
    (sandbox.wal / names[-2]).unlink()
    finding = diagnose(cluster_config(sandbox))["archive.gap"]
    assert finding.status == "warning"
    assert names[-2] in finding.message


def test_an_archive_gone_stale(sandbox: Sandbox) -> None:
    long_ago = time.time() - 3 * 86400
    for segment in sandbox.wal.iterdir():
        os.utime(segment, (long_ago, long_ago))
    finding = diagnose(cluster_config(sandbox))["archive.newest"]
    assert finding.status == "warning"
    assert "3 days ago" in finding.message


@pytest.mark.skipif(os.geteuid() != 0, reason="only root acts for other accounts")
def test_wal_that_the_owner_cannot_read(sandbox: Sandbox) -> None:
    for segment in sandbox.wal.iterdir():
        os.chown(segment, 0, 0)
    assert "archive.readable" in blockers(diagnose(cluster_config(sandbox)))


def test_a_missing_decompressor(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = next(sandbox.wal.glob("0*"))
    segment.rename(segment.with_name(segment.name + ".zst"))
    assert "tools.zstd" in diagnose(cluster_config(sandbox))
    monkeypatch.setenv("PATH", str(sandbox.directory))
    assert "tools.zstd" in blockers(diagnose(cluster_config(sandbox)))


def test_wrong_programs(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    for tool in ("postgres", "pg_ctl"):
        program = tmp_path / "bin" / tool
        program.write_text(f"#!/bin/sh\necho '{tool} (PostgreSQL) 9.6.1'\n")
        program.chmod(0o755)
    diagnosis = diagnose(replace(cluster_config(sandbox), bin_directory=tmp_path / "bin"))
    assert blockers(diagnosis) >= {"tools.postgres", "tools.pg_ctl"}
    assert "9.6" in diagnosis["tools.postgres"].message
    assert diagnosis["tools.pg_basebackup"].status == "warning"


def test_wrong_paths_are_all_named(sandbox: Sandbox) -> None:
    cluster = replace(
        cluster_config(sandbox),
        backups=(Path("/nonexistent/backups"),),
        wal_archive=Path("/nonexistent/wal"),
    )
    assert blockers(diagnose(cluster)) >= {"paths.backups[0]", "paths.wal_archive"}


@pytest.mark.parametrize(
    ("status", "running", "expected"),
    [("true", True, "ok"), ("false", True, "blocker"), ("true", False, "warning")],
)
def test_a_service_that_says_otherwise(
    sandbox: Sandbox, status: str, running: bool, expected: str
) -> None:
    if not running:
        sandbox.stop()
    service = ServiceSpec("command", start="true", stop="true", status=status)
    diagnosis = diagnose(replace(cluster_config(sandbox), service=service))
    assert diagnosis["service.status"].status == expected


def test_a_service_that_is_not_there(sandbox: Sandbox) -> None:
    service = ServiceSpec("command", start="x", stop="x", status="no-such-program")
    diagnosis = diagnose(replace(cluster_config(sandbox), service=service))
    assert "no-such-program" in diagnosis["service.status"].message
    assert "service.status" in blockers(diagnosis)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give the data directory away")
def test_a_data_directory_of_roots(sandbox: Sandbox) -> None:
    sandbox.stop()
    os.chown(sandbox.data, 0, 0)
    assert "privileges.owner" in blockers(diagnose(cluster_config(sandbox)))


def test_an_owner_who_is_not_there(sandbox: Sandbox) -> None:
    cluster = replace(cluster_config(sandbox), owner="nosuchaccount")
    assert "privileges.owner" in blockers(diagnose(cluster))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root becomes other accounts")
def test_rights_of_ordinary_users(sandbox: Sandbox) -> None:
    cluster = cluster_config(sandbox)
    systemd = replace(cluster, service=ServiceSpec("systemd", unit="postgresql@15-main"))
    diagnose(cluster)  # imports what it needs while that can be read
    with sandbox.account.assumed():
        assert diagnose(cluster)["privileges.rights"].status == "ok"
        assert "privileges.rights" in blockers(diagnose(systemd))
    stranger = account_by_name("nobody")
    assert stranger is not None
    with stranger.assumed():
        diagnosis = diagnose(cluster)
        assert blockers(diagnosis) >= {"privileges.rights", "paths.backups"}
        assert "cluster.server" in diagnosis
        assert diagnose(replace(cluster, sudo=True))["privileges.rights"].status == "ok"


def test_leftovers_of_earlier_restores(sandbox: Sandbox) -> None:
    aside = sandbox.directory / "data.pgrescue-20250101T000000Z"
    aside.mkdir()
    finding = diagnose(cluster_config(sandbox))["leftovers.set_aside"]
    assert str(aside) in finding.message


@pytest.mark.parametrize("place", ["backups", "wal"])
def test_leftovers_of_earlier_removals(sandbox: Sandbox, place: str) -> None:
    where = sandbox.backups if place == "backups" else sandbox.wal
    (where / ".pgrescue-removed-20250101T000000Z").mkdir()
    finding = diagnose(cluster_config(sandbox))["leftovers.set_aside"]
    assert str(where) in finding.message
    assert "removal" in finding.message


def test_the_state_directory(
    sandbox: Sandbox, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = cluster_config(sandbox)
    workspace.state.mkdir(mode=0o755)
    assert "state.directory" in blockers(diagnose(cluster)), "nothing would be planned or run"
    assert "chmod" in (diagnose(cluster)["state.directory"].fix or "")
    workspace.state.chmod(0o700)
    assert diagnose(cluster)["state.directory"].status == "ok"
    monkeypatch.setenv("PGRESCUE_STATE", str(sandbox.data / "state"))
    assert "state.directory" in blockers(diagnose(cluster))


def test_a_manager_in_charge_is_named(sandbox: Sandbox, tmp_path: Path) -> None:
    """On a calm day that is as it should be, and no blocker."""
    assert "cluster.manager" not in diagnose(cluster_config(sandbox))
    patroni = StandIn(tmp_path / "etc", sandbox.data)
    try:
        found = diagnose(cluster_config(sandbox))["cluster.manager"]
    finally:
        patroni.end()
    assert found.status == "warning"
    assert "Patroni is in charge" in found.message
    assert "patronictl" in (found.fix or "")


@pytest.fixture
def run_doctor(workspace: Workspace) -> Callable[..., int]:
    """Runs `pgrescue doctor` on the workspace's configuration."""

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        parser.set_defaults(config=workspace.config, cluster=None)
        doctor.register(parser.add_subparsers())
        arguments = parser.parse_args(["doctor", *words])
        return int(arguments.handler(arguments))

    return run


def test_the_command(
    run_doctor: Callable[..., int],
    sandbox: Sandbox,
    workspace: Workspace,
    capsys: pytest.CaptureFixture[str],
) -> None:
    workspace.configure(cluster_config(sandbox))
    assert run_doctor() == ExitCode.REFUSED
    table = capsys.readouterr().out
    assert "BLOCKER  backups.newest" in table
    assert "fix: pgrescue backup\n" in table
    sandbox.base_backup("first", "-Ft")
    assert run_doctor("--json") == ExitCode.DONE
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == 1
    assert document["cluster"] == "main"
    assert {"code", "status", "message", "fix"} == set(document["findings"][0])
