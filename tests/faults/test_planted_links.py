"""Links that somebody has put into a cluster: what they lead to is never moved, nor deleted."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import stop_servers_below
from pgrescue.demo.sandbox import Sandbox
from pgrescue.run.plan_file import load_plan
from pgrescue.run.run_directory import create_run
from tests.refusals.conftest import QUIET, Scene, make_scene
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import command_environment
from tests.support.files import Entry, differences, file_tree
from tests.support.refused import refused
from tests.support.runs import journal, status

pytestmark = [pytest.mark.server, pytest.mark.faults]

REFUSED = 3
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
_DYING = """
import os, signal, sys
from pgrescue.run.__main__ import main
left, rename = int(sys.argv[2]), os.rename
def dying(source, destination):
    global left
    if f"{source}/".startswith(f"{sys.argv[1]}/"):
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
    rename(source, destination)
os.rename = dying
main(sys.argv[3], "restore")
"""


@dataclass(slots=True)
class Planted:
    """A copy of a cluster on which no server runs, and a directory of somebody else's."""

    scene: Scene
    config: ClusterConfig
    data: Path
    victim: Path

    @property
    def version(self) -> str:
        """A tablespace's version directory."""
        return f"PG_{self.scene.sandbox.binaries.major}_202209061"

    def wal_leads_to(self, target: Path) -> None:
        """The WAL stays beside it; the link leads elsewhere."""
        (self.data / "pg_wal").rename(self.data.with_name("wal-of-the-copy"))
        (self.data / "pg_wal").symlink_to(target)

    def tablespace(self) -> Path:
        """A new one's location."""
        location = self.data.with_name("location")
        location.mkdir()
        (self.data / "pg_tblspc" / "99999").symlink_to(location)
        return location

    def restore(self, *options: str) -> subprocess.CompletedProcess[str]:
        """With every yes that there is."""
        return self.scene.restore("--to", "latest", *options)


@pytest.fixture(scope="module")
def scene(any_binaries: ServerBinaries) -> Iterator[Scene]:
    """One cluster for all tests that only plan."""
    workspace = Workspace.make()
    try:
        yield make_scene(workspace, any_binaries)
    finally:
        workspace.destroy()


@pytest.fixture
def planted(scene: Scene) -> Iterator[Planted]:
    """A copy in which a test plants something; everything around it stays as it was."""
    place = scene.workspace.path / "planted"
    place.mkdir()
    data, victim = place / "data", place / "victim"
    scene.sandbox.stop()
    subprocess.run(("cp", "-a", str(scene.sandbox.data), str(data)), check=True)
    scene.sandbox.start()
    (victim / "ssh").mkdir(parents=True)
    (victim / "ssh" / "key").write_text("secret")
    (victim / "passwd").write_text("root:x:0:0")
    config = replace(cluster_config(scene.sandbox), data_directory=data, log=None)
    scene.workspace.configure(config)
    yield Planted(scene, config, data, victim)
    scene.workspace.configure(cluster_config(scene.sandbox))
    shutil.rmtree(place)


@contextmanager
def untouched(place: Path) -> Iterator[None]:
    """Nothing in or beside a directory becomes any different."""
    before = file_tree(place)
    yield
    assert differences(before, file_tree(place)) == []


def test_wal_that_is_none(planted: Planted) -> None:
    planted.wal_leads_to(planted.victim)
    with untouched(planted.data.parent):
        refused(planted.restore(), REFUSED, f"link to {planted.victim}", "it holds ssh", "ls -l")


def test_a_pipe_by_the_name_of_a_segment(planted: Planted) -> None:
    """To open it for reading would wait for ever."""
    os.mkfifo(planted.data / "pg_wal" / "0000000100000000000000FF")
    with untouched(planted.data.parent):
        refused(planted.restore(), REFUSED, "0000000100000000000000FF", "no regular file")


def test_wal_in_a_directory_of_files(planted: Planted) -> None:
    shutil.rmtree(planted.victim / "ssh")
    planted.wal_leads_to(planted.victim)
    with untouched(planted.data.parent):
        refused(planted.restore(), REFUSED, "it holds passwd and no WAL")


