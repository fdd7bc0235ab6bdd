"""The state directory fills up, becomes read-only, is torn, or lies open: no run is lost."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgrescue.config.model import ClusterConfig
from pgrescue.config.state import private_directory
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.errors import PgRescueError
from pgrescue.plan.model import Plan
from pgrescue.run import records, run_directory
from pgrescue.run.fold import fold
from pgrescue.run.journal import RESERVE_BYTES, Journal, read_journal
from pgrescue.run.run_directory import RunDirectory
from tests.faults.faulty import created, make_victim, run_with
from tests.faults.full_disk import fill, make_room, small_file_system
from tests.run.made_plan import make_plan
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished
from tests.support.refused import refused
from tests.support.runs import journal, status
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

SIZE = "20m"
STORY = records.StepBegan(step="extract", title="Extract")
NOTE = records.Note(step="extract", message="what has been done")
RECORDS = 45
"""More than a restore in place writes."""


@pytest.fixture
def small_victim(workspace: Workspace, any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster whose pgrescue keeps its state on a small file system."""
    with small_file_system(workspace.state, SIZE):
        yield make_victim(workspace, any_binaries)


def told(path: Path) -> list[str]:
    """The events that whoever reads the journal gets to know."""
    return [type(record).__name__ for record in read_journal(path)]


