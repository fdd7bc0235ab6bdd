"""Two at one run: everybody watches, its owner acts, and who takes it over is on record."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.errors import Refused
from pgrescue.run.fold import fold
from pgrescue.run.owner import check_owner
from pgrescue.survey.host import host_name, operator
from tests.run.made_plan import make_plan
from tests.services.conftest import Stage
from tests.support.cluster import cluster_config
from tests.support.command import ROOT, Completed, document, finished, run_pgrescue
from tests.support.pg_service import ServiceScript
from tests.support.refused import refused
from tests.support.runs import journal, wait_for_end, wait_for_step

pytestmark = pytest.mark.server
by_sudo = pytest.mark.skipif(os.geteuid() != 0, reason="only sudo's own word counts, to root")

REFUSED = 3


def run_as(operator: str, stage: Stage, *args: str) -> Completed:
    """Run pgrescue as somebody does who came by sudo."""
    workspace = stage.workspace
    return run_pgrescue(
        *args, config=workspace.config, state=workspace.state, env={"SUDO_USER": operator}
    )


def test_an_ordinary_user_is_not_whom_they_say(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SUDO_USER", "anna")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert operator() != "anna"


def test_a_run_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A state directory that two machines share, or that was copied."""
    plan = make_plan("/srv/main")
    state = fold(replace(plan, host="db2", operator=operator()), [])
    with pytest.raises(Refused, match="about the machine db2"):
        check_owner(state, taking_over=False)
    check_owner(state, taking_over=True)
    check_owner(replace(state, host=host_name()), taking_over=False)


@by_sudo
def test_only_the_owner_acts(stage: Stage) -> None:
    epoch = stage.log.epochs[2]
    target = ("--to-xid", str(epoch.xid))
    plan = stage.workspace.path / "plan.json"
    plan.write_text(run_as("carla", stage, "plan", *target, "--json").stdout)
    started = run_as("anna", stage, "restore", "--plan", str(plan), "--yes", "--json")
    status = finished(started)
    run = status["run"]
    assert status["state"] == "waiting"
    assert status["owner"] == "anna", "who planned it need not be who runs it"
    assert "taken_over" not in {record["event"] for record in journal(stage.workspace, run)}

    for act in ("resume", "undo", "discard", "abort"):
        error = refused(
            run_as("bob", stage, act, run, "--yes", "--json"), REFUSED, "--take-over", "attach"
        )
        assert "belongs to anna" in error["title"]
    assert len([r for r in journal(stage.workspace, run) if r["event"] == "started"]) == 1
    assert document(run_as("bob", stage, "status", "--json"))["owner"] == "anna"
    assert "anna" in run_as("bob", stage, "status").stdout
    assert finished(run_as("bob", stage, "attach", "--json"))["state"] == "waiting"

    undone = finished(run_as("bob", stage, "undo", run, "--yes", "--take-over", "--json"))
    assert (undone["state"], undone["owner"]) == ("undone", "bob")
    assert "bob took the run over from anna." in undone["notes"]
    assert stage.log.rows_visible() == [1, 2, 3, 4]
    refused(run_as("anna", stage, "discard", "--yes", "--json"), REFUSED, "belongs to bob")
    report = Path(stage.workspace.state, "runs", run, "report.md").read_text()
    assert "Owner: bob" in report
    assert "bob took the run over from anna." in report
    assert finished(run_as("bob", stage, "discard", "--yes", "--json"))["state"] == "undone"


@pytest.mark.slow
@by_sudo
def test_stopping_a_run_at_work_takes_the_owner_too(stage: Stage) -> None:
    service = ServiceScript(stage.sandbox)
    go = stage.workspace.path / "go"
    service.behave(start=f"while ! test -e {go}; do sleep 0.1; done; {service.working['start']}")
    stage.workspace.configure(replace(cluster_config(stage.sandbox), service=service.spec))
    options = ("restore", "--to", "latest", "--yes", "--json", "--detach")
    run = document(run_as("anna", stage, *options))["run"]
    wait_for_step(stage.workspace, run, "start")

    refused(run_as("bob", stage, "abort", run, "--yes", "--json"), REFUSED, "belongs to anna")
    assert document(run_as("bob", stage, "status", "--json"))["state"] == "running"

    stopped = run_as("bob", stage, "abort", run, "--yes", "--take-over", "--json")
    go.touch()
    assert stopped.returncode == 0
    assert wait_for_end(stage.workspace, run)["owner"] == "bob"
    events = [record["event"] for record in journal(stage.workspace, run)]
    assert events.index("taken_over") < events.index("abort_requested")
    refused(run_as("anna", stage, "undo", "--yes", "--json"), REFUSED, "belongs to bob")
    assert finished(run_as("bob", stage, "undo", "--yes", "--json"))["state"] == "undone"


def test_behind_su_the_operator_is_who_logged_in() -> None:
    """Many become `postgres` in order to work; then that name would say nothing."""
    someone = next(entry for entry in pwd.getpwall() if entry.pw_uid not in (0, os.getuid()))
    code = (
        "import sys; from pgrescue.survey.host import operator\n"
        "print(operator())\n"
        "open('/proc/self/loginuid', 'w').write(sys.argv[1])\n"
        "print(operator())"
    )
    known = {name: value for name, value in os.environ.items() if name != "SUDO_USER"}
    said = subprocess.run(
        [sys.executable, "-c", code, str(someone.pw_uid)],
        env={**known, "LOGNAME": "became"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    before, *after = said.stdout.split()
    if not after:
        pytest.skip("the kernel does not let a login be played here")
    assert after == [someone.pw_name]
    if Path("/proc/self/loginuid").read_text().strip() == str(2**32 - 1):
        assert before == "became"
