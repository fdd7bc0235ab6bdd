"""Paths that lead nowhere."""

from __future__ import annotations

import os
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.config.errors import ConfigError
from pgrescue.config.model import ClusterConfig
from pgrescue.config.paths import check_paths
from pgrescue.postgres.account import account_by_name
from pgrescue.postgres.service import ServiceSpec

CONFIG = Path("/etc/pgrescue/pgrescue.toml")


@pytest.fixture
def cluster(tmp_path: Path) -> ClusterConfig:
    """A cluster whose paths are all there, but for its data directory."""
    for name in ("backups/main", "wal", "bin", "etc"):
        (tmp_path / name).mkdir(parents=True)
    for tool in ("postgres", "pg_ctl"):
        (tmp_path / "bin" / tool).touch()
    return ClusterConfig(
        name="main",
        data_directory=tmp_path / "data",
        service=ServiceSpec(),
        backups=(tmp_path / "backups/main",),
        wal_archive=tmp_path / "wal",
        bin_directory=tmp_path / "bin",
        config_directory=tmp_path / "etc",
        log=tmp_path / "postgresql.log",
    )


def problems_of(cluster: ClusterConfig) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        check_paths(cluster, CONFIG)
    return {
        problem.key.removeprefix("clusters.main."): problem.message
        for problem in caught.value.problems
    }


def test_a_missing_data_directory_may_be_the_disaster(cluster: ClusterConfig) -> None:
    check_paths(cluster, CONFIG)


def test_every_wrong_path_is_named_with_its_nearest_sibling(
    cluster: ClusterConfig, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "bin" / "pg_ctl").unlink()
    problems = problems_of(
        replace(
            cluster,
            data_directory=tmp_path / "nowhere" / "data",
            backups=(tmp_path / "backups/main", tmp_path / "bakups/main"),
            wal_archive=tmp_path / "file",
            config_directory=tmp_path / "conf",
            log=tmp_path / "logs" / "postgresql.log",
        )
    )
    assert problems.keys() == {
        "data_directory",
        "backups[1]",
        "wal_archive",
        "bin_directory",
        "config_directory",
        "log",
    }
    assert f"did you mean {tmp_path / 'backups'}?" in problems["backups[1]"]
    assert "not a directory" in problems["wal_archive"]
    assert "no pg_ctl" in problems["bin_directory"]
    assert "parent" in problems["data_directory"]


def test_a_dangling_link_is_told_from_a_missing_path(
    cluster: ClusterConfig, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to("/nonexistent/mount")
    problems = problems_of(replace(cluster, wal_archive=tmp_path / "link"))
    assert "/nonexistent/mount" in problems["wal_archive"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs an account that may not look")
def test_permission_denied_is_not_missing(cluster: ClusterConfig) -> None:
    account = account_by_name("nobody")
    assert account is not None
    with tempfile.TemporaryDirectory(dir="/tmp") as private:
        hidden = ClusterConfig(
            name="main",
            data_directory=Path(private, "data"),
            service=ServiceSpec(),
            backups=(Path(private, "backups"),),
            wal_archive=Path(private, "wal"),
        )
        with account.assumed():
            check_paths(hidden, CONFIG)