@needs_root
def test_wal_in_the_system(planted: Planted) -> None:
    place = Path("/etc") / f"pgrescue-test-{os.getpid()}"
    place.mkdir()
    try:
        planted.wal_leads_to(place)
        with untouched(planted.data.parent), untouched(place):
            refused(planted.restore(), REFUSED, f"{place} is a directory of the system")
    finally:
        place.rmdir()


@pytest.mark.parametrize("where", ["around", "inside"])
def test_wal_around_or_inside_the_data_directory(planted: Planted, where: str) -> None:
    target = planted.data.parent / "around" if where == "around" else planted.data / "inside"
    target.mkdir()
    if where == "around":
        planted.data.rename(target / "data")
        planted.data = target / "data"
        planted.scene.workspace.configure(replace(planted.config, data_directory=planted.data))
    planted.wal_leads_to(target)
    with untouched(target):
        refused(planted.restore(), REFUSED, f"is a link to {target}")


def test_wal_in_the_archive(planted: Planted) -> None:
    archive = planted.scene.sandbox.wal
    planted.wal_leads_to(archive)
    with untouched(planted.data.parent), untouched(archive):
        refused(planted.restore(), REFUSED, f"The WAL archive is stored in {archive}")


def test_wal_of_another_cluster(planted: Planted) -> None:
    sandbox = planted.scene.workspace.sandbox(planted.scene.sandbox.binaries, "stranger")
    sandbox.init(settings=QUIET)
    elsewhere = planted.data.with_name("wal-of-a-stranger")
    shutil.copytree(sandbox.data / "pg_wal", elsewhere)
    planted.wal_leads_to(elsewhere)
    with untouched(planted.data.parent):
        refused(planted.restore(), REFUSED, "the WAL there is another cluster's")
    (planted.data / "pg_wal").unlink()
    (planted.data / "pg_wal").symlink_to(sandbox.data / "pg_wal")
    known = cluster_config(sandbox, "stranger")
    planted.scene.workspace.configure(planted.config, replace(known, backups=(), wal_archive=None))
    with untouched(sandbox.data):
        completed = planted.scene.run("--cluster", "main", "restore", "--yes")
        refused(completed, REFUSED, f"is in {sandbox.data}, the data directory of another cluster")


def test_linked_version_directory(planted: Planted) -> None:
    link = planted.tablespace() / planted.version
    link.symlink_to(planted.victim)
    with untouched(planted.data.parent):
        refused(planted.restore(), REFUSED, f"{link} is a link to {planted.victim}")


