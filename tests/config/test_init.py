"""`pgrescue init`, with a running server, a stopped one, and none."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrescue.cli import init
from pgrescue.config.load import load_config
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import UsageError
from pgrescue.postgres.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class Printed:
    """What a command wrote."""

    out: str
    err: str


Init = Callable[..., Printed]


@pytest.fixture
def run_init(capsys: pytest.CaptureFixture[str]) -> Init:
    """Runs `pgrescue init` with these arguments."""

    def run(*words: str | Path) -> Printed:
        parser = argparse.ArgumentParser()
        parser.set_defaults(config=None, cluster=None)
        init.register(parser.add_subparsers())
        arguments = parser.parse_args(["init", *map(str, words)])
        assert arguments.handler(arguments) == 0
        captured = capsys.readouterr()
        return Printed(captured.out, captured.err)

    return run


class Terminal(io.StringIO):
    """Standard input with answers that a person types."""

    def isatty(self) -> bool:
        return True


@pytest.mark.server
def test_yes_takes_a_running_server_as_it_is(
    run_init: Init, sandbox: Sandbox, tmp_path: Path
) -> None:
    output = tmp_path / "pgrescue.toml"
    where = ("--output", output, "--data-directory", sandbox.data)
    printed = run_init("--yes", *where, "--backups", sandbox.backups)
    assert printed.out == f"{output}\n"
    assert "archive_command" in printed.err
    cluster = load_config(output).cluster("main")
    assert cluster.backups == (sandbox.backups,)
    assert cluster.wal_archive == sandbox.wal
    assert cluster.bin_directory == sandbox.binaries.bin_directory
    assert cluster.service == ServiceSpec("pg_ctl")


@pytest.mark.server
def test_options_win_over_what_is_detected(
    run_init: Init, sandbox: Sandbox, tmp_path: Path
) -> None:
    sandbox.stop()
    output = tmp_path / "pgrescue.toml"
    where = ("--output", output, "--data-directory", sandbox.data, "--name", "shop")
    chosen = ("--backups", "/srv/a", "--backups", "/srv/b", "--wal-archive", sandbox.directory)
    printed = run_init("--yes", "--json", *where, *chosen)
    document = json.loads(printed.out)
    assert document["schema"] == 1
    assert document["path"] == str(output)
    assert document["running"] is False
    assert len(document["warnings"]) == 2
    assert "warning: clusters.shop.backups[0]: /srv/a does not exist" in printed.err
    cluster = load_config(output).cluster("shop")
    assert cluster.backups == (Path("/srv/a"), Path("/srv/b"))
    assert cluster.wal_archive == sandbox.directory


def test_a_lost_data_directory_can_be_configured(run_init: Init, tmp_path: Path) -> None:
    output = tmp_path / "pgrescue.toml"
    run_init("--yes", "--output", output, "--data-directory", tmp_path / "lost")
    assert load_config(output).cluster(None).data_directory == tmp_path / "lost"


def test_an_existing_file_is_refused(run_init: Init, tmp_path: Path) -> None:
    output = tmp_path / "pgrescue.toml"
    output.write_text("mine")
    with pytest.raises(UsageError, match="already there"):
        run_init("--yes", "--output", output, "--data-directory", tmp_path / "lost")
    assert output.read_text() == "mine"


def test_nothing_is_asked_without_a_terminal(
    run_init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("yes\n" * 20))
    with pytest.raises(UsageError) as caught:
        run_init("--output", tmp_path / "pgrescue.toml")
    assert any("--yes" in step for step in caught.value.next_steps)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_cannot_be_filled_in_is_refused(run_init: Init, tmp_path: Path) -> None:
    output = tmp_path / "pgrescue.toml"
    where = ("--output", output, "--data-directory", tmp_path / "lost")
    with pytest.raises(UsageError, match="command"):
        run_init("--yes", *where, "--service", "command")
    assert not output.exists()


def test_answers_are_taken_on_a_terminal(
    run_init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "pgrescue.toml"
    answers = [
        "shop",  # name
        f"{tmp_path}/a, {tmp_path}/b",  # backups
        "",  # archived WAL
        str(tmp_path / "bin"),  # programs
        "sysvinit",  # no such kind of service: asked again
        "command",
        "svc up",
        "svc down",
        "svc status",
        "yes",
    ]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(answers) + "\n"))
    printed = run_init("--output", output, "--data-directory", tmp_path / "lost")
    assert printed.out == f"{output}\n"
    cluster = load_config(output).cluster("shop")
    assert cluster.backups == (tmp_path / "a", tmp_path / "b")
    assert cluster.wal_archive is None
    assert cluster.service == ServiceSpec(
        "command", start="svc up", stop="svc down", status="svc status"
    )


def test_a_no_at_the_end_writes_nothing(
    run_init: Init, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["", "", "", "/bin", "pg_ctl", "no"]
    monkeypatch.setattr(sys, "stdin", Terminal("\n".join(answers) + "\n"))
    with pytest.raises(UsageError, match="Not written"):
        run_init("--output", tmp_path / "x.toml", "--data-directory", tmp_path / "lost")
    assert list(tmp_path.iterdir()) == []
