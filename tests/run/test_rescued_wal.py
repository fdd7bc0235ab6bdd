"""WAL that a run has rescued stays as long as recovery from the backups that there are needs it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from pgrescue.catalog.model import Backup
from pgrescue.plan.model import Plan, WalTail
from pgrescue.run import records
from pgrescue.run.fold import fold
from pgrescue.run.rescued_wal import OnlyCopy, only_copy, rescued_wal
from pgrescue.run.state import RunState, StepStatus
from pgrescue.survey.wal_tail import RescuedWal
from tests.run.made_plan import make_plan
from tests.support import restore_facts
from tests.support.made_segments import IDENTIFIER, SIZE, segment

FIRST, SECOND = "000000010000000000000003", "000000010000000000000004"


class Rescued:
    """A run that has copied two segments, and an archive."""

    def __init__(self, root: Path) -> None:
        plan = make_plan(str(root / "data"))
        self.archive = root / "archive"
        self.archive.mkdir()
        work = replace(
            plan.work,
            old_wal=str(root / "data/pg_wal"),
            wal_archive=str(self.archive),
            system_identifier=IDENTIFIER,
            wal_segment_size=SIZE,
        )
        self.plan: Plan = replace(plan, work=work)
        self.tail = Path(f"{work.staging}/tail")
        self.tail.mkdir(parents=True)
        for name in (FIRST, SECOND):
            (self.tail / name).write_bytes(segment(name))

    def left(self, *done: str) -> OnlyCopy | None:
        """What must stay once these steps are done."""
        steps = tuple(StepStatus(step, "", "done", None, None) for step in done)
        return only_copy(self.plan, replace(fold(self.plan, ()), steps=steps))


@pytest.fixture
def rescued(tmp_path: Path) -> Rescued:
    return Rescued(tmp_path)


class Run:
    """As `list_runs` has it."""

    def __init__(self, plan: Plan, *done: str) -> None:
        self._plan, self._done = plan, done

    def plan(self) -> Plan:
        return self._plan

    def state(self) -> RunState:
        begun = tuple(records.StepBegan(step=step, title="") for step in self._done)
        ended = tuple(records.StepEnded(step=step, seconds=1.0, result="") for step in self._done)
        return fold(
            self._plan, tuple(one for pair in zip(begun, ended, strict=True) for one in pair)
        )


def test_later_plans_know_it_of_runs_that_stand(
    rescued: Rescued, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = rescued.plan
    elsewhere = replace(plan, work=replace(plan.work, staging="/srv/clone-wal"), mode="clone")
    others = [
        Run(plan, "rescue_wal"),  # nothing was replaced: the old cluster may have gone on
        Run(plan, "rescue_wal", "extract", "undo_move"),
        Run(elsewhere, "rescue_wal", "extract"),
        Run(replace(plan, cluster="another"), "rescue_wal", "extract"),
        Run(replace(plan, work=replace(plan.work, old_wal=None)), "extract"),
    ]
    monkeypatch.setattr("pgrescue.run.rescued_wal.list_runs", lambda: others)
    assert rescued_wal("main") == ()
    others.append(Run(plan, "rescue_wal", "extract"))
    assert rescued_wal("main") == (RescuedWal(rescued.tail, IDENTIFIER),)


def test_what_the_archive_lacks_stays(rescued: Rescued) -> None:
    (rescued.archive / FIRST).write_bytes(segment(FIRST))
    assert rescued.left("tidy") == OnlyCopy(str(rescued.tail), (SECOND,), is_certain=True)
    (rescued.archive / SECOND).write_bytes(segment(SECOND)[:-1])
    assert rescued.left("tidy") is not None, "half of it is not it"
    (rescued.archive / SECOND).write_bytes(segment(SECOND))
    assert rescued.left("tidy") is None


def test_only_a_base_backup_that_is_there_makes_it_unneeded(
    rescued: Rescued, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = replace(
        restore_facts.backup(),
        timeline=2,
        system_identifier=IDENTIFIER,
        started_at=rescued.plan.created_at + timedelta(minutes=5),
    )
    found: list[Backup] = []
    monkeypatch.setattr("pgrescue.run.rescued_wal.list_backups", lambda *_: found)
    assert rescued.left("tidy") is not None
    for no_use in (
        replace(since, timeline=1),  # of a history that was left: no way leads from it to this one
        replace(since, usable=False),
        replace(since, system_identifier="1"),
        replace(since, started_at=rescued.plan.created_at - timedelta(minutes=5)),
        replace(since, started_at=None),
    ):
        found[:] = [no_use]
        assert rescued.left("tidy") is not None, no_use
    found.append(since)
    assert rescued.left("tidy") is None


def test_after_an_undo_the_old_data_has_it_again(rescued: Rescued) -> None:
    assert rescued.left("undo_move") is None


def test_a_clone_has_only_copied_it(rescued: Rescued) -> None:
    rescued.plan = replace(rescued.plan, mode="clone")
    assert rescued.left("tidy") is None


@pytest.mark.parametrize("gone", [True, False])
def test_where_the_archive_cannot_be_looked_at_what_was_planned_with_stays(
    rescued: Rescued, gone: bool
) -> None:
    if gone:
        rescued.archive.rmdir()
    else:
        work = replace(rescued.plan.work, wal_archive=None, restore_command="cp %f %p")
        rescued.plan = replace(rescued.plan, work=work)
    rescued.plan = replace(rescued.plan, wal_tail=WalTail((SECOND,), 1, 1.0, None))
    left = rescued.left("tidy")
    assert left == OnlyCopy(str(rescued.tail), (SECOND,), is_certain=False)
