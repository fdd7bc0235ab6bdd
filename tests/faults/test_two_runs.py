"""Two runs at one place: the second is refused by the name of the first, whoever starts it."""

from __future__ import annotations

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest

from pgrescue.errors import Refused
from pgrescue.run import lock
from pgrescue.run.lock import locked
from tests.faults.faulty import created, run_with
from tests.support.cluster import Workspace
from tests.support.command import Completed, command_environment, document, run_pgrescue
from tests.support.people import run_as, unavailable
from tests.support.places import free_port
from tests.support.refused import refused
from tests.support.runs import held, start_detached, status, wait_for_end, wait_for_step
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

REFUSED = 3
_HOLDER = """
import sys, time
from pgrescue.run.lock import locked
with locked(sys.argv[2:], "held"):
    print("held", flush=True)
    time.sleep(600)
"""


def kept_plan(source: Source, *options: str) -> Path:
    """A plan that is made, and not begun."""
    path = source.workspace.path / "reviewed.json"
    path.write_text(source.workspace.run("plan", *options, "--json", check=True).stdout)
    return path


@contextmanager
def at_work(source: Source, *options: str) -> Iterator[str]:
    """A run that stands still in the middle meanwhile, and ends well afterwards."""
    run = start_detached(source.workspace, *options)
    wait_for_step(source.workspace, run, "extract")
    with held(source.workspace, run):
        yield run
    assert wait_for_end(source.workspace, run)["state"] == "succeeded"


def test_plan_that_was_made_before(victim: Source) -> None:
    """The first is still the last run: what has no name in a command means that one."""
    plan = kept_plan(victim)
    with at_work(victim) as run:
        second = victim.workspace.run("restore", "--plan", str(plan), "--yes", "--json")
        refused(second, REFUSED, run, str(victim.sandbox.data), f"attach {run}")
        assert [one["run"] for one in runs(victim.workspace)] == [run]
        assert status(victim.workspace)["state"] == "running"
        refused(victim.workspace.run("resume", "--yes", "--json"), REFUSED, run, "at work")
    assert victim.place.rows() == victim.log.expected("latest")


def runs(workspace: Workspace) -> list[dict[str, object]]:
    """What `pgrescue runs` lists."""
    listed: list[dict[str, object]] = document(workspace.run("runs", "--json", check=True))["runs"]
    return listed


def elsewhere(source: Source, *args: str) -> Completed:
    """The same account with another state directory."""
    workspace = source.workspace
    return run_pgrescue(*args, config=workspace.config, state=workspace.path / "other-state")


def as_the_server(source: Source, *args: str) -> Completed:
    """The server's own account, whose state directory is its own."""
    account = source.sandbox.account
    if reason := unavailable(account):
        pytest.skip(reason)
    source.workspace.config.chmod(0o644)
    return run_as(account, source.workspace, *args)


@pytest.mark.every_day(1)
@pytest.mark.parametrize("other", [elsewhere, as_the_server])
def test_state_directories_that_do_not_know_each_other(
    victim: Source, other: Callable[..., Completed]
) -> None:
    plan = victim.workspace.path / "reviewed.json"
    made = other(victim, "plan", "--json")
    assert made.returncode == 0, made.stderr
    plan.write_text(made.stdout)
    with at_work(victim) as run:
        second = other(victim, "restore", "--plan", str(plan), "--yes", "--json")
        error = refused(second, REFUSED, run, str(victim.sandbox.data))
        assert str(victim.workspace.state) in error["cause"], "where to look for that run"
        assert json.loads(other(victim, "runs", "--json").stdout)["runs"] == []
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_clones_that_would_share_a_tablespace(victim: Source) -> None:
    sandbox = victim.sandbox
    where = sandbox.create_tablespace("fast")
    sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    victim.backup("with", "-Ft", "-Xs")
    shared = victim.clone_path().parent / "shared"
    options = ("--backup", victim.id_of("with"), "--tablespace", f"{where}={shared}")

    def into(name: str) -> tuple[str, ...]:
        place = victim.clone_path().parent / name
        return ("--into", str(place), "--port", str(free_port()), *options)

    plan = kept_plan(victim, *into("second"))
    with at_work(victim, *into("first")) as run:
        second = victim.workspace.run("restore", "--plan", str(plan), "--yes", "--json")
        refused(second, REFUSED, run, str(shared))
    assert not (shared.parent / "second").exists()


