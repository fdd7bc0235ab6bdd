"""What is found out about clusters without a configuration."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgrescue.config.archive_command import archive_directory
from pgrescue.config.candidates import find_candidates
from pgrescue.config.debian import debian_cluster_of
from pgrescue.config.detect import detect_cluster
from pgrescue.config.settings import read_settings
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError, UsageError
from pgrescue.postgres.account import account_by_name


@pytest.mark.parametrize(
    ("command", "directory"),
    [
        ("cp %p /srv/wal/%f", "/srv/wal"),
        ('cp "%p" "/srv/my wal/%f"', "/srv/my wal"),
        ("test ! -f /srv/wal/%f && cp %p /srv/wal/%f", "/srv/wal"),
        ("test ! -f /srv/wal/%f.gz && gzip < %p > /srv/wal/%f.gz", "/srv/wal"),
        ("rsync -a %p backup:/srv/wal/%f", None),
        ("cp %p /a/%f && cp %p /b/%f", None),
        ("pgbackrest --stanza=main archive-push %p", None),
        ("cp %p 'unclosed/%f", None),
        ("/bin/true", None),
        ("", None),
    ],
)
def test_the_directory_of_an_archive_command(command: str, directory: str | None) -> None:
    assert archive_directory(command) == (None if directory is None else Path(directory))


@pytest.mark.server
def test_a_running_server(sandbox: Sandbox) -> None:
    detection = detect_cluster("main", sandbox.data, None)
    cluster = detection.cluster
    assert detection.running
    assert cluster.data_directory == sandbox.data
    assert cluster.owner == sandbox.account.name
    assert cluster.bin_directory == sandbox.binaries.bin_directory
    assert cluster.wal_archive == sandbox.wal
    assert cluster.config_directory is None
    assert cluster.service.kind == "pg_ctl"
    assert "running server" in detection.origins["bin_directory"]
    assert any(str(sandbox.wal) in note for note in detection.notes)
    candidates = {item.data_directory: item.origin for item in find_candidates()}
    assert "running" in candidates[sandbox.data]


@pytest.mark.server
def test_a_stopped_cluster(sandbox: Sandbox) -> None:
    sandbox.stop()
    detection = detect_cluster("main", sandbox.data, None)
    assert not detection.running
    assert detection.cluster.owner == sandbox.account.name
    assert detection.cluster.bin_directory == sandbox.binaries.bin_directory
    assert detection.cluster.wal_archive == sandbox.wal
    assert "'shut down'" in detection.origins["data_directory"]


@pytest.mark.server
def test_a_server_that_cannot_be_asked_is_read_from_its_files(sandbox: Sandbox) -> None:
    (sandbox.data / "pg_hba.conf").write_text("local all all reject\n")
    sandbox.sql("select pg_reload_conf()")
    wait_until(lambda: not _answers(sandbox), "the server to turn us away")
    detection = detect_cluster("main", sandbox.data, None)
    assert any("could not be asked" in note for note in detection.notes)
    assert detection.cluster.wal_archive == sandbox.wal


def _answers(sandbox: Sandbox) -> bool:
    try:
        return sandbox.sql("select 1") == ["1"]
    except PgRescueError:
        return False


def test_a_lost_data_directory_is_no_obstacle(tmp_path: Path) -> None:
    detection = detect_cluster("main", tmp_path / "lost", None)
    assert detection.cluster.data_directory == tmp_path / "lost"
    assert "missing" in detection.origins["data_directory"]
    assert any("bin_directory" in note for note in detection.notes)


def test_a_directory_of_other_things_is_refused(tmp_path: Path) -> None:
    (tmp_path / "postgresql.conf").write_text("data_directory = '/srv/data'\n")
    with pytest.raises(UsageError) as caught:
        detect_cluster("main", tmp_path, None)
    assert any("/srv/data" in step for step in caught.value.next_steps)


def test_debians_clusters_are_known_by_their_data_directory(tmp_path: Path) -> None:
    home = tmp_path / "etc" / "16" / "shop"
    home.mkdir(parents=True)
    data_directory = tmp_path / "gone"
    (home / "postgresql.conf").write_text(f"data_directory = '{data_directory}'\n")
    cluster = debian_cluster_of(data_directory, tmp_path / "etc")
    assert cluster is not None
    assert (cluster.version, cluster.name) == ("16", "shop")
    assert cluster.unit == "postgresql@16-shop"
    assert debian_cluster_of(tmp_path / "other", tmp_path / "etc") is None


def test_settings_are_read_in_the_servers_order(tmp_path: Path) -> None:
    etc, data = tmp_path / "etc", tmp_path / "data"
    (etc / "conf.d").mkdir(parents=True)
    data.mkdir()
    (etc / "postgresql.conf").write_text(
        "archive_mode = off\nport = 1\ninclude_dir = 'conf.d'\n"
        "include_if_exists = 'none.conf'\nport = 4\n"
    )
    (etc / "conf.d" / "a.conf").write_text("archive_mode = on\nport = 2\n")
    (etc / "conf.d" / "b.txt").write_text("archive_mode = always\n")
    (data / "postgresql.auto.conf").write_text("cluster_name = 'x'\n")
    settings = read_settings(etc, data)
    assert settings == {"archive_mode": "on", "port": "4", "cluster_name": "x"}


@pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that may not look")
@pytest.mark.server
def test_somebody_elses_cluster_asks_for_root(sandbox: Sandbox) -> None:
    account = account_by_name("nobody")
    assert account is not None
    with account.assumed(), pytest.raises(UsageError) as caught:
        detect_cluster("main", sandbox.data, None)
    assert any("sudo" in step for step in caught.value.next_steps)