@needs_root
def test_mounted_version_directory(planted: Planted) -> None:
    mounted = planted.tablespace() / planted.version
    mounted.mkdir()
    argv = ("mount", "--bind", str(planted.victim), str(mounted))
    if subprocess.run(argv, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with untouched(planted.data.parent):
            refused(planted.restore(), REFUSED, f"{mounted} is a mount point")
    finally:
        subprocess.run(("umount", str(mounted)), check=True)


def test_planted_after_the_plan_was_made(planted: Planted) -> None:
    version = planted.tablespace() / planted.version
    version.mkdir()
    plan = planted.scene.workspace.path / "before-the-link.json"
    plan.write_text(planted.scene.run("plan", "--to", "latest").stdout)
    assert json.loads(plan.read_text())["seen"]["tablespaces"].startswith("99999")
    version.rmdir()
    version.symlink_to(planted.victim)
    with untouched(planted.data.parent):
        completed = planted.scene.restore("--plan", str(plan))
        refused(completed, REFUSED, f"{version} is reached through a link", "new plan")


def test_reseed_looks_as_closely(planted: Planted) -> None:
    parts = planted.scene.sandbox.conninfo("postgres").split()
    source = " ".join(part for part in parts if not part.startswith("dbname"))
    planted.wal_leads_to(planted.victim)
    (planted.tablespace() / planted.version).symlink_to(planted.victim)
    nested = planted.data / "nested"
    subprocess.run(("cp", "-a", str(planted.scene.sandbox.data), str(nested)), check=True)
    with untouched(planted.data.parent):
        completed = planted.scene.run("reseed", "--source", source, "--yes")
        assert completed.returncode == REFUSED, completed.stderr
    for said in ("it holds ssh", f"is a link to {planted.victim}", f"{nested} lies in"):
        assert said in completed.stderr


@pytest.mark.slow
def test_a_link_planted_and_a_server_started_while_no_runner_was_at_work(
    workspace: Workspace, any_binaries: ServerBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = make_scene(workspace, any_binaries, tablespace=True)
    victim = workspace.path / "victim"
    victim.mkdir()
    (victim / "precious").write_text("not ours")
    run = begun(scene, monkeypatch, renames=0)
    said = status(workspace, run)
    assert (said["state"], said["step"], said["set_aside"] is None) == (
        "interrupted",
        "set_aside",
        False,
    )
    assert (scene.sandbox.data / "PG_VERSION").exists(), "it was announced, and not done"

    (version,) = (scene.sandbox.tablespaces / "fast").iterdir()
    version.rename(version.with_name("kept"))
    version.symlink_to(victim)
    with untouched(scene.sandbox.data), untouched(victim):
        refused(scene.run("resume", "--yes"), REFUSED, f"{version} is reached through a link")
    version.unlink()
    version.with_name("kept").rename(version)

    # A colleague, or systemd at the next boot: the directory is whole, so it can be started.
    scene.sandbox.start()
    (scene.sandbox.data / "elsewhere").symlink_to(victim)
    scene.run("resume", "--yes").check_returncode()
    stops = [r for r in journal(workspace, run) if r.get("step") == "stop"]
    assert [r["event"] for r in stops if r["event"].startswith("step_")] == [
        "step_began",
        "step_ended",
    ] * 2
    assert scene.log.rows_visible() == [1, 2, 3, 4]
    scene.run("discard", "--yes").check_returncode()
    assert (victim / "precious").read_text() == "not ours"


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("renames", [5, pytest.param(0, marks=pytest.mark.slow)])
def test_a_mount_point_as_data_directory(
    workspace: Workspace,
    any_binaries: ServerBinaries,
    monkeypatch: pytest.MonkeyPatch,
    renames: int,
) -> None:
    data = Sandbox(workspace.path / "main", any_binaries).data
    data.mkdir(parents=True)
    argv = ("mount", "-t", "tmpfs", "-o", "size=400m", "tmpfs", str(data))
    if subprocess.run(argv, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    account = Sandbox(workspace.path / "main", any_binaries).account
    os.chown(data, account.uid, account.gid)
    try:
        scene = make_scene(workspace, any_binaries)
        scene.sandbox.stop()
        before = old_cluster(data)
        run = begun(scene, monkeypatch, renames=renames)
        assert status(workspace, run)["state"] == "interrupted"
        scene.run("undo", run, "--yes").check_returncode()
        assert differences(before, old_cluster(data)) == []
        scene.restore("--to", "latest").check_returncode()
        assert scene.log.rows_visible() == [1, 2, 3, 4]
        for known in (run, status(workspace)["run"]):
            scene.run("discard", known, "--yes").check_returncode()
        assert not (data / ".pgrescue").exists()
        assert scene.log.rows_visible() == [1, 2, 3, 4]
    finally:
        stop_servers_below(data)
        subprocess.run(("umount", str(data)), check=True)


def old_cluster(data: Path) -> dict[str, Entry]:
    """The data directory without what pgrescue keeps in it."""
    return file_tree(data, ignore=(".pgrescue",))


def begun(scene: Scene, monkeypatch: pytest.MonkeyPatch, *, renames: int) -> str:
    """A restore whose runner was killed after so many renames in the data directory."""
    file = scene.workspace.path / "plan.json"
    planned = scene.run("plan", "--to", "latest")
    assert planned.returncode == 0, planned.stderr
    file.write_text(planned.stdout)
    monkeypatch.setenv("PGRESCUE_STATE", str(scene.workspace.state))
    run = create_run(load_plan(file))
    argv = (sys.executable, "-c", _DYING, str(scene.sandbox.data), str(renames), str(run.path))
    environment = command_environment(scene.workspace.state)
    assert subprocess.run(argv, env=environment, cwd="/", timeout=120, check=False).returncode == -9
    return run.id
