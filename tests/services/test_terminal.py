"""`pgrescue restore` on a plain terminal: it asks, and losing or leaving it harms no run."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.processes import wait_until
from tests.services.conftest import Stage
from tests.support.cluster import cluster_config
from tests.support.command import document
from tests.support.pg_service import ServiceScript
from tests.support.refused import unchanged
from tests.support.terminal import Terminal

pytestmark = pytest.mark.server

REFUSED, INTERRUPTED = 3, 130
IDENTITY = f"{socket.gethostname().split('.')[0]}/main"


@dataclass(frozen=True, slots=True)
class Desk:
    """A stage whose server starts only when it is told, and terminals to restore it from."""

    stage: Stage
    open: Callable[..., Terminal]

    def let_start(self) -> None:
        """Let the start command, which waits for it, go on."""
        (self.stage.workspace.path / "go").touch()

    def status(self) -> dict[str, Any]:
        """The last run's status."""
        return dict(document(self.stage.workspace.run("status", "--json")))

    def await_end(self) -> None:
        """Wait until the last run has succeeded."""
        wait_until(lambda: self.status()["state"] == "succeeded", "the run's end")


@pytest.fixture
def desk(stage: Stage) -> Iterator[Desk]:
    """Terminals that are closed at the end."""
    service = ServiceScript(stage.sandbox)
    go = stage.workspace.path / "go"
    waiting = f"while ! test -e {go}; do sleep 0.1; done"
    service.behave(start=f"{waiting}; {service.working['start']}")
    stage.workspace.configure(replace(cluster_config(stage.sandbox), service=service.spec))
    terminals: list[Terminal] = []

    def open_terminal(*args: str) -> Terminal:
        terminals.append(Terminal(stage.workspace, *args))
        return terminals[-1]

    try:
        yield Desk(stage, open_terminal)
    finally:
        go.touch()
        for terminal in terminals:
            terminal.close()


def test_no_is_no(desk: Desk) -> None:
    with unchanged(desk.stage.sandbox):
        terminal = desk.open("restore", "--to", "latest")
        terminal.expect("Type yes to go on: ")
        assert IDENTITY in terminal.shown
        terminal.type("no\n")
        assert terminal.wait() == REFUSED
    assert "Not confirmed." in terminal.shown
    assert "Nothing was changed." in terminal.shown


def test_yes_is_not_enough_for_what_cannot_be_undone(desk: Desk) -> None:
    with unchanged(desk.stage.sandbox):
        terminal = desk.open("restore", "--old-data", "delete", "--yes")
        terminal.expect(f"Type {IDENTITY} to go on: ")
        terminal.type("yes\n")
        assert terminal.wait() == REFUSED


def test_interrupting_only_stops_the_watching(desk: Desk) -> None:
    terminal = desk.open("restore", "--to", "latest")
    terminal.expect("Type yes to go on: ")
    terminal.type("yes\n")
    terminal.expect("> Start the server")
    terminal.type("\x03")
    assert terminal.wait() == INTERRUPTED
    run = desk.status()
    assert run["state"] == "running"
    assert f"The run goes on; pgrescue attach {run['run']}" in terminal.shown

    again = desk.open("attach")
    again.expect("> Start the server")
    desk.let_start()
    assert again.wait() == 0
    assert "succeeded" in again.shown
    assert desk.status()["state"] == "succeeded"
    assert desk.stage.log.rows_visible() == [1, 2, 3, 4]


def test_interrupting_the_question_changes_nothing(desk: Desk) -> None:
    with unchanged(desk.stage.sandbox):
        terminal = desk.open("restore", "--to", "latest")
        terminal.expect("Type yes to go on: ")
        terminal.type("\x03")
        assert terminal.wait() == INTERRUPTED
    assert "Traceback" not in terminal.shown


def test_losing_the_terminal_does_not_stop_the_run(desk: Desk) -> None:
    terminal = desk.open("restore", "--to", "latest", "--yes")
    terminal.expect("> Start the server")
    assert terminal.hang_up() in (-signal.SIGHUP, 1)
    assert desk.status()["state"] == "running"
    desk.let_start()
    desk.await_end()
    assert desk.stage.log.rows_visible() == [1, 2, 3, 4]


def test_a_habitual_yes_deletes_nothing(desk: Desk) -> None:
    """What a run set aside goes for good: at a terminal its name has to be typed."""
    desk.let_start()
    desk.stage.workspace.run("restore", "--to", "latest", "--yes", check=True)
    run, aside = desk.status()["run"], Path(desk.status()["set_aside"])
    terminal = desk.open("discard")
    terminal.expect(f"Type {run} to go on: ")
    assert str(aside) in terminal.shown, "what would go"
    terminal.type("yes\n")
    assert terminal.wait() == REFUSED
    assert aside.is_dir()
    terminal = desk.open("discard")
    terminal.expect(f"Type {run} to go on: ")
    terminal.type(f"{run}\n")
    assert terminal.wait() == 0
    assert not aside.exists()