def test_half_a_record_does_not_hide_later_ones(tmp_path: Path) -> None:
    """The kernel takes a part of a record, then there is room again."""
    log = Journal(tmp_path / "j")
    log.append(STORY)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((tmp_path / "j").stat().st_size + 9, hard))
    try:
        with pytest.raises(OSError, match="j'"):
            log.append(NOTE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    log.append(NOTE)
    assert told(tmp_path / "j") == ["StepBegan", "Note"]


def test_full_disk_begins_nothing_and_loses_nothing(tmp_path: Path) -> None:
    """What was done is told from the reserve; what would be done next is not begun."""
    with small_file_system(tmp_path / "state", "256k") as place:
        log = Journal(place / "j")
        log.append(STORY)
        fill(place)
        with pytest.raises(OSError, match=r"No space left.*j'"):
            begin_for_ever(log)
        begun = len(told(place / "j"))
        for _ in range(100):
            log.append(NOTE)
        assert told(place / "j") == [*["StepBegan"] * begun, *["Note"] * 100]
        log.may_use_reserve = True
        log.append(STORY)
        log.close()
        again = Journal(place / "j")
        with pytest.raises(OSError, match="j'"):
            again.append(STORY)
        make_room(place)
        again.append(STORY)
        again.close()
        assert told(place / "j")[-2:] == ["StepBegan", "StepBegan"]


def begin_for_ever(log: Journal) -> None:
    while True:
        log.append(STORY)


def test_reserve_is_no_part_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "j"
    log = Journal(path)
    log.append(STORY)
    assert path.read_bytes().count(b"\n") == 1
    assert path.stat().st_blocks * 512 >= RESERVE_BYTES


@pytest.mark.parametrize(
    "nth",
    [pytest.param(nth, marks=() if nth == 12 else pytest.mark.slow) for nth in range(1, RECORDS)],
)
def test_disk_full_at_any_record_then_undone(small_victim: Source, nth: int) -> None:
    """While it is still full: `status` says how it ended, and the old cluster comes back."""
    workspace, run = small_victim.workspace, created(small_victim)
    run_with(run, {"what": "fill", "when": "before", "nth": nth})
    seen = status(workspace, run.id)
    assert nth > RECORDS // 2 or seen["state"] != "succeeded"
    if nth == 1:
        assert seen["state"] == "interrupted", "nothing was begun, and nothing could be written"
    elif seen["state"] != "succeeded":
        assert seen["state"] == "failed"
        told = " ".join((seen["error"]["title"], seen["error"]["cause"]))
        assert re.search("has no room for the step|No space left on device", told)
    undone = workspace.run("undo", run.id, "--yes", "--json")
    assert undone.returncode == 0, undone.stderr
    assert status(workspace, run.id)["state"] == "undone"
    assert small_victim.place.rows() == small_victim.log.expected("latest")
    assert not small_victim.place.in_recovery()


def test_disk_full_then_room_is_made_and_resumed(small_victim: Source) -> None:
    workspace, run = small_victim.workspace, created(small_victim)
    run_with(run, {"what": "fill", "when": "before", "event": "step_began", "word": "configure"})
    again = workspace.run("resume", run.id, "--yes", "--json")
    assert again.returncode == 1
    assert "The file system of the state directory is full." in again.stderr
    make_room(workspace.state)
    workspace.run("resume", run.id, "--yes", check=True)
    assert small_victim.place.rows() == small_victim.log.expected("latest")


def test_run_is_not_begun_on_a_full_disk(small_victim: Source) -> None:
    workspace = small_victim.workspace
    plan = document(workspace.run("plan", "--json", check=True))["id"]
    fill(workspace.state)
    completed = workspace.run(
        "restore", "--plan", str(workspace.state / "plans" / f"{plan}.json"), "--yes", "--json"
    )
    error = refused(completed, 1, "No space left", "df -h")
    assert "It said nothing" not in json.dumps(error)
    assert document(workspace.run("runs", "--json", check=True))["runs"] == []
    assert small_victim.place.is_running


def with_notification(source: Source) -> Path:
    """Where the configured command puts what it is told."""
    place = source.workspace.path / "told"
    cluster: ClusterConfig = replace(cluster_config(source.sandbox), notify=f"cat >{place}")
    source.workspace.configure(cluster)
    return place


def test_journal_that_cannot_be_written_any_more(victim: Source) -> None:
    """As when the file system turns read-only: everybody who can be told is told."""
    workspace, place = victim.workspace, with_notification(victim)
    run = created(victim)
    code = run_with(run, {"what": "deny", "when": "before", "event": "step_began", "word": "extr"})
    assert code == 0
    seen = status(workspace, run.id)
    assert (seen["state"], seen["step"]) == ("interrupted", "set_aside")
    (words,) = [note for note in seen["notes"] if "last words" in note]
    assert "The run ended: failed." in words
    assert "Read-only file system" in words
    notified = json.loads(place.read_text())
    assert (notified["state"], notified["exit_code"]) == ("failed", 4)
    assert "Read-only" in notified["error"]["title"]
    workspace.run("resume", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")
    assert "last words" not in " ".join(status(workspace, run.id)["notes"])


def test_read_only_state_directory(small_victim: Source) -> None:
    """Nothing is begun, the reason is said, and the run is as it was."""
    workspace, run = small_victim.workspace, created(small_victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "extract"})
    before = journal(workspace, run.id)
    remount = ("mount", "-o", "remount,{}", str(workspace.state))
    subprocess.run([part.format("ro") for part in remount], check=True)
    try:
        for command in ("undo", "resume"):
            error = refused(workspace.run(command, run.id, "--yes", "--json"), 1, "Read-only")
            assert error["evidence"] == "Nothing was changed."
        assert status(workspace, run.id)["state"] == "interrupted"
        assert journal(workspace, run.id) == before
    finally:
        subprocess.run([part.format("rw") for part in remount], check=True)
    workspace.run("undo", run.id, "--yes", check=True)
    assert small_victim.place.rows() == small_victim.log.expected("latest")


@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_journal_of_a_real_run_torn_at_every_byte(
    victim: Source, tmp_path: Path, whole: bool
) -> None:
    """Whatever is whole is known, nothing else is, and writing goes on behind it."""
    run = RunDirectory(
        victim.workspace.state / "runs" / finished(victim.restore())["run"],
    )
    plan, data = run.plan(), run.journal_path.read_bytes()
    assert isinstance(plan, Plan)
    lines = data.splitlines(keepends=True)
    torn, at = tmp_path / "torn", 0
    known = read_journal(run.journal_path)
    for number, line in enumerate(lines):
        cuts = range(len(line)) if whole or number % 9 == 8 else (0, 1, len(line) - 1)
        for cut in cuts:
            torn.write_bytes(data[: at + cut])
            assert read_journal(torn) == known[:number]
        state = fold(plan, known[:number])
        log = Journal(torn)
        log.append(NOTE)
        log.close()
        expected = replace(state, notes=(*state.notes, NOTE.message), updated_at=None)
        assert replace(fold(plan, read_journal(torn)), updated_at=None) == expected
        at += len(line)


def test_plan_altered_inside_a_run_is_refused(victim: Source) -> None:
    workspace, run = victim.workspace, created(victim)
    run_with(run, {"what": "die", "when": "after", "event": "step_began", "word": "extract"})
    plan = run.plan_path.read_text()
    elsewhere = workspace.path / "precious"
    elsewhere.mkdir()
    run.plan_path.chmod(0o600)
    run.plan_path.write_text(plan.replace(str(victim.sandbox.data), str(elsewhere)))
    for command in ("resume", "undo"):
        refused(workspace.run(command, run.id, "--yes", "--json"), 3, "altered", "cp ")
    assert elsewhere.is_dir()
    run.plan_path.write_text((workspace.state / "plans" / f"{run.plan().id}.json").read_text())
    workspace.run("undo", run.id, "--yes", check=True)
    assert victim.place.rows() == victim.log.expected("latest")


@pytest.mark.parametrize("mode", [0o755, 0o770, 0o777])
def test_state_directory_that_is_open_to_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, mode: int
) -> None:
    """It is not closed by the program: somebody may have named a directory of the system's."""
    from pgrescue.errors import Refused
    from pgrescue.run.run_directory import create_run

    state = tmp_path / "state"
    state.mkdir()
    state.chmod(mode)
    monkeypatch.setenv("PGRESCUE_STATE", str(state))
    with pytest.raises(Refused, match="open to others") as refusal:
        create_run(make_plan("/srv/main"))
    assert f"chmod 0700 {state}" in refusal.value.next_steps
    assert list(state.iterdir()) == []
    assert state.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
