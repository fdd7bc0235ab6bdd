"""A demo opened in the UI: what the UI finds, what is left afterwards, coming back."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from pgrescue.demo import story
from pgrescue.demo.binaries import PREFERENCE, ServerBinaries
from pgrescue.demo.directory import DemoDirectory
from pgrescue.demo.processes import servers_below
from pgrescue.demo.sandbox import Sandbox
from pgrescue.demo.session import MARK, Request, run_in_ui
from tests.support.cluster import Workspace

pytestmark = pytest.mark.server


@pytest.fixture
def demo(
    workspace: Workspace, any_binaries: ServerBinaries, monkeypatch: pytest.MonkeyPatch
) -> DemoDirectory:
    """A directory for a demo; the variables that a demo sets are put back afterwards."""
    monkeypatch.setenv(PREFERENCE, any_binaries.origin)
    for name in ("PGRESCUE_CONFIG", "PGRESCUE_STATE", MARK):
        monkeypatch.setenv(name, "")
    return DemoDirectory(workspace.path / "practice")


def test_coming_back_to_a_demo(demo: DemoDirectory, any_binaries: ServerBinaries) -> None:
    request = Request(demo.path, keep=False)
    said: list[str] = []

    def spoil(config: Path, notice: str) -> int:
        assert config == demo.config
        assert str(story.read_truth(demo).drop_xid) in notice
        assert os.environ["PGRESCUE_CONFIG"] == str(demo.config)
        assert os.environ["PGRESCUE_STATE"] == str(demo.state)
        sandbox = Sandbox(demo.cluster, any_binaries)
        assert story.look(sandbox) == story.read_truth(demo).at_end
        sandbox.sql("drop table payments", "shop")
        return 7

    def find_spoiled(_config: Path, _notice: str) -> int:
        assert "payments" not in story.look(Sandbox(demo.cluster, any_binaries))
        return 0

    assert run_in_ui(request, said.append, spoil) == 7
    assert servers_below(demo.path) == []
    assert any(str(demo.path) in line for line in said)
    assert run_in_ui(request, said.append, find_spoiled) == 0
    assert servers_below(demo.path) == []


def test_terminal_that_hangs_up_stops_the_server(demo: DemoDirectory) -> None:
    def hang_up(_config: Path, _notice: str) -> int:
        assert servers_below(demo.path)
        os.kill(os.getpid(), signal.SIGHUP)
        raise AssertionError("the signal ends the demo before this")

    with pytest.raises(KeyboardInterrupt):
        run_in_ui(Request(demo.path, keep=False), lambda line: None, hang_up)
    assert servers_below(demo.path) == []
    assert demo.is_complete, "a complete demo can be come back to"
