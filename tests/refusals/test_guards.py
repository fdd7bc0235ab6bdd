"""What no `--yes` gets past: each restore here is given it, and each leaves everything as it is."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.account import run_tool
from pgrescue.demo.sandbox import Sandbox
from pgrescue.plan.checks.places import protected
from pgrescue.postgres.postmaster import find_postmaster, is_alive
from tests.refusals.conftest import QUIET, Scene
from tests.support.command import document, run_pgrescue
from tests.support.files import differences, file_tree
from tests.support.impostor import process_in, single_user
from tests.support.refused import refused, unchanged

pytestmark = pytest.mark.server

REFUSED, STEP_FAILED = 3, 4
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")


@pytest.fixture(scope="module")
def stranger(scene: Scene) -> Sandbox:
    """Another cluster of the same version, stopped."""
    sandbox = scene.workspace.sandbox(scene.sandbox.binaries, "stranger")
    sandbox.init(settings=QUIET)
    sandbox.start()
    sandbox.sql("checkpoint")
    sandbox.stop()
    return sandbox


@pytest.fixture
def copy(scene: Scene) -> Iterator[Path]:
    """A copy of the cluster's data directory: same identity, links into the same tablespace."""
    place = scene.workspace.path / "copy"
    scene.sandbox.stop()
    copied(scene.sandbox.data, place)
    scene.sandbox.start()
    yield place
    shutil.rmtree(place)


def copied(source: Path, target: Path) -> None:
    """With owners and links, as `cp -a` copies."""
    subprocess.run(("cp", "-a", str(source), str(target)), check=True)


@contextmanager
def pid_file(sandbox: Sandbox, pid: int) -> Iterator[None]:
    """The first line of `postmaster.pid` names another process."""
    file = sandbox.data / "postmaster.pid"
    before = file.read_text()
    file.write_text("\n".join([str(pid), *before.split("\n")[1:]]))
    try:
        yield
    finally:
        file.write_text(before)


HOMES = {"/home/anna": "anna", "/var/lib/postgresql": "postgres", "/srv/people/bob": "bob"}


@pytest.mark.parametrize(
    ("path", "said"),
    [
        *((path, "of the system") for path in ("/", "/etc", "/usr", "/var/lib", "/srv", "/tmp")),
        *((path, "of the system") for path in ("/etc/postgresql", "/usr/lib/x", "/proc/self")),
        *(
            (path, "of the system")
            for path in ("/sys/fs", "/dev/disk", "/run/postgresql", "/boot/x")
        ),
        *((path, "of the system") for path in ("/lib/systemd", "/usr/local", "/dev/shm", "/mnt")),
        ("/home/anna", "is the home directory of anna"),
        ("/var/lib/postgresql", "is the home directory of postgres"),
        ("/srv/people", "holds /srv/people/bob, the home directory of bob"),
        *((path, None) for path in ("/home/anna/data", "/srv/main", "/usr/local/pgsql/data")),
        *((path, None) for path in ("/var/lib/postgresql/15/main", "/dev/shm/a", "/mnt/ssd/main")),
        ("/etcetera", None),
    ],
)
def test_paths_of_the_system_and_homes(path: str, said: str | None) -> None:
    reason = protected(path, HOMES)
    assert (reason is None) == (said is None)
    assert said is None or said in (reason or "")


@pytest.mark.parametrize("path", ["/", "/etc/postgresql", "home"])
def test_data_directory_that_is_none_of_a_cluster(
    scene: Scene, config: ClusterConfig, path: str
) -> None:
    if path == "home":
        path = next(e.pw_dir for e in pwd.getpwall() if e.pw_uid > 0 and os.path.isdir(e.pw_dir))
    scene.workspace.configure(replace(config, data_directory=Path(path)))
    told = refused(scene.restore(), REFUSED)
    said = f"{told['title']} {told['cause']}"
    assert "of the system" in said or "home directory" in said


