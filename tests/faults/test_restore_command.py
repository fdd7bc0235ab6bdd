"""A restore_command that does not do what the server takes its answers for."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.demo.account import server_account
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.command_trial import Trial, judge
from pgrescue.survey.command_trial import trial_of, try_restore_command
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished
from tests.support.made_segments import WAL, segment
from tests.support.source import Source

pytestmark = pytest.mark.faults

FIRST, LAST = "000000010000000000000003", "000000010000000000000004"
ACCOUNT = server_account()
LIMIT = 2.0


@pytest.fixture
def archive() -> Iterator[Path]:
    """Two segments that the server's account can read."""
    workspace = Workspace.make()
    try:
        place = workspace.path / "archive"
        place.mkdir(mode=0o755)
        for name in (FIRST, LAST):
            (place / name).write_bytes(segment(name))
        yield place
    finally:
        workspace.destroy()


def tried(command: str) -> Trial:
    return try_restore_command(command, ACCOUNT, WAL, (FIRST, LAST), LIMIT)


def found(command: str, *, needed: bool = True) -> list[Finding]:
    return list(judge(tried(command), needed=needed))


def test_a_good_command_is_trusted(archive: Path) -> None:
    (finding,) = found(f"cp {archive}/%f %p")
    assert finding.status == "ok"
    assert FIRST in finding.message
    assert LAST in finding.message
    assert tried(f"cp {archive}/%f %p").proven == FIRST


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("echo no route to host >&2; exit 1 # %f %p", "no route to host"),
        ("case %f in *3) cp {0}/%f %p;; *) exit 1;; esac", f"{LAST} is not there"),
        ("case %f in *4) cp {0}/%f %p;; *) exit 1;; esac", f"{FIRST} is not there"),
        ("true %f %p", "there is no file"),
        ("cp {0}/%f %p 2>/dev/null; true", "there is no file"),
        ("head -c 100 {0}/%f >%p", "has 100 bytes instead of 1048576"),
        (f"cp {{0}}/{FIRST} %p # %f", "holds the WAL from 0/300000"),
        ("test -e {0}/%f || exit 255; cp {0}/%f %p", "recovery would stop with an error"),
        ("test -e {0}/%f && cp {0}/%f %p || touch %p", "a file that cannot be there"),
        ("exit 130 # %f %p", "failed for"),
        ("kill -9 $$ # %f %p", "failed for"),
        ("no-such-program %f %p", "with exit code 12"),
    ],
)
def test_a_bad_command_is_found_out(archive: Path, command: str, why: str) -> None:
    findings = found(command.format(archive))
    assert any(why in finding.message for finding in findings), findings
    assert all(finding.status != "ok" and finding.fix for finding in findings)
    only_the_last = "*3)" in command
    assert any(item.status == "blocker" for item in findings) != only_the_last


def test_not_there_forbids_nothing_where_nothing_depends_on_it(archive: Path) -> None:
    (finding,) = found("exit 1 # %f %p", needed=False)
    assert finding.status == "warning"


def test_a_command_that_hangs_is_ended_with_all_that_it_has_started(archive: Path) -> None:
    pids = archive / "pids"
    pids.touch()
    pids.chmod(0o666)
    began = time.monotonic()
    (finding,) = found(f"sleep 611 & echo $! >>{pids}; sleep 612; cp {archive}/%f %p")
    assert time.monotonic() - began < 4 * LIMIT, "and nothing more is asked of it"
    assert finding.status == "blocker"
    assert "did not end within 2 seconds" in finding.message
    (pid,) = pids.read_text().split()
    state = Path(f"/proc/{pid}/stat")
    assert not state.exists() or ") Z " in state.read_text()


