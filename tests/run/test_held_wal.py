"""What a stop may remove has a second name before, or there is no stop."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.plan.model import WalTail
from pgrescue.plan.sealed import seal
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import Aborted, RestoreExecution
from pgrescue.run.executors import held_wal
from pgrescue.run.executors.held_wal import stop_server
from pgrescue.run.executors.rescue import rescue_wal
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import create_run
from tests.run.made_plan import make_plan
from tests.support.made_segments import IDENTIFIER, SIZE, segment

NAMES = tuple(f"00000001{0:08X}{number:08X}" for number in (3, 4, 5))


class Running:
    """A cluster whose server is said to run, and what its stop does."""

    def __init__(self, root: Path) -> None:
        self.pg_wal, self.archive = root / "main/pg_wal", root / "archive"
        self.status = self.pg_wal / "archive_status"
        self.status.mkdir(parents=True)
        self.archive.mkdir()
        for name in NAMES:
            (self.pg_wal / name).write_bytes(segment(name))
        plan = make_plan(str(root / "main"))
        work = replace(
            plan.work,
            old_wal=str(self.pg_wal),
            wal_archive=str(self.archive),
            wal_segment_size=SIZE,
            system_identifier=IDENTIFIER,
        )
        self.plan = replace(plan, id="", work=work, wal_tail=WalTail(NAMES, 1, 1.0, None))
        self.held, self.tail = Path(f"{work.staging}/held"), Path(f"{work.staging}/tail")
        self.stops = 0

    def execution(self) -> RestoreExecution:
        """A run of the plan."""
        plan = seal(self.plan)
        directory = create_run(plan)
        return RestoreExecution(plan, directory, Journal(directory.journal_path))

    def stop(self, _execution: RestoreExecution) -> str:
        """The last checkpoint removes one segment, and makes a later one of another."""
        self.stops += 1
        (self.pg_wal / NAMES[0]).unlink()
        (self.pg_wal / NAMES[1]).rename(self.pg_wal / "000000010000000000000009")
        return "stopped"


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    made = Running(tmp_path)
    monkeypatch.setattr(held_wal, "server_processes", lambda _: [1])
    monkeypatch.setattr(held_wal, "stop", made.stop)
    return made


@pytest.fixture
def without_links(running: Running, monkeypatch: pytest.MonkeyPatch) -> Running:
    """`pg_wal` is on another filesystem."""

    def refuse(*_paths: Path, **_options: bool) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    return running


def contents(place: Path) -> dict[str, bytes]:
    """The segments in a directory."""
    return {path.name: path.read_bytes() for path in place.iterdir()}


def test_what_the_stop_removes_is_rescued_nevertheless(running: Running) -> None:
    execution = running.execution()
    assert stop_server(execution) == "stopped"
    rescue_wal(execution)
    assert contents(running.tail) == {name: segment(name) for name in NAMES}
    assert contents(running.held) == {}


def test_what_is_written_after_that_is_in_it(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second name is no copy."""
    execution = running.execution()

    def writes_first(execution: RestoreExecution) -> str:
        with (running.pg_wal / NAMES[0]).open("r+b") as file:
            file.seek(SIZE - 1)
            file.write(b"!")
        return running.stop(execution)

    monkeypatch.setattr(held_wal, "stop", writes_first)
    stop_server(execution)
    rescue_wal(execution)
    assert (running.tail / NAMES[0]).read_bytes()[-1:] == b"!"


def test_what_has_been_written_anew_under_that_name_is_not_taken(running: Running) -> None:
    """A stop that failed, and a server that went on for long."""
    execution = running.execution()
    stop_server(execution)
    later = "000000010000000000000009"
    (running.pg_wal / later).write_bytes(segment(later))
    (running.archive / NAMES[1]).write_bytes(segment(NAMES[1]))
    rescue_wal(execution)
    assert set(contents(running.tail)) == {NAMES[0], NAMES[2], later}


