"""A service that is another server's is not asked to stop anything, at whatever point of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.errors import StepFailed
from pgrescue.plan.facts import ForeignService
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors import service
from pgrescue.run.journal import Journal
from pgrescue.run.programs import Programs
from pgrescue.run.run_directory import RunDirectory
from tests.run.made_plan import make_plan


@pytest.mark.parametrize("forbids", [True, False])
def test_a_service_that_stops_another_server(
    tmp_path: Path, forbids: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "main").mkdir()
    (tmp_path / "run").mkdir()
    directory = RunDirectory(tmp_path / "run")
    execution = RestoreExecution(
        make_plan(str(tmp_path / "main")), directory, Journal(directory.journal_path)
    )
    foreign = ForeignService("The unit x runs the server on /srv/other", forbids)
    monkeypatch.setattr(service, "foreign_service", lambda *_: foreign)
    monkeypatch.setattr(service, "server_processes", lambda _: [10])
    asked: list[str] = []

    def run(_programs: Programs, command: object, _timeout: float) -> object:
        asked.append(str(command))
        raise StepFailed("It was asked.")

    monkeypatch.setattr(Programs, "run", run)
    expected = "that of another server" if forbids else "It was asked"
    with pytest.raises(StepFailed, match=expected):
        service.stop(execution)
    assert bool(asked) is not forbids