def test_it_is_called_in_the_servers_way(archive: Path) -> None:
    said = archive / "said"
    said.touch()
    said.chmod(0o666)
    line = f"id -u >>{said}; echo %f %p %r 100%% >>{said}; test -d pg_wal && cp {archive}/%f %p"
    (finding,) = found(line)
    assert finding.status == "ok"
    uid = ACCOUNT.uid if os.geteuid() == 0 else os.geteuid()
    missing = "00000001FFFFFFFF00000001"
    assert said.read_text().splitlines() == [
        line
        for name in (FIRST, LAST, missing)
        for line in (str(uid), f"{name} pg_wal/RECOVERYXLOG {FIRST} 100%")
    ]


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster whose WAL comes by a command only; a good one, to begin with."""
    workspace = Workspace.make()
    try:
        made = Source.make(workspace, any_binaries)
        made.backup("nightly", "-Ft", "-Xs")
        for _ in range(3):
            made.log.mark("after the backup")
            made.sandbox.switch_wal()
        yield made
    finally:
        workspace.destroy()


def configure(source: Source, command: str) -> None:
    known = cluster_config(source.sandbox)
    source.workspace.configure(replace(known, wal_archive=None, restore_command=command))


def trial_in(document: dict[str, Any], key: str) -> list[tuple[str, str]]:
    return [
        (item["status"], item["message"])
        for item in document[key]
        if item["code"] == "wal.restore_command"
    ]


@pytest.mark.server
@pytest.mark.parametrize(
    "command", ["exit 1 # %f %p", pytest.param("true %f %p", marks=pytest.mark.slow)]
)
def test_plan_restore_and_doctor_catch_it(source: Source, command: str) -> None:
    configure(source, command)
    plan = document(source.workspace.run("plan", "--json"))
    assert trial_in(plan, "preflight")[0][0] == "blocker"
    completed = source.workspace.run("restore", "--yes", "--json")
    assert completed.returncode == 3
    assert source.place.is_running, "nothing was stopped for it"
    diagnosis = document(source.workspace.run("doctor", "--json"))
    assert trial_in(diagnosis, "findings")[0][0] == "blocker"


@pytest.mark.server
def test_a_good_command_restores_everything(source: Source) -> None:
    configure(source, f"cp {source.sandbox.wal}/%f %p")
    plan = document(source.workspace.run("plan", "--json"))
    assert [status for status, _ in trial_in(plan, "preflight")] == ["ok"]
    with source.clone("--to", "latest") as clone:
        assert clone.rows() == source.log.expected("latest")


@pytest.mark.server
def test_a_network_that_breaks_during_recovery_does_not_end_it(source: Source) -> None:
    """From the third segment on it says "not there" of everything, as when it cannot look."""
    archived = sorted(name for name in os.listdir(source.sandbox.wal) if len(name) == 24)
    broken = source.workspace.path / "broken"
    victim = archived[-2]
    gone = f"[ -e {broken} ] || [ %f = {victim} ]"
    configure(
        source,
        f"if {gone}; then touch {broken}; exit 1; fi; cp {source.sandbox.wal}/%f %p",
    )
    source.workspace.path.chmod(0o777)
    with source.clone("--to", "latest", check=False) as clone:
        assert clone.completed.returncode == 4, clone.completed.stderr
        assert not clone.is_running, "it has not opened without its last commits"
        error = clone.status["error"]
        assert isinstance(error, dict)
        assert broken.exists(), "it has asked for that one"


@pytest.mark.server
@pytest.mark.parametrize(
    "spoil",
    [
        "another",
        *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("cut off", "half compressed")),
    ],
)
def test_wrong_wal_in_the_archive_does_not_end_recovery(source: Source, spoil: str) -> None:
    source.workspace.configure(cluster_config(source.sandbox))
    archived = sorted(name for name in os.listdir(source.sandbox.wal) if len(name) == 24)
    victim, other = source.sandbox.wal / archived[-2], source.sandbox.wal / archived[-3]
    kept = source.workspace.path / "kept"
    shutil.move(victim, kept)
    compressed = victim.with_name(f"{victim.name}.gz")
    try:
        match spoil:
            case "another":
                shutil.copy(other, victim)
            case "cut off":
                victim.write_bytes(kept.read_bytes()[:4096])
            case _:
                compressed.write_bytes(gzip.compress(kept.read_bytes())[:-5])
        for path in (victim, compressed):
            if path.exists():
                path.chmod(0o644)
        with source.clone("--to", "latest", check=False) as clone:
            assert clone.completed.returncode == 4, clone.completed.stderr
            assert not clone.is_running
    finally:
        compressed.unlink(missing_ok=True)
        shutil.move(kept, victim)


@pytest.mark.server
def test_the_script_is_tried_before_the_server_is_started(source: Source) -> None:
    """What was listed when the plan was made cannot be read any more when it is needed."""
    source.workspace.configure(cluster_config(source.sandbox))
    shown = document(source.workspace.run("plan", "--into", str(source.clone_path()), "--json"))
    kept = source.workspace.path / "archive-away"
    path = source.workspace.state / "plans" / f"{shown['id']}.json"
    shutil.move(source.sandbox.wal, kept)
    try:
        completed = source.workspace.run("restore", "--plan", str(path), "--yes", "--json")
    finally:
        shutil.move(kept, source.sandbox.wal)
    assert completed.returncode == 4
    last = finished(completed)
    assert last["step"] == "place_wal"
    assert "cannot read the directory" in last["error"]["title"]


@pytest.mark.server
def test_a_trial_without_room_is_no_verdict(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    known = replace(cluster_config(source.sandbox), restore_command="cp /nowhere/%f %p")
    backup = read_backup(source.sandbox.backups / "nightly", whole=True)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    with pytest.raises(Refused, match="could not be tried") as caught:
        trial_of(known, ACCOUNT, backup, None)
    assert "No space left on device" in caught.value.cause
    assert "TMPDIR" in caught.value.next_steps[0]