def test_clone_into_a_home(scene: Scene) -> None:
    home = Path(os.path.expanduser("~")).resolve()
    if home == Path("/"):
        pytest.skip("nobody is at home here")
    told = refused(scene.restore("--into", str(home)), REFUSED, "--into DIR")
    said = f"{told['title']} {told['cause']}"
    assert "of the system" in said or "home directory" in said


def test_tablespace_in_the_system(scene: Scene) -> None:
    fast = scene.sandbox.tablespaces / "fast"
    place = scene.workspace.path / "clone"
    there = ("--tablespace", f"{fast}=/etc/pgrescue-test")
    refused(scene.restore("--into", str(place), *there), REFUSED, "of the system", "--tablespace")
    assert not place.exists()
    assert not os.path.exists("/etc/pgrescue-test")


def test_pid_file_that_names_another_process(scene: Scene) -> None:
    tools, account = scene.workspace.path / "tools", scene.sandbox.account
    server = find_postmaster(scene.sandbox.data)
    assert server is not None
    with (
        process_in(Path("/"), tools, "innocent", account) as innocent,
        pid_file(scene.sandbox, innocent),
        unchanged(scene.sandbox),
    ):
        completed = scene.restore()
        refused(completed, REFUSED, f"names {innocent}", f"kill -INT {server.pid}")
        assert is_alive(innocent)


def test_pid_file_that_names_another_clusters_server(scene: Scene, stranger: Sandbox) -> None:
    stranger.start()
    try:
        other = find_postmaster(stranger.data)
        assert other is not None
        with pid_file(scene.sandbox, other.pid), unchanged(scene.sandbox), unchanged(stranger):
            refused(scene.restore(), REFUSED, f"names {other.pid}")
    finally:
        stranger.stop()


def test_pid_file_that_lies_only_when_the_server_is_to_be_stopped(scene: Scene) -> None:
    plan = scene.workspace.path / "before-the-lie.json"
    plan.write_text(scene.run("plan").stdout)
    tools, account = scene.workspace.path / "tools", scene.sandbox.account
    with (
        process_in(Path("/"), tools, "innocent", account) as innocent,
        pid_file(scene.sandbox, innocent),
        unchanged(scene.sandbox, may_hold_wal=True),
    ):
        completed = scene.restore("--plan", str(plan))
        refused(completed, STEP_FAILED, "names another process", "kill -INT")
        assert is_alive(innocent)


def test_stale_pid_file_is_not_believed(scene: Scene, copy: Path, config: ClusterConfig) -> None:
    ended = subprocess.Popen(("true",))
    ended.wait()
    scene.workspace.configure(replace(config, data_directory=copy))
    for pid in (ended.pid, os.getpid()):
        (copy / "postmaster.pid").write_text(f"{pid}\n{copy}\n0\n5432\n/tmp\n\n  0  0\nready\n")
        plan = document(scene.run("plan"))
        said = [f["message"] for f in plan["preflight"] if f["code"] == "cluster.server"]
        assert said == ["No server is running on the data directory."]


def test_single_user_server(scene: Scene) -> None:
    scene.sandbox.stop()
    try:
        with single_user(scene.sandbox) as pid:
            before = scene.sandbox.data.stat().st_ino
            refused(scene.restore(), REFUSED, "single-user mode", f"ps -fp {pid}")
            assert is_alive(pid)
            assert scene.sandbox.data.stat().st_ino == before
    finally:
        scene.sandbox.start()


def test_another_segment_size(scene: Scene, copy: Path, config: ClusterConfig) -> None:
    for link in (copy / "pg_tblspc").iterdir():
        link.unlink()
    program = scene.sandbox.binaries.program("pg_resetwal")
    run_tool(scene.sandbox.account, (program, "--wal-segsize=2", str(copy)), cwd=Path("/"))
    scene.workspace.configure(replace(config, data_directory=copy))
    before = file_tree(copy)
    refused(scene.restore(), REFUSED, "WAL segments of 1048576 bytes", "of 2097152")
    assert differences(before, file_tree(copy)) == []


