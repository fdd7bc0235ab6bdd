"""WAL that a run has rescued stays as long as recovery from the backups that there are needs it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from pgrescue.catalog.model import Backup
from pgrescue.plan.model import Plan, WalTail
from pgrescue.plan.work import held_directory, tail_directory
from pgrescue.postgres.lsn import Lsn
from pgrescue.run import records
from pgrescue.run.fold import fold
from pgrescue.run.rescued_wal import OnlyCopy, only_copy, rescued_wal
from pgrescue.run.state import RunState, SetAside, StepStatus
from pgrescue.survey.wal_tail import RescuedWal, Tail, UnreadableSegment
from tests.run.made_plan import make_plan
from tests.support import restore_facts
from tests.support.made_segments import IDENTIFIER, SIZE, segment

FIRST, SECOND = "000000010000000000000003", "000000010000000000000004"


class Rescued:
    """A run that has copied two segments, and an archive."""

    def __init__(self, root: Path) -> None:
        plan = make_plan(str(root / "data"))
        self.archive, self.aside = root / "archive", root / "data.old"
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
        asides = (SetAside(self.plan.work.data_directory, str(self.aside), False, True),)
        return only_copy(self.plan, replace(fold(self.plan, ()), steps=steps, asides=asides))


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
        places = tail_directory(self._plan.work), held_directory(self._plan.work)
        made = [
            records.MakingDirectory(path=place)
            for place, step in zip(places, ("rescue_wal", "stop"), strict=True)
            if step in self._done
        ]
        begun = tuple(records.StepBegan(step=step, title="") for step in self._done)
        ended = tuple(records.StepEnded(step=step, seconds=1.0, result="") for step in self._done)
        steps = tuple(one for pair in zip(begun, ended, strict=True) for one in pair)
        return fold(self._plan, (*made, *steps))


def test_later_plans_know_it(rescued: Rescued, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = rescued.plan
    elsewhere = replace(plan, work=replace(plan.work, staging="/srv/clone-wal"), mode="clone")
    runs = [
        Run(elsewhere, "rescue_wal", "extract"),
        Run(replace(plan, cluster="another"), "rescue_wal", "extract"),
        Run(replace(plan, work=replace(plan.work, old_wal=None)), "extract"),
        Run(plan, "set_aside"),
    ]
    monkeypatch.setattr("pgrescue.run.rescued_wal.list_runs", lambda: runs)
    assert rescued_wal("main") == ()
    held = RescuedWal(Path(held_directory(plan.work)), IDENTIFIER)
    for done in ([], ["extract"], ["extract", "undo_move"]):
        runs[-1] = Run(plan, "rescue_wal", *done)
        assert rescued_wal("main") == (RescuedWal(rescued.tail, IDENTIFIER),)
    runs[-1] = Run(plan, "stop")
    assert rescued_wal("main") == (held,), "aborted before it was copied"


def test_what_the_archive_lacks_stays(rescued: Rescued) -> None:
    (rescued.archive / FIRST).write_bytes(segment(FIRST))
    assert rescued.left("tidy") == OnlyCopy(str(rescued.tail), (SECOND,), is_certain=True)
    (rescued.archive / SECOND).write_bytes(segment(SECOND)[:-1])
    assert rescued.left("tidy") is not None, "half of it is not it"
    (rescued.archive / SECOND).write_bytes(segment(SECOND))
    assert rescued.left("tidy") is None


@pytest.fixture
def on_timeline_2(rescued: Rescued, monkeypatch: pytest.MonkeyPatch) -> Rescued:
    """The cluster has gone on from behind the second segment."""
    now = SimpleNamespace(system_identifier=IDENTIFIER, current_timeline=2)
    monkeypatch.setattr("pgrescue.run.rescued_wal.read_control_file", lambda _: (now, None))
    (rescued.archive / "00000002.history").write_text("1\t0/510000\tno recovery target\n")
    return rescued


def test_only_a_base_backup_that_is_there_makes_it_unneeded(
    on_timeline_2: Rescued, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescued = on_timeline_2
    since = replace(
        restore_facts.backup(),
        timeline=2,
        start_lsn=Lsn(0x600028),
        stop_lsn=Lsn(0x600100),
        system_identifier=IDENTIFIER,
        started_at=rescued.plan.created_at + timedelta(minutes=5),
    )
    found: list[Backup] = []
    monkeypatch.setattr("pgrescue.run.rescued_wal.list_backups", lambda *_: found)
    assert rescued.left("tidy") is not None
    for no_use in (
        replace(since, timeline=1),  # of a history that was left: no way leads from it to this one
        replace(since, timeline=3),  # of one that is not the cluster's
        replace(since, usable=False),
        replace(since, system_identifier="1"),
        replace(since, started_at=rescued.plan.created_at - timedelta(minutes=5)),
        replace(since, started_at=None),
    ):
        found[:] = [no_use]
        assert rescued.left("tidy") is not None, no_use
    found.append(since)
    assert rescued.left("tidy") is None


def test_where_the_cluster_is_cannot_be_told(
    rescued: Rescued, monkeypatch: pytest.MonkeyPatch
) -> None:
    since = restore_facts.backup(timeline=2, system_identifier=IDENTIFIER)
    monkeypatch.setattr("pgrescue.run.rescued_wal.list_backups", lambda *_: [since])
    assert rescued.left("tidy") is not None


def test_what_is_beyond_the_fork_counts_for_its_commits(on_timeline_2: Rescued) -> None:
    """A clean stop leaves a segment that holds nothing but its checkpoint."""
    history = on_timeline_2.archive / "00000002.history"
    history.write_text("1\t0/410000\tno recovery target\n")
    left = on_timeline_2.left("tidy")
    assert left is not None
    assert left.segments == (FIRST,), "the fork is in the second, which the new timeline has, too"
    history.write_text("1\t0/310000\tno recovery target\n")
    assert on_timeline_2.left("tidy") is None


def test_what_cannot_be_read_may_be_of_use(
    on_timeline_2: Rescued, monkeypatch: pytest.MonkeyPatch
) -> None:
    rescued = on_timeline_2
    unreadable = UnreadableSegment(str(rescued.tail / FIRST), "Input/output error")
    monkeypatch.setattr("pgrescue.run.rescued_wal.look_at_tail", lambda *_: Tail({}, (unreadable,)))
    assert rescued.left("tidy") == OnlyCopy(str(rescued.tail), (FIRST,), is_certain=True)
    (rescued.archive / "00000002.history").write_text("1\t0/300028\tno recovery target\n")
    (rescued.tail / FIRST).unlink()
    assert rescued.left("tidy") == OnlyCopy(str(rescued.tail), (FIRST,), is_certain=True)


def test_after_an_undo_what_the_old_data_has_not_got_again_stays(rescued: Rescued) -> None:
    """The stop may have removed it there."""
    pg_wal = Path(rescued.plan.work.data_directory, "pg_wal")
    pg_wal.mkdir(parents=True)
    (pg_wal / SECOND).write_bytes(segment(SECOND))
    assert rescued.left("undo_move") == OnlyCopy(str(rescued.tail), (FIRST,), is_certain=True)
    (pg_wal / FIRST).write_bytes(segment(FIRST))
    assert rescued.left("undo_move") is None


def test_a_clone_has_only_copied_it(rescued: Rescued) -> None:
    rescued.plan = replace(rescued.plan, mode="clone")
    assert rescued.left("tidy") is None


def test_an_archive_that_is_not_mounted_may_lack_all_of_it(rescued: Rescued) -> None:
    rescued.archive.rmdir()
    left = rescued.left("tidy")
    assert left == OnlyCopy(str(rescued.tail), (FIRST, SECOND), is_certain=False)


def test_where_a_command_fetches_wal_the_old_servers_account_tells(rescued: Rescued) -> None:
    work = replace(rescued.plan.work, wal_archive=None, restore_command="cp %f %p")
    rescued.plan = replace(rescued.plan, work=work)
    assert rescued.left("tidy") is None, "the plan counts on nothing"
    rescued.plan = replace(rescued.plan, wal_tail=WalTail((FIRST, SECOND), 1, 1.0, None))
    status = Path(f"{rescued.aside}/pg_wal/archive_status")
    status.mkdir(parents=True)
    (status / f"{FIRST}.done").touch()
    left = rescued.left("tidy")
    assert left == OnlyCopy(str(rescued.tail), (SECOND,), is_certain=False)
