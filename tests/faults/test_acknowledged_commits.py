"""After a crash without a clean stop, no commit that a client was told of is lost."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import servers_below, wait_until
from tests.faults import remembering_client
from tests.faults.faulty import created, run_with
from tests.support.cluster import Workspace
from tests.support.command import ROOT, document, finished
from tests.support.files import file_tree
from tests.support.source import Source, step_results

pytestmark = [pytest.mark.server, pytest.mark.faults]

CLIENTS = 3
DURABLE = {"fsync": "on", "synchronous_commit": "on", "max_wal_size": "64MB"}
_COMMIT = re.compile(r"desc: COMMIT (PREPARED )?")


def acknowledged(workspace: Workspace) -> set[tuple[int, int]]:
    """What the clients remember; a line that was cut off was not written down."""
    known: set[tuple[int, int]] = set()
    for path in workspace.path.glob("memory-*"):
        for line in path.read_text().split("\n")[:-1]:
            client, n = line.split()
            known.add((int(client), int(n)))
    return known


def kill_everything(source: Source) -> None:
    """SIGKILL for every process of the server at once, as when the machine goes down."""
    for pid in servers_below(source.sandbox.data):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not servers_below(source.sandbox.data), "the end of the killed server")


def commits_in(source: Source, segments: list[str]) -> int:
    """How many commit records these segments of the dead `pg_wal` hold, by pg_waldump."""
    program = source.sandbox.binaries.program("pg_waldump")
    wal = source.sandbox.data / "pg_wal"
    said = subprocess.run(
        (program, "-r", "Transaction", "-p", str(wal), segments[0], segments[-1]),
        capture_output=True,
        text=True,
        check=False,  # it complains of the end of the WAL
        cwd="/",
    )
    return sum(1 for line in said.stdout.splitlines() if _COMMIT.search(line))


def crashed_under_load(workspace: Workspace, binaries: ServerBinaries, *, archives: bool) -> Source:
    """A cluster with a backup that was killed while clients were committing."""
    source = Source.make(workspace, binaries, settings=DURABLE)
    source.sandbox.sql(remembering_client.PREPARE)
    source.backup("nightly", "-Ft", "-Xs")
    source.sandbox.switch_wal()
    if not archives:
        source.sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
    clients = [
        subprocess.Popen(
            (
                *(sys.executable, "-m", "tests.faults.remembering_client"),
                *(source.sandbox.conninfo(), str(number)),
                str(workspace.path / f"memory-{number}"),
            ),
            cwd=ROOT,
            stderr=subprocess.DEVNULL,
        )
        for number in range(CLIENTS)
    ]
    try:
        segments = len(list(source.sandbox.data.glob("pg_wal/0*")))
        wait_until(
            lambda: (
                len(acknowledged(workspace)) > 600
                and (not archives or len(list(source.sandbox.wal.iterdir())) > segments + 1)
            ),
            "some load",
        )
        kill_everything(source)
    finally:
        for client in clients:
            client.terminate()
            client.wait(20)
    return source


@pytest.mark.every_day(1)
@pytest.mark.parametrize("archives", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_no_acknowledged_commit_is_lost(
    workspace: Workspace, server_binaries: ServerBinaries, archives: bool
) -> None:
    source = crashed_under_load(workspace, server_binaries, archives=archives)
    known = acknowledged(workspace)
    assert len(known) > 600
    plan = document(workspace.run("plan", "--to", "latest", "--json", check=True))
    tail = plan["wal_tail"]
    assert tail["commits"] == commits_in(source, tail["segments"]) > 0
    assert 0 < tail["seconds"] < 600
    (said,) = [item["message"] for item in plan["preflight"] if item["code"] == "wal.tail"]
    assert f"{tail['commits']:,} commit" in said
    assert f"{tail['seconds']:,.1f} seconds" in said
    text = workspace.run("plan", "--to", "latest", check=True).stdout
    assert f"{tail['commits']:,} commit" in " ".join(text.split())
    last = finished(source.restore("--to", "latest"))
    assert last["state"] == "succeeded", last["error"]
    assert (
        f"{len(tail['segments'])} segments that the archive lacks"
        in (step_results(last)["rescue_wal"])
    )
    rows = source.place.sql("select client, n from acknowledged")
    there = {(int(client), int(n)) for client, n in (row.split("|") for row in rows)}
    assert known <= there
    # A client may have been killed between the commit and writing it down, not more than that.
    assert len(there - known) <= CLIENTS
    assert not [n for _, n in there if n % 20 == 0], "what was rolled back"


@pytest.mark.slow
def test_what_cannot_be_rescued_is_told_before_anything_moves(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """Damage that came after the plan, in WAL that is nowhere else."""
    source = crashed_under_load(workspace, any_binaries, archives=False)
    plan = document(workspace.run("plan", "--to", "latest", "--json", check=True))
    path = workspace.state / "plans" / f"{plan['id']}.json"
    victim = source.sandbox.data / "pg_wal" / plan["wal_tail"]["segments"][0]
    before = sorted(source.sandbox.data.parent.iterdir())
    whole = victim.read_bytes()
    spoiled = bytearray(whole)
    spoiled[len(whole) // 2 : len(whole) // 2 + 64] = bytes(64)
    victim.write_bytes(spoiled)
    completed = workspace.run("restore", "--plan", str(path), "--yes", "--json")
    assert completed.returncode == 4
    last = finished(completed)
    assert last["step"] == "rescue_wal"
    assert victim.name in last["error"]["cause"]
    assert "Nothing has been moved" in last["error"]["evidence"]
    left = [name for name in source.sandbox.data.parent.iterdir() if name not in before]
    assert [name.name.endswith("-wal") for name in left] == [True], "only the copies"
    victim.write_bytes(whole)
    assert finished(workspace.run("resume", "--yes", "--json"))["state"] == "succeeded"
    rows = source.place.sql("select client, n from acknowledged")
    there = {(int(client), int(n)) for client, n in (row.split("|") for row in rows)}
    assert acknowledged(workspace) <= there


@pytest.mark.slow
def test_a_damaged_copy_in_the_archive_does_not_count(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """The archive has the newest segment compressed and cut off; pg_wal has it whole."""
    source = Source.make(workspace, any_binaries)
    source.backup("nightly", "-Ft", "-Xs")
    source.log.mark("in the segment that was archived badly")
    name = source.sandbox.switch_wal()
    source.log.mark("behind it")
    source.sandbox.crash()
    archived = source.sandbox.wal / name
    subprocess.run(("gzip", str(archived)), check=True)
    copy = Path(f"{archived}.gz")
    copy.write_bytes(copy.read_bytes()[:-20])
    plan = document(workspace.run("plan", "--to", "latest", "--json", check=True))
    assert plan["wal_tail"]["segments"][0] == name
    assert finished(source.restore("--to", "latest"))["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.every_day(1)
@pytest.mark.parametrize(
    "compressed", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["plain", "gzip"]
)
def test_an_early_copy_in_the_archive_does_not_count(
    workspace: Workspace, server_binaries: ServerBinaries, compressed: bool
) -> None:
    """Somebody has copied pg_wal there in need, and the server has written on: whole, but older."""
    source = Source.make(workspace, server_binaries)
    source.backup("nightly", "-Ft", "-Xs")
    source.sandbox.switch_wal()
    source.log.mark("before it was copied")
    (name,) = source.place.sql("select pg_walfile_name(pg_current_wal_lsn())")
    newest = source.sandbox.data / "pg_wal" / name
    shutil.copy(newest, source.sandbox.wal)
    if compressed:
        subprocess.run(("gzip", str(source.sandbox.wal / newest.name)), check=True)
    source.log.mark("after it was copied")
    source.sandbox.crash()
    plan = document(workspace.run("plan", "--to", "latest", "--json", check=True))
    assert plan["wal_tail"]["segments"] == [newest.name]
    assert plan["wal_tail"]["commits"] >= 1
    assert finished(source.restore("--to", "latest"))["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.every_day(1)
@pytest.mark.parametrize("runs", [True, False], ids=["running", "crashed"])
def test_of_an_archived_segment_that_is_rotten_the_one_in_pg_wal_is_used(
    workspace: Workspace, any_binaries: ServerBinaries, runs: bool
) -> None:
    """The server has archived it by its own account: it looks no more after it, and a stop makes
    a new segment of it."""
    source = Source.make(workspace, any_binaries)
    source.backup("nightly", "-Ft", "-Xs")
    source.log.mark("in a segment that is archived")
    name = source.sandbox.switch_wal()
    source.log.mark("behind it, archived, too")
    source.sandbox.switch_wal()
    if not runs:
        source.sandbox.crash()
    assert (source.sandbox.data / "pg_wal" / "archive_status" / f"{name}.done").exists()
    archived = source.sandbox.wal / name
    at = bytearray(archived.read_bytes())
    at[256:512] = os.urandom(256)  # behind the header of its first page
    archived.write_bytes(at)
    plan = document(workspace.run("plan", "--to", "latest", "--json", check=True))
    assert plan["wal_tail"]["segments"][0] == name
    assert finished(source.restore("--to", "latest"))["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.slow
def test_a_segment_that_cannot_be_read_forbids_the_plan(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """What is at its name is no file, and gives an error where it leads to."""
    source = Source.make(workspace, any_binaries)
    source.backup("nightly", "-Ft", "-Xs")
    source.sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
    source.log.mark("only in pg_wal")
    source.sandbox.crash()
    newest = max(source.sandbox.data.glob("pg_wal/0*[0-9A-F]"))
    kept = newest.rename(newest.with_name("kept"))
    newest.symlink_to("/proc/self/mem")
    completed = workspace.run("restore", "--to", "latest", "--yes", "--json")
    assert completed.returncode == 3
    assert f"{newest.name} is not in the archive and cannot be read: " in (completed.stderr)
    assert f"mv {newest}" in completed.stderr
    newest.unlink()
    kept.rename(newest)
    assert finished(source.restore("--to", "latest"))["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.every_day(1)
@pytest.mark.parametrize("archived", [True, False])
def test_commits_of_a_server_that_was_started_between_two_runners_are_not_lost(
    victim: Source, archived: bool
) -> None:
    """A copy of its WAL was made before; the segment goes on in the archive, or in `pg_wal`."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "set_aside"})
    assert not victim.place.is_running
    victim.sandbox.start()
    victim.log.mark("while no runner was at work")
    if archived:
        victim.sandbox.switch_wal()
    victim.sandbox.crash()
    workspace.run("resume", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
    (tail,) = victim.sandbox.directory.glob("data.pgrescue-*-wal/tail")
    stale = set(os.listdir(tail)) & set(os.listdir(victim.sandbox.wal))
    assert not stale, "a copy of what the archive has by now, maybe with more in it"


def test_a_rescued_copy_that_is_the_only_one_by_now_stays(victim: Source) -> None:
    """Somebody has tidied the old `pg_wal` up between two runners."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "set_aside"})
    (tail,) = victim.sandbox.directory.glob("data.pgrescue-*-wal/tail")
    copies = os.listdir(tail)
    assert copies
    for name in copies:
        (victim.sandbox.data / "pg_wal" / name).unlink()
    (tail / "000000010000000000000077.pgrescue-new").write_text("half of one")
    workspace.run("resume", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
    assert sorted(os.listdir(tail)) == sorted(copies)


def test_a_rescued_copy_stays_while_the_archives_is_cut_off(victim: Source) -> None:
    """The archive has a file of that name, and it is not whole: the copy is the only good one."""
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "set_aside"})
    (tail,) = victim.sandbox.directory.glob("data.pgrescue-*-wal/tail")
    (name, *_) = sorted(name for name in os.listdir(tail) if len(name) == 24)
    (victim.sandbox.wal / name).write_bytes((tail / name).read_bytes()[: 1 << 19])
    (victim.sandbox.data / "pg_wal" / name).unlink()
    workspace.run("resume", run.id, "--yes")
    assert (tail / name).exists()


def test_a_clone_of_a_crashed_cluster_has_its_last_commits_too(victim: Source) -> None:
    """What a careful person does first; the crashed cluster itself stays as it is."""
    victim.log.mark("not archived any more")
    victim.sandbox.crash()
    before = file_tree(victim.sandbox.data)
    with victim.clone("--to", "latest", "--action", "promote") as clone:
        assert clone.status["state"] == "succeeded"
        assert "segments that the archive lacks" in step_results(clone.status)["rescue_wal"]
        assert clone.rows() == victim.log.expected("latest")
    assert file_tree(victim.sandbox.data) == before


def test_a_clone_of_a_running_cluster_says_what_it_will_not_have(victim: Source) -> None:
    into = ("--into", str(victim.clone_path()))
    for target, wanted in (("latest", True), ("immediate", False)):
        plan = document(victim.workspace.run("plan", "--to", target, *into, "--json"))
        told = [item["message"] for item in plan["preflight"] if item["code"] == "wal.tail"]
        assert any("is not in the clone" in message for message in told) is wanted


@pytest.mark.slow
def test_a_segment_that_cannot_be_read_does_not_forbid_a_clone(victim: Source) -> None:
    """It takes nothing away: what it could not get is told."""
    victim.log.mark("not archived any more")
    victim.sandbox.crash()
    os.mkfifo(victim.sandbox.data / "pg_wal" / "0000000100000000000000FF")
    with victim.clone("--to", "latest", "--action", "promote") as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == victim.log.expected("latest")
        assert "0000000100000000000000FF" in str(clone.status["notes"])


@pytest.mark.slow
def test_a_timeline_that_only_the_dead_cluster_knows_is_handed_on_to_a_clone(
    victim: Source,
) -> None:
    victim.restore("--to", "latest")
    victim.sandbox.switch_wal()
    victim.log.mark("on the second timeline")
    victim.sandbox.switch_wal()
    victim.sandbox.stop()
    (victim.sandbox.wal / "00000002.history").unlink()
    target = ("--to-xid", str(victim.log.epochs[-1].xid), "--action", "promote")
    with victim.clone(*target) as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == victim.log.expected("latest")
