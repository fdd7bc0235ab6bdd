"""A failed run is explained by what this very start has said, and by nothing that ended nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.errors import StepFailed, TargetNotReached
from pgrescue.plan.model import Move
from pgrescue.postgres.service import ServiceSpec
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.explained import server_failed, tool_failed
from pgrescue.run.failures import failure_of
from pgrescue.run.journal import Journal
from pgrescue.run.records import ServerStarting
from pgrescue.run.run_directory import create_run
from tests.run.made_plan import make_plan

TITLE = "The server went down during recovery."
START = "2026-11-20 03:00:00.000 UTC [100] LOG:  starting PostgreSQL 16.3 on x86_64-pc-linux-gnu\n"
LAST_WEEK = (
    "2026-11-13 03:00:00.000 UTC [50] LOG:  starting PostgreSQL 16.3 on x86_64-pc-linux-gnu\n"
    "2026-11-13 03:00:00.000 UTC [51] LOG:  starting point-in-time recovery to 2026-01-01 10:00\n"
    "2026-11-13 04:00:00.000 UTC [51] FATAL:  recovery ended before configured recovery target "
    "was reached\n"
)
NOT_RESTORED = (
    '2026-11-20 03:00:05 UTC [103] FATAL:  could not restore file "000000010000000000000005" '
    "from archive: child process exited with exit code 127\n"
)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "main"
    (made / "log").mkdir(parents=True)
    return made


@pytest.fixture
def execution(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreExecution:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    plan = make_plan(str(data), (Move(str(data), f"{data}.old", False),))
    directory = create_run(plan)
    return RestoreExecution(plan, directory, Journal(directory.journal_path))


def failed(execution: RestoreExecution, log: str, collected: str | None = None) -> StepFailed:
    data = Path(execution.work.data_directory)
    data.with_name(f"{data.name}.log").write_text(log)
    if collected is not None:
        (data / "log/c.log").write_text(collected)
        (data / "current_logfiles").write_text("stderr log/c.log\n")
    return server_failed(execution, TITLE)


@pytest.mark.parametrize(
    "note",
    [
        "2026-11-20 03:00:01 UTC [150] mon@mon FATAL:  the database system is starting up\n",
        "2026-11-20 03:00:01 UTC [103] LOG:  pausing at the end of recovery\n",
    ],
    ids=["somebody connects", "it pauses"],
)
def test_what_is_no_failure_has_not_ended_the_server(
    execution: RestoreExecution, note: str
) -> None:
    """It was killed without a last word."""
    recovery = "2026-11-20 03:00:00 UTC [103] LOG:  starting archive recovery\n"
    error = failed(execution, f"{START}{recovery}{note}")
    assert error.title == TITLE
    assert "does not say why" in error.cause


def test_older_failures_in_the_collected_log_decide_nothing(execution: RestoreExecution) -> None:
    collecting = (
        "2026-11-20 03:00:00 UTC [100] LOG:  redirecting log output to logging collector process\n"
    )
    error = failed(execution, collecting, LAST_WEEK + START + NOT_RESTORED)
    assert not isinstance(error, TargetNotReached)
    assert "127" in str(error)
    silent = failed(execution, collecting, LAST_WEEK + START)
    assert silent.title == TITLE


def test_a_collected_log_of_another_kind_is_read(execution: RestoreExecution, data: Path) -> None:
    (data / "log/c.json").write_text(
        '{"timestamp":"2026-11-20 03:00:05.000 UTC","pid":103,"error_severity":"FATAL",'
        '"message":"could not restore file \\"000000010000000000000005\\" from archive: child '
        'process exited with exit code 127"}\n'
    )
    (data / "current_logfiles").write_text("jsonlog log/c.json\n")
    assert "127" in str(server_failed(execution, TITLE))


def test_what_undo_does_is_told_as_it_is(execution: RestoreExecution) -> None:
    assert any("puts the old data back" in step for step in failed(execution, "").next_steps)
    plan = make_plan(execution.work.data_directory)
    clone = RestoreExecution(
        replace(execution.plan, work=plan.work), execution.directory, execution.journal
    )
    assert any("out of the way" in step for step in failed(clone, "").next_steps)


def test_options_of_a_backup_are_no_advice_to_a_restore() -> None:
    said = 'pg_combinebackup: error: directory "/srv/x" exists but is not empty'
    again = "pgrescue resume R1"
    error = tool_failed(said, 1, program="pg_combinebackup", next_steps=(again,))
    assert error.next_steps == (again,)
    backup = tool_failed(said, 1, program="pg_basebackup", next_steps=(again,), for_backup=True)
    assert any("--destination" in step for step in backup.next_steps)


def test_a_server_that_writes_to_journald_only(
    execution: RestoreExecution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journalctl of ours: which shows that it is asked, and nothing about systemd itself."""
    program = tmp_path / "bin" / "journalctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$*" >{tmp_path}/asked\ncat {tmp_path}/said\n')
    program.chmod(0o755)
    (tmp_path / "said").write_text(START + NOT_RESTORED)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    work = replace(execution.plan.work, service=ServiceSpec("systemd", unit="pg@main"))
    served = RestoreExecution(
        replace(execution.plan, work=work), execution.directory, execution.journal
    )
    served.journal.append(ServerStarting(log="/var/log/none", position=0))
    error = server_failed(served, TITLE)
    assert "127" in str(error)
    assert any("journalctl -u pg@main" in step for step in error.next_steps)
    asked = (tmp_path / "asked").read_text()
    assert "--unit=pg@main" in asked
    assert "--since=@" in asked


def test_what_is_kept_of_a_failure_has_no_password(execution: RestoreExecution) -> None:
    problem = StepFailed("It failed.", "sh -c 'PGPASSWORD=hunter2 x'", evidence="password=hunter2")
    assert "hunter2" not in repr(failure_of(problem))
