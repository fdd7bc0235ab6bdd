"""The command line itself: odd streams, wrong words, and configurations that cannot be read."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command import Completed, command_environment, document, run_pgrescue

USAGE, REFUSED = 2, 3


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory that is not there yet."""
    return tmp_path / "state"


def in_shell(state: Path, redirected: str, *args: str) -> subprocess.CompletedProcess[str]:
    """A command with streams as only a shell makes them."""
    return subprocess.run(
        ("/bin/sh", "-c", f'"$@" {redirected}', "sh", sys.executable, "-m", "pgrescue", *args),
        env=command_environment(state),
        cwd=state.parent,
        capture_output=True,
        text=True,
        check=False,
    )


def error_of(completed: Completed) -> str:
    """The error's title, as JSON has it."""
    title = document(completed)["error"]["title"]
    assert isinstance(title, str)
    return title


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("status", "--json"), 0),
        (("undo", "--json"), USAGE),
        (("init", "--json"), USAGE),
        (("explain", "--json"), 0),
        ((), USAGE),
    ],
)
def test_standard_input_that_is_closed(state: Path, args: tuple[str, ...], code: int) -> None:
    said = in_shell(state, "<&-", *args)
    assert (said.returncode, "Traceback" in said.stderr) == (code, False), said.stderr
    assert json.loads(said.stdout)["schema"] == 1 if args else not said.stdout


def test_standard_output_that_is_closed(state: Path) -> None:
    said = in_shell(state, ">&-", "runs", "--json")
    assert (said.returncode, said.stderr) == (0, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_standard_output_that_is_full(state: Path) -> None:
    said = in_shell(state, ">/dev/full", "runs", "--json")
    assert said.returncode == 1
    assert "No space left on device" in said.stderr
    assert "Traceback" not in said.stderr


@pytest.mark.parametrize("form", [("--json",), ("--format", "json"), ("--format=json",)])
@pytest.mark.parametrize("wrong", [("--bogus",), ("--to", "noon")])
def test_an_error_of_plan_has_the_form_that_was_asked_for(
    state: Path, form: tuple[str, ...], wrong: tuple[str, ...]
) -> None:
    config = state.parent / "pgrescue.toml"
    config.write_text(f'[clusters.main]\ndata_directory = "{state.parent}"\n')
    said = run_pgrescue("plan", *form, *wrong, config=config, state=state)
    assert said.returncode == USAGE
    assert error_of(said)


def test_configuration_and_cluster_may_be_named_behind_the_command(state: Path) -> None:
    config = state.parent / "pgrescue.toml"
    config.write_text(f'[clusters.main]\ndata_directory = "{state.parent}"\n')
    where = ("-c", str(config), "--cluster", "other")
    for args in ((*where, "catalog", "--json"), ("catalog", "--json", *where)):
        said = run_pgrescue(*args, config=None, state=state)
        assert said.returncode == USAGE
        assert "other" in error_of(said)


@pytest.mark.parametrize("option", ["--dry-run", "--receivewal"])
def test_init_does_not_write_when_asked_only_to_show(state: Path, option: str) -> None:
    output = state.parent / "written.toml"
    named = ("--output", str(output), "--data-directory", str(state.parent))
    said = run_pgrescue("init", "--yes", "--json", option, *named, config=None, state=state)
    assert said.returncode == USAGE
    assert option in error_of(said)
    assert not output.exists()


def test_explain_without_a_configuration_and_with_a_broken_one(state: Path) -> None:
    log, config = state.parent / "log", state.parent / "pgrescue.toml"
    log.write_text("LOG:  database system is ready to accept connections\n")
    home = {"HOME": str(state.parent), "XDG_CONFIG_HOME": str(state.parent / "none")}
    without = run_pgrescue("explain", str(log), config=None, state=state, env=home)
    assert without.returncode == 0
    assert "machine is not looked at" not in without.stderr
    config.write_text("clusters = 7\n")
    named = home | {"PGRESCUE_CONFIG": str(config)}
    broken = run_pgrescue("explain", str(log), config=None, state=state, env=named)
    assert broken.returncode == 0
    assert "machine is not looked at" in broken.stderr
    assert str(config) in broken.stderr


def test_explain_of_a_log_that_is_not_there(state: Path) -> None:
    said = run_pgrescue("explain", "/nowhere/log", "--json", config=None, state=state)
    assert said.returncode == USAGE
    assert error_of(said) == "There is no log /nowhere/log."