@contextmanager
def holder(state: Path, *places: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has locked places."""
    argv = (sys.executable, "-c", _HOLDER, str(state / "runs" / "first"), *map(str, places))
    process = subprocess.Popen(argv, env=command_environment(state), stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_lock_dies_with_its_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "mine"))
    place = tmp_path / "data"
    with holder(tmp_path / "other", place) as process:
        with pytest.raises(Refused, match="The run first is at work"), locked([str(place)], "r"):
            pass
        with locked([str(tmp_path / "another")], "r"):
            pass
        process.kill()
        process.wait()
        with locked([str(place)], "r"), locked([str(tmp_path / "another")], "r"):
            pass


def test_machines_that_share_a_state_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As containers do: the lock of the one's kernel is not the other's."""
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "shared"))
    monkeypatch.setattr(lock, "_on_this_machine", lambda *_: nullcontext())
    with (
        locked([str(tmp_path / "data")], "first"),
        pytest.raises(Refused, match="The run first is at work"),
        locked([str(tmp_path / "data")], "second"),
    ):
        pass


def test_a_lock_that_the_system_refuses_is_nobody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Refusing(socket.socket):
        def bind(self, address: object, /) -> None:
            raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "mine"))
    monkeypatch.setattr(socket, "socket", Refusing)
    with pytest.raises(OSError, match="Cannot allocate"), locked([str(tmp_path)], "r"):
        pass


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting something needs root")
def test_one_directory_under_two_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "mine"))
    place, link, bound = tmp_path / "data", tmp_path / "link", tmp_path / "bound"
    place.mkdir()
    bound.mkdir()
    link.symlink_to(place)
    if subprocess.run(("mount", "--bind", place, bound), check=False).returncode:
        pytest.skip("nothing can be mounted here")
    try:
        with holder(tmp_path / "other", place):
            for name in (link, bound):
                with pytest.raises(Refused, match="first"), locked([str(name)], "r"):
                    pass
        with locked([str(place), str(link), str(bound)], "one run may know it by several"):
            pass
    finally:
        subprocess.run(("umount", bound), check=True)


@pytest.mark.slow
def test_run_that_was_never_begun_is_closed_by_its_undo(victim: Source) -> None:
    """It changes nothing, and later plans are not troubled by it."""
    workspace, run = victim.workspace, created(victim)
    victim.sandbox.crash()
    seen = status(workspace, run.id)
    assert (seen["run"], seen["state"], seen["step"]) == (run.id, "interrupted", None)
    planned = document(workspace.run("plan", "--json", check=True))
    assert run.id in json.dumps(planned["preflight"])
    workspace.run("undo", run.id, "--yes", check=True)
    assert status(workspace, run.id)["state"] == "undone"
    assert not victim.place.is_running, "it was down, and is nobody's to start"
    planned = document(workspace.run("plan", "--json", check=True))
    assert run.id not in json.dumps(planned["preflight"])


@pytest.mark.slow
def test_facts_are_looked_at_again_as_long_as_nothing_was_changed(victim: Source) -> None:
    workspace, run = victim.workspace, created(victim)
    stopped = {"what": "die", "when": "after", "event": "step_ended", "word": "rescue_wal"}
    run_with(run, stopped)
    assert not victim.place.is_running
    archive = victim.backups["nightly"].path / "backup_manifest"
    taken = archive.stat()
    os.utime(archive, (0, 0))
    refused(workspace.run("resume", run.id, "--yes", "--json"), REFUSED, "out of date", "manifest")
    os.utime(archive, ns=(taken.st_atime_ns, taken.st_mtime_ns))
    workspace.run("resume", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.slow
def test_promotion_is_not_forgotten(victim: Source) -> None:
    """The runner that was told to go on past the pause dies before it tells the server."""
    epoch, workspace = victim.log.epochs[1], victim.workspace
    run = created(victim, "--to-xid", str(epoch.xid))
    run_with(run, None)
    assert status(workspace, run.id)["state"] == "waiting"
    run_with(run, {"what": "die", "when": "after", "event": "started"})
    assert status(workspace, run.id)["state"] == "interrupted"
    workspace.run("resume", run.id, "--yes", check=True)
    assert status(workspace, run.id)["state"] == "succeeded"
    assert not victim.place.in_recovery()


def change_owner(source: Source) -> str:
    os.chown(source.sandbox.data, 0, 0)
    return "owner and mode"


def touch_a_tablespace(source: Source) -> str:
    (archive,) = (source.backups["with"].path).glob("[0-9]*.tar")
    os.utime(archive, (0, 0))
    return archive.name


def touch_the_manifest(source: Source) -> str:
    os.utime(source.backups["with"].path / "backup_manifest", (0, 0))
    return "backup_manifest"


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_more_that_makes_a_plan_stale(victim: Source) -> None:
    sandbox, workspace = victim.sandbox, victim.workspace
    sandbox.create_tablespace("fast")
    victim.backup("with", "-Ft", "-Xs")
    for change in (touch_a_tablespace, touch_the_manifest, change_owner):
        plan = kept_plan(victim, "--backup", victim.id_of("with"))
        named = change(victim)
        completed = workspace.run("restore", "--plan", str(plan), "--yes", "--json")
        os.chown(sandbox.data, sandbox.account.uid, sandbox.account.gid)
        refused(completed, REFUSED, "out of date", named)
    assert victim.place.rows() == victim.log.expected("latest")
