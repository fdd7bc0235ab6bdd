"""Of a logging collector's file only what this run's server has written tells of its recovery."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.postgres.data_directory import collected_log_sizes
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.recovery_watch import Watch
from pgrescue.run.journal import Journal
from pgrescue.run.records import ServerStarting
from pgrescue.run.run_directory import create_run
from tests.run.made_plan import make_plan

ANOTHER = (
    "x LOG:  starting PostgreSQL 15.8\n"
    "x LOG:  recovery stopping before commit of transaction 700, time 2026-01-01 10:00:00+00\n"
    "x LOG:  selected new timeline ID: 7\n"
    "x LOG:  archive recovery complete\n"
)
OURS = "x LOG:  starting PostgreSQL 15.8\nx LOG:  redo done at 0/D00028 system usage: CPU\n"
CHOSEN = f"{OURS}x LOG:  selected new timeline ID: 2\n"
ENDED = f"{CHOSEN}x LOG:  archive recovery complete\n"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    made = tmp_path / "main"
    made.mkdir()
    (tmp_path / "logs").mkdir()
    (made / "postgresql.conf").write_text(f"log_directory = '{tmp_path}/logs'\n")
    (made / "current_logfiles").write_text(f"stderr {tmp_path}/logs/fri.log\n")
    (tmp_path / "logs/fri.log").write_text(ANOTHER)
    return made


@pytest.fixture
def execution(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RestoreExecution:
    monkeypatch.setenv("PGRESCUE_STATE", str(tmp_path / "state"))
    plan = make_plan(str(data))
    directory = create_run(plan)
    return RestoreExecution(plan, directory, Journal(directory.journal_path))


def starts(execution: RestoreExecution, said: str) -> None:
    """One start of this run's, and what the server writes then."""
    data = Path(execution.work.data_directory)
    execution.journal.append(
        ServerStarting(log=f"{data}.log", position=0, collected=collected_log_sizes(data, data))
    )
    with (data.parent / "logs/fri.log").open("a") as file:
        file.write(said)


def test_an_earlier_recovery_in_the_same_file_is_not_ours(execution: RestoreExecution) -> None:
    starts(execution, OURS)
    watch = Watch(execution)
    assert not watch.had_ended
    assert (watch.log.complete, watch.log.stop, watch.log.new_timeline) == (False, None, None)
    assert str(watch.log.redo_done) == "0/D00028"


def test_a_recovery_that_an_earlier_start_of_ours_has_ended(execution: RestoreExecution) -> None:
    starts(execution, ENDED)
    starts(execution, "x LOG:  starting PostgreSQL 15.8\n")
    watch = Watch(execution)
    assert watch.had_ended
    assert (watch.log.new_timeline, watch.chosen_timeline) == (2, 2)


def test_a_timeline_that_was_chosen_is_known_though_recovery_did_not_end(
    execution: RestoreExecution,
) -> None:
    """Killed in that moment, the server opens on the old one."""
    starts(execution, CHOSEN)
    starts(execution, "x LOG:  starting PostgreSQL 15.8\n")
    watch = Watch(execution)
    assert not watch.had_ended
    assert watch.chosen_timeline == 2


def test_a_log_that_is_the_collectors_file_itself_is_read_once(
    execution: RestoreExecution, data: Path
) -> None:
    failure = "x LOG:  starting PostgreSQL 15.8\nx FATAL:  something\n"
    Path(f"{data}.log").write_text(failure)
    (data / "current_logfiles").write_text(f"stderr {data}.log\n")
    starts(execution, "")
    assert Watch(execution).log.failures == ("FATAL: something",)


def test_where_nobody_had_looked_at_the_first_start_nothing_is_known(
    execution: RestoreExecution, data: Path
) -> None:
    """As of a run that an older version has begun."""
    execution.journal.append(ServerStarting(log=f"{data}.log", position=0))
    starts(execution, OURS)
    watch = Watch(execution)
    assert not watch.had_ended
    assert not watch.chosen_timeline


def test_a_directory_that_cannot_be_read_tells_nothing(data: Path) -> None:
    (data / "postgresql.conf").write_text("log_directory = 'nowhere'\n")
    assert collected_log_sizes(data, data) == {}
