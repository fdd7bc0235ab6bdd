"""An ordinary user whose configuration says `sudo = true`: pgrescue runs itself again as root."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.postgres.account import Account
from tests.services.conftest import Stage
from tests.support.cluster import cluster_config
from tests.support.command import document, finished
from tests.support.people import plain_user, run_as, unavailable
from tests.support.refused import refused, unchanged

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(os.geteuid() != 0, reason="making an account needs root"),
    pytest.mark.skipif(shutil.which("sudo") is None, reason="sudo is not installed"),
]

REFUSED = 3
_SUDOERS = Path("/etc/sudoers.d")


@pytest.fixture
def user(stage: Stage) -> Iterator[Account]:
    """An ordinary user who may read a configuration that says `sudo = true`."""
    with plain_user() as account:
        reason = unavailable(account)
        if reason is not None:
            pytest.skip(reason)
        stage.workspace.configure(replace(cluster_config(stage.sandbox), sudo=True))
        stage.workspace.config.chmod(0o644)
        yield account


@pytest.fixture
def allow(user: Account) -> Iterator[Callable[[str], None]]:
    """Writes what sudoers(5) says of the user; taken away again at the end."""
    # A name with a dot would be skipped by sudo's include directory.
    rules = _SUDOERS / user.name

    def write(what: str) -> None:
        with os.fdopen(os.open(rules, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o440), "w") as file:
            file.write(f"{user.name} ALL=(root) {what}\n")

    try:
        yield write
    finally:
        rules.unlink(missing_ok=True)


def test_everything_is_done_as_root(
    stage: Stage, user: Account, allow: Callable[[str], None]
) -> None:
    allow("NOPASSWD: ALL")
    restored = run_as(user, stage.workspace, "restore", *stage.before(3))
    assert restored.returncode == 0, restored.stderr
    last = finished(restored)
    assert last["state"] == "succeeded"
    assert stage.log.rows_visible() == [1, 2]
    assert stage.sandbox.data.owner() == stage.sandbox.account.name
    # The same user's other commands find the run, and tell who is behind it.
    (run,) = document(run_as(user, stage.workspace, "runs", "--json"))["runs"]
    assert run["run"] == last["run"]
    report = stage.workspace.path / f"state-of-{user.name}" / "runs" / run["run"] / "report.md"
    assert f"started by {user.name}" in report.read_text()
    undone = run_as(user, stage.workspace, "undo", "--yes", "--json")
    assert finished(undone)["state"] == "undone"
    assert stage.log.rows_visible() == [1, 2, 3, 4]


@pytest.mark.parametrize("rule", [None, "ALL"], ids=["not in sudoers", "with a password only"])
def test_sudo_that_would_ask_is_reported(
    stage: Stage, user: Account, allow: Callable[[str], None], rule: str | None
) -> None:
    if rule is not None:
        allow(rule)
    with unchanged(stage.sandbox):
        completed = run_as(user, stage.workspace, "restore", "--yes", "--json")
    refused(completed, REFUSED, "through sudo", "password", "NOPASSWD", "as root")


def test_usage_errors_come_through_sudo(
    stage: Stage, user: Account, allow: Callable[[str], None]
) -> None:
    allow("NOPASSWD: ALL")
    completed = run_as(user, stage.workspace, "restore", "--to-xid", "x", "--yes", "--json")
    refused(completed, 2, "transaction id")


def test_sudo_that_is_not_there(stage: Stage, user: Account) -> None:
    empty = stage.workspace.path / "empty"
    empty.mkdir()
    with unchanged(stage.sandbox):
        completed = run_as(
            user, stage.workspace, "restore", "--yes", "--json", env={"PATH": str(empty)}
        )
    refused(completed, REFUSED, "sudo cannot be run", "as root")