def test_another_cluster_whose_pg_control_is_damaged(
    scene: Scene, config: ClusterConfig, stranger: Sandbox
) -> None:
    control = stranger.data / "global" / "pg_control"
    whole = control.read_bytes()
    control.write_bytes(bytes(len(whole)))
    try:
        scene.workspace.configure(replace(config, data_directory=stranger.data, log=stranger.log))
        with unchanged(stranger):
            completed = scene.restore("--backup", scene.backup)
        refused(completed, REFUSED, "of another cluster", "the WAL in the data directory has")
    finally:
        control.write_bytes(whole)


def test_another_cluster_inside_the_data_directory(scene: Scene, stranger: Sandbox) -> None:
    nested = scene.sandbox.data / "standby"
    copied(stranger.data, nested)
    try:
        with unchanged(scene.sandbox):
            refused(scene.restore(), REFUSED, f"{nested} lies in {scene.sandbox.data}")
    finally:
        shutil.rmtree(nested)


def test_data_directory_inside_another_clusters(
    scene: Scene, config: ClusterConfig, copy: Path, stranger: Sandbox
) -> None:
    nested = stranger.data / "inner"
    copied(copy, nested)
    for link in (nested / "pg_tblspc").iterdir():
        link.unlink()
    try:
        scene.workspace.configure(replace(config, data_directory=nested))
        with unchanged(stranger):
            refused(scene.restore(), REFUSED, f"is in {stranger.data}, the data directory")
    finally:
        shutil.rmtree(nested)


def test_clone_into_another_cluster(scene: Scene, stranger: Sandbox) -> None:
    with unchanged(stranger):
        completed = scene.restore("--into", str(stranger.data / "clone"))
    refused(completed, REFUSED, f"is in {stranger.data}, the data directory", "--into DIR")


def test_tablespace_of_a_cluster_that_is_only_configured(
    scene: Scene, config: ClusterConfig, copy: Path
) -> None:
    alone = replace(config, data_directory=copy)
    scene.sandbox.stop()
    try:
        scene.workspace.configure(alone)
        assert scene.run("plan").returncode == 0
        scene.workspace.configure(alone, replace(config, name="original"))
        with unchanged(scene.sandbox):
            completed = scene.run("--cluster", "main", "restore", "--yes")
        refused(completed, REFUSED, f"the cluster in {scene.sandbox.data} uses it, too")
    finally:
        scene.sandbox.start()


def test_another_backup_inside_the_data_directory(scene: Scene, config: ClusterConfig) -> None:
    chosen, inside = scene.backup, scene.sandbox.data / "more"
    shutil.copytree(scene.sandbox.backups, inside)
    try:
        scene.workspace.configure(replace(config, backups=(scene.sandbox.backups, inside)))
        with unchanged(scene.sandbox):
            completed = scene.restore("--backup", chosen)
        refused(completed, REFUSED, f"is stored in {scene.sandbox.data}", f"move {inside}")
    finally:
        shutil.rmtree(inside)


def a_backup(inside: Path, scene: Scene) -> str:
    (backup,) = scene.sandbox.backups.iterdir()
    shutil.copytree(backup, inside)
    return "What looks like a backup"


def an_archive(inside: Path, scene: Scene) -> str:
    shutil.copytree(scene.sandbox.wal, inside)
    return "What looks like archived WAL"


def a_cluster(inside: Path, scene: Scene) -> str:
    shutil.copytree(scene.sandbox.data, inside, symlinks=True)
    return "cluster"


