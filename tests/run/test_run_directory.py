"""Where runs are kept: for our eyes only, each whole or not there, its plan as it was made."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from datetime import datetime, tzinfo
from pathlib import Path

import pytest

from pgrescue.errors import PgRescueError, Refused, UsageError
from pgrescue.plan.model import Plan
from pgrescue.run import run_directory
from pgrescue.run.durable import write_file
from pgrescue.run.later_runs import check_no_later_run
from pgrescue.run.plan_file import load_plan
from pgrescue.run.run_directory import create_run, find_run, list_runs


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state directory that is not there yet."""
    path = tmp_path / "state"
    monkeypatch.setenv("PGRESCUE_STATE", str(path))
    return path


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has stopped, so that two runs begin in the same second."""

    class Stopped(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Stopped:
            return cls(2026, 11, 22, 12, 0, 0, tzinfo=tz)

    monkeypatch.setattr(run_directory, "datetime", Stopped)


def no_room(fd: int) -> None:
    """The sync of a file on a full disk."""
    if stat.S_ISREG(os.fstat(fd).st_mode):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_runs_are_for_our_eyes_only(plan: Plan, state: Path) -> None:
    run = create_run(plan)
    for path in (state, state / "runs", run.path, run.plan_path, run.journal_path):
        assert not path.stat().st_mode & 0o077, path


@pytest.mark.parametrize("mode", [0o701, 0o710, 0o720, 0o755])
def test_a_state_directory_that_is_open_to_others(plan: Plan, state: Path, mode: int) -> None:
    state.mkdir()
    state.chmod(mode)
    with pytest.raises(Refused, match="open to others"):
        create_run(plan)
    assert not list(state.iterdir())


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_state_directory_of_somebody_else(
    plan: Plan, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state.mkdir(mode=0o700)
    os.chown(state, 4711, -1)
    monkeypatch.delenv("SUDO_UID", raising=False)
    with pytest.raises(Refused, match="belongs to somebody else"):
        create_run(plan)
    assert not list(state.iterdir())
    monkeypatch.setenv("SUDO_UID", "4711")
    assert create_run(plan).is_readable


def test_a_state_directory_that_cannot_be_made(plan: Plan, state: Path) -> None:
    state.write_text("a file")
    with pytest.raises(PgRescueError, match=f"{state} cannot be made") as caught:
        create_run(plan)
    assert "PGRESCUE_STATE" in caught.value.next_steps[0]


@pytest.mark.usefixtures("clock")
def test_a_plan_is_not_begun_twice_at_once(plan: Plan) -> None:
    run = create_run(plan)
    with pytest.raises(PgRescueError, match="started a moment ago") as caught:
        create_run(plan)
    assert run.id in caught.value.cause
    assert [one.id for one in list_runs()] == [run.id]
    assert run.plan() == plan


def test_without_room_no_run_is_begun(
    plan: Plan, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(PgRescueError, match="No space left on device") as caught:
        create_run(plan)
    assert any("df -h" in step for step in caught.value.next_steps)
    assert not list((state / "runs").iterdir())


def test_a_plan_that_was_altered_inside_its_run(plan: Plan) -> None:
    run = create_run(plan)
    run.check_plan()
    run.plan_path.chmod(0o600)
    run.plan_path.write_text(run.plan_path.read_text().replace("/srv/main", "/srv/test"))
    with pytest.raises(Refused, match="was altered"):
        run.check_plan()


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "kept"
    write_file(path, "before")
    monkeypatch.setattr(os, "fsync", no_room)
    with pytest.raises(OSError, match="No space left"):
        write_file(path, "after")
    assert path.read_text() == "before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["kept"], "no half file is left"


def test_a_run_is_found_by_the_beginning_of_its_name(plan: Plan) -> None:
    with pytest.raises(UsageError, match=r"There is no run\."):
        find_run(None)
    made = create_run(plan).path
    for name in ("20261122-120000-aaaa", "20261122-130000-bbbb", "20261123-120000-aaaa"):
        shutil.copytree(made, made.with_name(name))
    shutil.rmtree(made)
    assert find_run(None).id == "20261123-120000-aaaa"
    assert find_run("20261123").id == "20261123-120000-aaaa"
    with pytest.raises(UsageError, match="fits several runs") as several:
        find_run("20261122")
    assert several.value.cause == "Among them: 20261122-120000-aaaa, 20261122-130000-bbbb."
    with pytest.raises(UsageError, match="There is no run '2025'") as none:
        find_run("2025")
    assert "20261123-120000-aaaa" in none.value.cause


def test_the_last_run_is_never_an_earlier_one(plan: Plan) -> None:
    """An undo without a name would take back another restore than the one that is meant."""
    made = create_run(plan).path
    for name in ("20261122-120000-aaaa", "20261123-120000-bbbb"):
        shutil.copytree(made, made.with_name(name))
    shutil.rmtree(made)
    broken = made.with_name("20261123-120000-bbbb") / "plan.json"
    broken.chmod(0o600)
    broken.write_text("{}")
    for named in (None, "20261123", "20261123-120000-bbbb"):
        with pytest.raises(Refused, match="plan of the run 20261123-120000-bbbb cannot") as caught:
            find_run(named)
        assert any(f"{plan.id}.json {broken}" in step for step in caught.value.next_steps)
    assert find_run("20261122").id == "20261122-120000-aaaa"
    assert [run.id for run in list_runs()] == ["20261122-120000-aaaa"]


@pytest.mark.usefixtures("clock")
def test_the_last_run_is_the_last_one_though_the_clock_was_set_back(plan: Plan) -> None:
    first = create_run(plan)
    early = first.path.rename(first.path.with_name("20261122-130000-aaaa"))
    second = create_run(plan)
    assert second.id == f"20261122-130001-{plan.id[:4]}"
    assert find_run(None) == second
    assert [run.id for run in list_runs()] == [early.name, second.id]


def test_an_earlier_run_does_not_go_on_while_a_later_one_cannot_be_read(plan: Plan) -> None:
    earlier = create_run(plan)
    later = earlier.path.with_name("30000101-000000-aaaa")
    shutil.copytree(earlier.path, later)
    state = earlier.state()
    check_no_later_run(state)
    (later / "plan.json").chmod(0o600)
    (later / "plan.json").write_text("{}")
    with pytest.raises(Refused, match="later run, 30000101-000000-aaaa, cannot be read"):
        check_no_later_run(state)
    journal = later / "journal.jsonl"
    journal.write_text(journal.read_text().replace("/srv/main", "/srv/test"))
    check_no_later_run(state)
    journal.unlink()
    with pytest.raises(Refused, match="later run, 30000101-000000-aaaa, cannot be read"):
        check_no_later_run(state)


def test_runs_that_nobody_may_look_at(state: Path) -> None:
    (state / "runs").mkdir(parents=True)

    def closed(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    with pytest.MonkeyPatch.context() as patch:  # root may look at anything
        patch.setattr(Path, "iterdir", closed)
        with pytest.raises(Refused, match="cannot be read: Permission denied"):
            find_run(None)


@pytest.mark.parametrize("text", ["", "no JSON", "[]", "{}", '{"kind": "prune"}', '{"kind": 7}'])
def test_a_file_that_is_no_plan(tmp_path: Path, text: str) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text)
    with pytest.raises(UsageError, match="is no plan of pgrescue"):
        load_plan(path)


def test_a_plan_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file"):
        load_plan(tmp_path / "plan.json")
