"""What a preflight check forbids: exit code 3, the reason and the way out, nothing changed."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from tests.refusals.conftest import QUIET, Scene
from tests.support.command import document
from tests.support.refused import refused, unchanged

pytestmark = pytest.mark.server

USAGE, REFUSED = 2, 3


@pytest.fixture(scope="module")
def stranger(scene: Scene) -> Sandbox:
    """Another cluster of the same version, running, with WAL in an archive of its own."""
    sandbox = scene.workspace.sandbox(scene.sandbox.binaries, "stranger")
    sandbox.init(settings=QUIET)
    sandbox.start()
    sandbox.switch_wal()
    return sandbox


@pytest.mark.parametrize("backup", ["auto", "named"])
@pytest.mark.parametrize("kind", ["time", "lsn"])
def test_target_before_the_backups_end(scene: Scene, backup: str, kind: str) -> None:
    early = scene.log.epochs[0]
    target = {
        "time": ("--to", (early.committed - timedelta(minutes=1)).isoformat()),
        "lsn": ("--to-lsn", str(early.lsn_after)),
    }[kind]
    chosen = () if backup == "auto" else ("--backup", scene.backup)
    with unchanged(scene.sandbox):
        completed = scene.restore(*target, *chosen)
    way_out = {"auto": "pgrescue catalog", "named": "backup"}[backup]
    refused(completed, REFUSED, "after its own end", way_out)


def test_xid_of_a_transaction_before_the_backup(scene: Scene) -> None:
    with unchanged(scene.sandbox):
        completed = scene.restore("--to-xid", str(scene.log.epochs[0].xid - 1))
    refused(completed, REFUSED, "No backup reaches")


def test_position_after_the_end_of_the_wal(scene: Scene) -> None:
    with unchanged(scene.sandbox):
        completed = scene.restore("--to-lsn", "7F/0")
    refused(completed, REFUSED, "Nothing is there to stop at", "ends at", "--to latest")


def test_timeline_that_nobody_knows(scene: Scene) -> None:
    with unchanged(scene.sandbox):
        completed = scene.restore("--timeline", "7")
    refused(completed, REFUSED, "timeline 7", "--timeline N")


def test_data_directory_of_another_cluster(
    scene: Scene, config: ClusterConfig, stranger: Sandbox
) -> None:
    scene.workspace.configure(replace(config, data_directory=stranger.data, log=stranger.log))
    with unchanged(stranger), unchanged(scene.sandbox):
        chosen = scene.restore()
        named = scene.restore("--backup", scene.backup)
    refused(chosen, REFUSED, "belongs to this cluster", "system identifier", "--into DIR")
    refused(named, REFUSED, "of another cluster", "system identifier", "--into DIR")


def test_archive_of_another_cluster(scene: Scene, config: ClusterConfig, stranger: Sandbox) -> None:
    scene.workspace.configure(replace(config, wal_archive=stranger.wal))
    with unchanged(scene.sandbox):
        completed = scene.restore()
    refused(completed, REFUSED, "belongs to another cluster", "wal_archive")


def test_backup_of_another_major_version(
    scene: Scene, config: ClusterConfig, binaries_by_origin: dict[Origin, ServerBinaries]
) -> None:
    other = next((b for b in binaries_by_origin.values() if b != scene.sandbox.binaries), None)
    if other is None or other.major == scene.sandbox.binaries.major:
        pytest.skip("there are server binaries of one major version only")
    old = scene.workspace.sandbox(other, "old")
    old.init(settings=QUIET)
    old.start()
    scene.workspace.configure(
        replace(config, data_directory=old.data, bin_directory=other.bin_directory, log=old.log)
    )
    majors = f"PostgreSQL {scene.sandbox.binaries.major}, the cluster is {other.major}"
    for version in (old.data / "PG_VERSION", None):
        with unchanged(old):
            completed = scene.restore("--backup", scene.backup)
        told = refused(completed, REFUSED, "--into DIR")
        assert majors in told["title"] + told["cause"]
        if version is not None:
            version.unlink()


def test_directory_that_is_no_cluster(scene: Scene, config: ClusterConfig) -> None:
    place = scene.workspace.path / "photographs"
    place.mkdir(exist_ok=True)
    (place / "holiday.jpg").write_bytes(b"irreplaceable")
    scene.workspace.configure(replace(config, data_directory=place))
    completed = scene.restore()
    refused(completed, REFUSED, "no PostgreSQL data directory", "data_directory")
    assert [item.name for item in place.iterdir()] == ["holiday.jpg"]


def test_directory_of_the_system(scene: Scene, config: ClusterConfig) -> None:
    scene.workspace.configure(replace(config, data_directory=Path("/srv")))
    refused(scene.restore(), REFUSED, "/srv")


def test_backup_inside_the_data_directory(scene: Scene, config: ClusterConfig) -> None:
    inside = scene.sandbox.data / "backups"
    shutil.copytree(scene.sandbox.backups, inside)
    try:
        scene.workspace.configure(replace(config, backups=(inside,)))
        with unchanged(scene.sandbox):
            completed = scene.restore()
        refused(completed, REFUSED, "is stored in", str(inside), "somewhere else")
    finally:
        shutil.rmtree(inside)


def test_archive_inside_the_data_directory(scene: Scene, config: ClusterConfig) -> None:
    inside = scene.sandbox.data / "archive"
    shutil.copytree(scene.sandbox.wal, inside)
    try:
        scene.workspace.configure(replace(config, wal_archive=inside))
        with unchanged(scene.sandbox):
            completed = scene.restore()
        refused(completed, REFUSED, "The WAL archive is stored in", "somewhere else")
    finally:
        shutil.rmtree(inside)


def test_port_in_use(scene: Scene) -> None:
    place = scene.workspace.path / "clone"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        completed = scene.restore("--into", str(place), "--port", port)
    refused(completed, REFUSED, f"Port {port} is in use", "--port N")
    assert not place.exists()


def test_clone_into_a_directory_with_something_in_it(scene: Scene) -> None:
    place = scene.workspace.path / "full"
    place.mkdir()
    (place / "keep.txt").write_text("mine")
    completed = scene.restore("--into", str(place))
    refused(completed, REFUSED, "is not an empty directory", "--into DIR")
    assert (place / "keep.txt").read_text() == "mine"


@pytest.mark.parametrize("place", ["data", "data/clone"])
def test_clone_into_the_cluster_itself(scene: Scene, place: str) -> None:
    with unchanged(scene.sandbox):
        completed = scene.restore("--into", str(scene.sandbox.directory / place))
    refused(completed, REFUSED, "--into DIR")


def test_clone_onto_the_clusters_tablespace(scene: Scene) -> None:
    fast = scene.sandbox.tablespaces / "fast"
    place = scene.workspace.path / "clone"
    with unchanged(scene.sandbox):
        completed = scene.restore("--into", str(place), "--tablespace", f"{fast}={fast}")
    refused(completed, REFUSED, "in use by the cluster main", "--tablespace")
    assert not place.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_file_system_without_room(scene: Scene) -> None:
    place = scene.workspace.path / "small"
    place.mkdir()
    mounted = subprocess.run(
        ("mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(place)), check=False
    )
    if mounted.returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        completed = scene.restore("--into", str(place / "clone"))
        refused(completed, REFUSED, f"{place} needs", "16.0 MiB free", "too little")
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(("umount", str(place)), check=True)


def test_nothing_is_asked_without_a_terminal(scene: Scene) -> None:
    with unchanged(scene.sandbox):
        completed = scene.run("restore")
    refused(completed, REFUSED, "no terminal", "add --yes")


def test_what_cannot_be_undone_needs_the_clusters_name(scene: Scene) -> None:
    identity = f"{socket.gethostname().split('.')[0]}/main"
    with unchanged(scene.sandbox):
        completed = scene.restore("--old-data", "delete")
    refused(completed, REFUSED, f"--confirm {identity}")


@pytest.mark.parametrize("old_data", ["keep", "delete"])
def test_name_of_another_cluster(scene: Scene, old_data: str) -> None:
    with unchanged(scene.sandbox):
        completed = scene.restore("--old-data", old_data, "--confirm", "db1/billing")
    refused(completed, REFUSED, "db1/billing", "/main")


def test_missing_archive(scene: Scene, config: ClusterConfig) -> None:
    scene.workspace.configure(replace(config, wal_archive=scene.sandbox.directory / "gone"))
    with unchanged(scene.sandbox):
        completed = scene.restore()
    refused(completed, USAGE, "wal_archive", "does not exist")


def test_no_backup_at_all(scene: Scene, config: ClusterConfig) -> None:
    empty = scene.workspace.path / "empty"
    empty.mkdir(exist_ok=True)
    scene.workspace.configure(replace(config, backups=(empty,)))
    with unchanged(scene.sandbox):
        completed = scene.restore()
    refused(completed, REFUSED, "There is no backup", "'backups'")


def test_plan_shows_what_forbids_it_and_cannot_be_run(scene: Scene) -> None:
    completed = scene.run("plan", "--to-lsn", "7F/0")
    assert completed.returncode == REFUSED
    plan = document(completed)
    (blocker,) = [finding for finding in plan["preflight"] if finding["status"] == "blocker"]
    assert (blocker["code"], plan["schema"]) == ("target.beyond_end", 1)
    file = scene.workspace.path / "blocked.json"
    file.write_text(completed.stdout)
    with unchanged(scene.sandbox):
        refused(scene.restore("--plan", str(file)), REFUSED, blocker["message"])


def test_plan_that_was_edited(scene: Scene) -> None:
    completed = scene.run("plan")
    file = scene.workspace.path / "edited.json"
    file.write_text(completed.stdout.replace('"recovery.signal"', '"standby.signal"'))
    with unchanged(scene.sandbox):
        completed = scene.restore("--plan", str(file))
    refused(completed, REFUSED, "was altered", "pgrescue plan")


def test_plan_that_is_out_of_date(scene: Scene) -> None:
    file = scene.workspace.path / "stale.json"
    file.write_text(scene.run("plan").stdout)
    archive = scene.sandbox.backups / "full" / "base.tar"
    stamp = archive.stat()
    os.utime(archive, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 1))
    try:
        with unchanged(scene.sandbox):
            completed = scene.restore("--plan", str(file))
        refused(completed, REFUSED, "out of date", "base.tar", "new plan")
    finally:
        os.utime(archive, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