@pytest.mark.parametrize("what", [a_backup, an_archive, a_cluster])
def test_what_no_configuration_names_inside_the_data_directory(
    scene: Scene, what: Callable[[Path, Scene], str]
) -> None:
    """Also under a name that begins as those of PostgreSQL's own directories do."""
    scene.sandbox.stop()
    elsewhere = scene.workspace.path / "elsewhere"
    named = what(elsewhere, scene)
    inside = scene.sandbox.data / "pg_standby"
    elsewhere.rename(inside)
    try:
        with unchanged(scene.sandbox):
            completed = scene.restore("--to", "immediate")
        refused(completed, REFUSED, named, str(inside))
    finally:
        shutil.rmtree(inside)
        scene.sandbox.start()


def test_archive_of_another_configured_cluster_inside_the_data_directory(
    scene: Scene, config: ClusterConfig
) -> None:
    inside = scene.sandbox.data / "archive-of-billing"
    inside.mkdir()
    other = replace(
        config, name="billing", data_directory=scene.workspace.path / "gone", wal_archive=inside
    )
    try:
        scene.workspace.configure(config, other)
        with unchanged(scene.sandbox):
            completed = scene.run("--cluster", "main", "restore", "--yes")
        refused(completed, REFUSED, "The WAL archive of the cluster billing is stored in")
    finally:
        inside.rmdir()


def test_journal_inside_the_data_directory(scene: Scene) -> None:
    state = scene.sandbox.data / "state"
    try:
        completed = run_pgrescue(
            "restore", "--yes", "--json", config=scene.workspace.config, state=state
        )
        refused(completed, REFUSED, "What pgrescue knows of its runs is stored in")
        assert not (state / "runs").exists()
    finally:
        shutil.rmtree(state)


def test_clone_over_the_only_backup(scene: Scene) -> None:
    backup = scene.sandbox.backups / "full"
    before = file_tree(backup)
    for place in (backup, backup / "clone"):
        refused(scene.restore("--into", str(place)), REFUSED, "--into DIR")
    completed = scene.restore("--into", str(backup / "clone"))
    refused(completed, REFUSED, "would be written into")
    assert differences(before, file_tree(backup)) == []


def test_clone_inside_what_is_kept_for_something_else(scene: Scene) -> None:
    archive, state = scene.sandbox.wal, scene.workspace.state
    for place in (archive / "clone", state / "clone"):
        planned = scene.run("plan", "--into", str(place))
        assert planned.returncode == REFUSED
        told = document(planned)["preflight"]
        (said,) = [one["message"] for one in told if one["code"] == "clone.place"]
        assert str(place) in said
    assert not list(archive.glob("clone*"))


def test_data_directory_that_is_a_plain_backup(scene: Scene, config: ClusterConfig) -> None:
    chosen, fast = scene.backup, scene.sandbox.tablespaces / "fast"
    apart = scene.sandbox.tablespaces / "fast-of-the-backup"
    plain = scene.sandbox.base_backup("plain", "-Fp", "-T", f"{fast}={apart}")
    try:
        scene.workspace.configure(replace(config, data_directory=plain))
        before = file_tree(plain)
        completed = scene.restore("--backup", chosen)
        refused(completed, REFUSED, f"is stored in {plain}", f"set aside: {apart}")
        assert differences(before, file_tree(plain)) == []
    finally:
        shutil.rmtree(plain)
        shutil.rmtree(apart)


@needs_root
def test_mount_inside_the_data_directory(scene: Scene) -> None:
    mounted = scene.sandbox.data / "pg_snapshots"
    argv = ("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(mounted))
    if subprocess.run(argv, check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with unchanged(scene.sandbox):
            completed = scene.restore()
        refused(completed, REFUSED, f"mounted at {mounted}", "umount")
    finally:
        subprocess.run(("umount", str(mounted)), check=True)


def test_server_whose_pid_file_is_gone_is_stopped_all_the_same(scene: Scene) -> None:
    server = find_postmaster(scene.sandbox.data)
    assert server is not None
    (scene.sandbox.data / "postmaster.pid").unlink()
    scene.restore("--action", "promote").check_returncode()
    assert not is_alive(server.pid)
    assert scene.log.rows_visible() == [1, 2, 3, 4]
