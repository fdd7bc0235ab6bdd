"""What the plan foretells is what PostgreSQL does: random targets, real recoveries."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest

from pgrescue.cli.main import build_parser
from pgrescue.cli.restore_options import request_from
from pgrescue.config.load import load_config
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.desk import Desk
from pgrescue.plan.model import Plan
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import BusyHistory, make_history
from tests.support.cluster import Workspace, cluster_config
from tests.support.random_targets import RandomTarget, random_targets
from tests.support.recovery import Reached
from tests.support.waldump import Ending

pytestmark = pytest.mark.server

EVERY_DAY = 15
ALL = 220
"""Random targets for each server."""


@dataclass(slots=True)
class Oracle:
    """A busy history, and pgrescue's view of it."""

    history: BusyHistory
    desk: Desk
    place: Path
    ids: dict[str, str]

    def plan(self, target: RandomTarget) -> Plan:
        """The dry run for a target."""
        backup = self.ids[target.backup.name]
        options = ("--into", str(self.place), "--backup", backup, *target.options)
        arguments: argparse.Namespace = build_parser().parse_args(["plan", *options])
        return self.desk.plan(request_from(arguments, "UTC"))

    def commits(self, timeline: int) -> list[Ending]:
        """Every commit along a timeline, in the order of the WAL."""
        return [ending for ending in self.history.endings(timeline) if ending.is_commit]


@pytest.fixture(scope="module")
def shared_workspace() -> Iterator[Workspace]:
    """A directory for all tests of this module."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


def make_oracle(
    workspace: Workspace, binaries: ServerBinaries, monkeypatch: pytest.MonkeyPatch, seed: int
) -> Oracle:
    """A history with two forks, configured for pgrescue."""
    name = f"busy{binaries.major}x{seed}"
    history = make_history(workspace, binaries, name=name, seed=seed)
    monkeypatch.setenv("PGRESCUE_STATE", str(workspace.path / f"state-{name}"))
    workspace.configure(cluster_config(history.sandbox))
    config = load_config(workspace.config)
    desk = Desk(config, config.cluster(None))
    ids = {Path(backup.path).name: backup.id for backup in desk.backups()}
    return Oracle(history, desk, workspace.path / "clone", ids)


def check(oracle: Oracle, target: RandomTarget, plan: Plan, reached: Reached) -> str:
    """Compare what was foretold with what the server did; returns which case it was."""
    told = (target.about, target.options, plan.stop, plan.blockers, reached)
    codes = [finding.code for finding in plan.blockers]
    missed = "end_of_wal" if oracle.history.sandbox.binaries.major == 12 else "not_reached"
    if reached.outcome == "failed":
        assert codes == ["target.before_backup"], told
        return "before the backup's end"
    if reached.outcome == missed and target.kind != "latest":
        assert len(codes) == 1, told
        assert codes[0].startswith("target."), told
        assert codes != ["target.before_backup"], told
        return codes[0]
    if codes == ["trap.prepared_at_fork"]:
        check_prepared_at_fork(oracle, target)
        return codes[0]
    assert codes == [], told
    check_place(plan, reached, told)
    check_kept(oracle, target, plan, told)
    return reached.kind or reached.outcome


def check_prepared_at_fork(oracle: Oracle, target: RandomTarget) -> None:
    """It fails only for a server that lets readers in, as a restore's does."""
    settings = {"recovery_target_inclusive": "on", **target.settings}
    reached = oracle.history.bench.recover(target.backup.path, settings, hot_standby=True)
    assert reached.outcome == "failed", (target, reached)
    assert "has already been removed" in (reached.fatal or ""), (target, reached)


def check_place(plan: Plan, reached: Reached, told: object) -> None:
    """The record at which it stopped."""
    stop = plan.stop
    match reached.kind:
        case "before_commit" | "after_commit" | "before_abort" | "after_abort":
            assert (stop.xid, stop.time) == (reached.xid, reached.time), told
            side = "after" if stop.replayed_to != stop.lsn else "before"
            assert reached.kind.startswith(side), told
        case "before_lsn" | "after_lsn":
            assert stop.lsn == reached.lsn, told
            assert (reached.kind == "after_lsn") == (stop.replayed_to != stop.lsn), told
        case "at_name":
            assert stop.name is not None, told
        case "consistency":
            assert stop.kind == "consistency", told
        case None:
            assert stop.kind == "end_of_wal", told


def check_kept(oracle: Oracle, target: RandomTarget, plan: Plan, told: object) -> None:
    """The last transaction kept, the first one lost, and how many are lost."""
    stop = plan.stop
    assert stop.replayed_to is not None, told
    commits = oracle.commits(target.timeline)
    kept = [commit for commit in commits if commit.lsn < stop.replayed_to]
    lost = [commit for commit in commits if commit.lsn >= stop.replayed_to]
    since = [commit for commit in kept if commit.lsn >= target.backup.start_lsn]
    last = stop.last_kept and (stop.last_kept.xid, stop.last_kept.time, stop.last_kept.lsn)
    assert last == (named(since[-1]) if since else None), told
    first = stop.first_discarded
    told_first = first and (first.xid, first.time, first.lsn)
    assert told_first == (named(lost[0]) if lost else None), told
    assert stop.discarded_transactions == len(lost), told


def named(commit: Ending) -> tuple[int, datetime, Lsn]:
    """A commit as plans name it."""
    return commit.xid, commit.time, commit.lsn


def play(oracle: Oracle, seed: int, count: int) -> Counter[str]:
    """Recover to random targets and compare each."""
    cases: Counter[str] = Counter()
    for target in random_targets(oracle.history, seed, count):
        plan = oracle.plan(target)
        # A backup of a server that was recovered once may say otherwise.
        settings = {"recovery_target_inclusive": "on", **target.settings}
        reached = oracle.history.bench.recover(target.backup.path, settings)
        cases[check(oracle, target, plan, reached)] += 1
    return cases


@pytest.mark.slow
def test_targets_end_where_the_plan_says(
    shared_workspace: Workspace, any_binaries: ServerBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = make_oracle(shared_workspace, any_binaries, monkeypatch, seed=1)
    try:
        cases = play(oracle, seed=1, count=EVERY_DAY)
    finally:
        oracle.history.destroy()
    assert sum(cases.values()) == EVERY_DAY
    assert len(cases) > 5, cases


@pytest.mark.slow
def test_very_many_targets_end_where_the_plan_says(
    shared_workspace: Workspace, every_server: ServerBinaries, monkeypatch: pytest.MonkeyPatch
) -> None:
    oracle = make_oracle(shared_workspace, every_server, monkeypatch, seed=7)
    try:
        cases = play(oracle, seed=7, count=ALL)
    finally:
        oracle.history.destroy()
    assert sum(cases.values()) == ALL
    assert len(cases) > 8, cases