def test_on_another_filesystem_what_is_finished_is_copied(without_links: Running) -> None:
    """Of the newest one more is written: a beginning of it would hide the archive's."""
    execution = without_links.execution()
    stop_server(execution)
    assert set(contents(without_links.held)) == set(NAMES[:2])
    rescue_wal(execution)
    assert contents(without_links.tail) == {name: segment(name) for name in NAMES}


@pytest.mark.parametrize("word", ["ready", "done"])
def test_a_newest_one_that_is_to_be_archived_is_finished(without_links: Running, word: str) -> None:
    (without_links.status / f"{NAMES[2]}.{word}").touch()
    stop_server(without_links.execution())
    assert set(contents(without_links.held)) == set(NAMES)


def test_nothing_is_deleted_in_what_has_taken_its_place(running: Running, tmp_path: Path) -> None:
    """The directory belongs to the server's account, which root does not trust."""
    execution = running.execution()
    stop_server(execution)
    running.held.rename(tmp_path / "away")
    other = tmp_path / "other"
    other.mkdir()
    (other / "kept").write_text("somebody's")
    running.held.symlink_to(other)
    with pytest.raises(StepFailed):
        rescue_wal(execution)
    assert (other / "kept").read_text() == "somebody's"


def test_what_has_gone_already_costs_no_outage(running: Running) -> None:
    (running.pg_wal / NAMES[1]).unlink()
    execution = running.execution()
    with pytest.raises(StepFailed, match=f"{NAMES[1]} is not in .*pg_wal any more"):
        stop_server(execution)
    assert running.stops == 0
    (running.archive / NAMES[1]).write_bytes(segment(NAMES[1]))
    (running.pg_wal / NAMES[1]).touch()
    stop_server(execution)
    assert running.stops == 1


def test_a_damaged_copy_that_was_mended_counts(running: Running) -> None:
    work = replace(running.plan.work, doubted_wal=NAMES[:1])
    running.plan = replace(running.plan, work=work)
    (running.archive / NAMES[0]).write_bytes(segment(NAMES[0]))
    execution = running.execution()
    stop_server(execution)
    rescue_wal(execution)
    assert set(contents(running.tail)) == set(NAMES[1:])


def test_who_aborts_meanwhile_keeps_the_server(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    execution = running.execution()
    link = os.link

    def link_then_abort(path: Path, other: Path, *, follow_symlinks: bool) -> None:
        link(path, other, follow_symlinks=follow_symlinks)
        execution.request_abort()

    monkeypatch.setattr(os, "link", link_then_abort)
    with pytest.raises(Aborted):
        stop_server(execution)
    assert running.stops == 0


def test_names_are_on_disk_before_the_stop(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[Path, int]] = []

    def noted(path: Path) -> None:
        synced.append((path, running.stops))
        sync_directory(path)

    monkeypatch.setattr(held_wal, "sync_directory", noted)
    stop_server(running.execution())
    assert synced == [(running.held, 0)]


def test_what_cannot_be_copied_keeps_the_server(
    without_links: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_execution: RestoreExecution, source: Path, _copy: Path) -> None:
        raise StepFailed(f"{source.name} cannot be read: Input/output error.")

    monkeypatch.setattr(held_wal, "copy_owned", fail)
    with pytest.raises(StepFailed, match="Input/output error"):
        stop_server(without_links.execution())
    assert without_links.stops == 0


@pytest.mark.parametrize("is_copied", [True, False])
def test_what_is_removed_while_it_is_copied_is_not_missed(
    without_links: Running, monkeypatch: pytest.MonkeyPatch, is_copied: bool
) -> None:
    """The server has archived it; what was read of it may be of another segment by then."""

    def remove(_execution: RestoreExecution, source: Path, copy: Path) -> None:
        content = source.read_bytes()
        source.unlink()
        (without_links.archive / source.name).write_bytes(content)
        if not is_copied:
            raise StepFailed(f"{source.name} cannot be read: No such file or directory.")
        copy.write_bytes(content)

    monkeypatch.setattr(held_wal, "copy_owned", remove)
    monkeypatch.setattr(held_wal, "stop", lambda _: "stopped")
    assert stop_server(without_links.execution()) == "stopped"
    assert contents(without_links.held) == {}
