"""A full disk is told as one, at whatever call it shows; other errors stay what they are."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.plan.model import Space
from pgrescue.plan.sealed import seal
from pgrescue.plan.space import RESERVE_BYTES
from pgrescue.run import room
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.journal import Journal
from pgrescue.run.room import OutOfRoom, watched
from pgrescue.run.run_directory import RunDirectory
from pgrescue.survey.free_space import Free
from tests.run.made_plan import make_plan


@pytest.fixture
def execution(tmp_path: Path) -> RestoreExecution:
    space = Space(str(tmp_path), 1 << 20, 1 << 30, paths=(str(tmp_path),))
    plan = seal(replace(make_plan(str(tmp_path / "main")), space=(space,)))
    directory = RunDirectory(tmp_path / "run")
    directory.path.mkdir()
    return RestoreExecution(plan, directory, Journal(directory.journal_path))


def test_an_error_of_a_full_disk_is_told_as_one(execution: RestoreExecution) -> None:
    with (
        pytest.raises(OutOfRoom, match="no room for the step 'rescue_wal'"),
        watched(execution, "rescue_wal"),
    ):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "pg_wal/0001")


def test_another_error_stays_what_it_is(execution: RestoreExecution) -> None:
    with pytest.raises(OSError, match="Input/output"), watched(execution, "rescue_wal"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_a_disk_that_is_nearly_full_ends_the_step_before_it_is(
    execution: RestoreExecution, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the next place where a run may be stopped."""
    monkeypatch.setattr(room, "_free", lambda _: Free(RESERVE_BYTES - 1, None))
    with (
        pytest.raises(OutOfRoom, match="no room for the step 'extract'"),
        watched(execution, "extract"),
    ):
        execution.check_abort()