def test_state_directory_of_somebody_else(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from pgrescue.errors import Refused

    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    os.chown(state, 12345, 12345)
    monkeypatch.setenv("PGRESCUE_STATE", str(state))
    with pytest.raises(Refused, match="belongs to somebody else"):
        private_directory("runs")
    monkeypatch.setenv("SUDO_UID", "12345")
    assert private_directory("runs").is_dir(), "who came through sudo may keep it at home"


def test_run_has_its_name_and_all_of_its_files_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Wherever its making is cut off, there is no run with a part of it."""
    from pgrescue.run import durable, run_directory

    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path))
    seen: list[list[str]] = []
    original = durable.sync_directory

    def looking(path: Path) -> None:
        seen.append([run.id for run in run_directory.list_runs()])
        original(path)

    for module in (durable, run_directory):
        monkeypatch.setattr(module, "sync_directory", looking)
    run = run_directory.create_run(make_plan("/srv/main"))
    assert seen[:-1] == [[]] * (len(seen) - 1)
    assert seen[-1] == [run.id]
    run.journal_path.unlink()
    assert run.state().run == run.id, "a run of an older version, cut off before its journal"


def test_state_directory_that_cannot_be_made(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "file" / "state"))
    with pytest.raises(PgRescueError, match="cannot be made") as refusal:
        private_directory("runs")
    assert any("PGRESCUE_STATE" in step for step in refusal.value.next_steps)


class _Standing(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        return cls(2026, 11, 22, 12, tzinfo=UTC)


def test_plan_started_twice_in_one_second(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(run_directory, "datetime", _Standing)
    first = run_directory.create_run(make_plan("/srv/main"))
    with pytest.raises(PgRescueError, match="started a moment ago"):
        run_directory.create_run(make_plan("/srv/main"))
    assert [path.name for path in first.path.parent.iterdir()] == [first.id]
