"""Copies that are not what was copied, as a fault of memory or of a device makes them."""

from __future__ import annotations

import hashlib
from io import BufferedReader
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.rescue import copy_owned
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import create_run
from tests.run.conftest import make_plan

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
        path = Path(file.name)
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
    source = tmp_path / "00000001000000000000002A"
    source.symlink_to("/proc/self/mem")
    with pytest.raises(StepFailed, match=f"{source.name} cannot be read: Input/output error"):
        copy_owned(execution, source, tmp_path / "copy")
    assert not list(tmp_path.glob("copy*"))
