"""Copies that are not what was copied, as a fault of memory or of a device makes them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from io import BufferedReader
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.plan.model import WalTail
from pgrescue.plan.sealed import seal
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.rescue import copy_owned, rescue_wal
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import create_run
from tests.run.made_plan import make_plan
from tests.support.made_segments import IDENTIFIER, SIZE, segment

SEGMENTS = ("000000010000000000000003", "000000010000000000000004")
CONTENT = bytes(range(256)) * 8192


@pytest.fixture
def execution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreExecution:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    plan = make_plan(str(tmp_path / "main"))
    directory = create_run(plan)
    return RestoreExecution(plan, directory, Journal(directory.journal_path))


def test_a_copy_is_what_was_copied(execution: RestoreExecution, tmp_path: Path) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(CONTENT)
    copy_owned(execution, source, copy)
    assert copy.read_bytes() == CONTENT
    assert sorted(path.name for path in tmp_path.glob("copy*")) == ["copy"]


def test_a_copy_that_reads_otherwise_is_refused(
    execution: RestoreExecution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, copy = tmp_path / "source", tmp_path / "copy"
    source.write_bytes(CONTENT)
    read_again = hashlib.file_digest

    def spoiled(file: BufferedReader, name: str) -> object:
        """As if one byte had changed on its way to the disk."""
        path = Path(os.readlink(f"/proc/self/fd/{file.fileno()}"))
        content = bytearray(path.read_bytes())
        content[70_000] ^= 1
        path.write_bytes(content)
        return read_again(file, name)

    monkeypatch.setattr(hashlib, "file_digest", spoiled)
    with pytest.raises(StepFailed, match="The copy of source is not what was copied"):
        copy_owned(execution, source, copy)
    assert not list(tmp_path.glob("copy*")), "and nothing of it is left"


def test_a_source_that_cannot_be_read_is_named(execution: RestoreExecution, tmp_path: Path) -> None:
    """/proc/self/mem gives an input/output error at its beginning."""
    with pytest.raises(StepFailed, match="mem cannot be read: Input/output error"):
        copy_owned(execution, Path("/proc/self/mem"), tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))


def test_a_link_is_neither_read_nor_written_through(
    execution: RestoreExecution, tmp_path: Path
) -> None:
    """Root copies from and to directories in which the server's account may plant any link."""
    secret, planted = tmp_path / "secret", tmp_path / "00000099.history"
    secret.write_text("root's own")
    planted.symlink_to(secret)
    with pytest.raises(StepFailed, match="cannot be read"):
        copy_owned(execution, planted, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
    (tmp_path / "copy.pgrescue-new").symlink_to(secret)
    source = tmp_path / "source"
    source.write_bytes(CONTENT)
    copy_owned(execution, source, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert secret.read_text() == "root's own"


def test_owner_and_mode_are_not_given_to_what_a_link_leads_to(
    execution: RestoreExecution, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.mkdir(mode=0o755)
    (tmp_path / "base").symlink_to(other)
    with pytest.raises(OSError, match="symbolic link"):
        execution.give_to_owner(tmp_path / "base", 0o700)
    assert other.stat().st_mode & 0o777 == 0o755


@pytest.fixture
def counted_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreExecution:
    """A plan that counts on two segments of the old pg_wal, and an archive that lacks them."""
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    pg_wal, archive = tmp_path / "main/pg_wal", tmp_path / "archive"
    pg_wal.mkdir(parents=True)
    archive.mkdir()
    for name in SEGMENTS:
        (pg_wal / name).write_bytes(segment(name))
    plan = make_plan(str(tmp_path / "main"))
    work = replace(
        plan.work,
        old_wal=str(pg_wal),
        wal_archive=str(archive),
        wal_segment_size=SIZE,
        system_identifier=IDENTIFIER,
    )
    plan = seal(replace(plan, id="", work=work, wal_tail=WalTail(SEGMENTS, 1, 1.0, None)))
    directory = create_run(plan)
    return RestoreExecution(plan, directory, Journal(directory.journal_path))


def test_a_segment_that_has_gone_since_the_plan_stops_the_run(
    counted_on: RestoreExecution, tmp_path: Path
) -> None:
    """Recovery would end before it, after everything has been moved."""
    gone = tmp_path / "main/pg_wal" / SEGMENTS[0]
    gone.unlink()
    with pytest.raises(StepFailed, match=f"{gone.name} is not in .*pg_wal any more"):
        rescue_wal(counted_on)
    (tmp_path / "archive" / gone.name).write_bytes(segment(gone.name))
    assert rescue_wal(counted_on).startswith("1 segments that the archive lacks")


def test_what_an_earlier_try_has_copied_is_not_written_again(
    counted_on: RestoreExecution,
) -> None:
    rescue_wal(counted_on)
    copies = sorted(Path(counted_on.work.staging, "tail").iterdir())
    before = [copy.stat().st_ino for copy in copies]
    damaged = copies[0]
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"?")
    rescue_wal(counted_on)
    after = [copy.stat().st_ino for copy in copies]
    assert [copy.name for copy in copies] == list(SEGMENTS)
    assert after[1] == before[1]
    assert after[0] != before[0], "one that differs is"


def test_what_the_archive_has_got_since_is_not_hidden_by_an_earlier_runs_copy(
    counted_on: RestoreExecution, tmp_path: Path
) -> None:
    earlier = tmp_path / "earlier" / SEGMENTS[0]
    earlier.parent.mkdir()
    for path in (earlier, tmp_path / "archive" / SEGMENTS[0]):
        path.write_bytes(segment(SEGMENTS[0]))
    (tmp_path / "main/pg_wal" / SEGMENTS[0]).unlink()
    work = replace(counted_on.work, rescued=(str(earlier),))
    plan = seal(replace(counted_on.plan, id="", work=work))
    rescue_wal(RestoreExecution(plan, counted_on.directory, counted_on.journal))
    assert [path.name for path in Path(work.staging, "tail").iterdir()] == [SEGMENTS[1]]
