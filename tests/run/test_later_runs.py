"""Which of two runs on the same place is the later one, whatever the clock said meanwhile."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from pgrescue.errors import Refused
from pgrescue.plan.model import Move
from pgrescue.run import later_runs, records
from pgrescue.run.fold import fold
from pgrescue.run.records import AnyRecord
from pgrescue.run.state import RunState
from tests.run.made_plan import make_plan

DATA = "/srv/main"


@dataclass(frozen=True)
class Run:
    """As `list_runs` has it."""

    id: str
    told: RunState

    def state(self) -> RunState:
        return self.told


def run(name: str, aside: str, renamed: int, made: int, *, more: tuple[AnyRecord, ...] = ()) -> Run:
    """One that has set a directory aside and made another, by their inodes."""
    told: tuple[AnyRecord, ...] = (
        records.Created(
            run=name, plan="p", cluster="main", data_directory=DATA, host="h", operator="anna"
        ),
        records.Started(purpose="restore", pid=1, process_start=1, boot_id="b"),
        records.StepBegan(step="extract", title="Extract"),
        records.Moved(path=DATA, aside=aside, device=1, inode=renamed),
        records.MakingDirectory(path=DATA),
        records.MadeDirectory(path=DATA, device=1, inode=made),
        *more,
    )
    moving = records.Moving(path=DATA, aside=aside, contents_only=False, device=1, inode=renamed)
    plan = make_plan(DATA, (Move(DATA, aside, False),))
    return Run(name, fold(plan, (*told[:3], moving, *told[3:])))


def is_refused(monkeypatch: pytest.MonkeyPatch, one: Run, *all_runs: Run) -> bool:
    monkeypatch.setattr(later_runs, "list_runs", lambda: list(all_runs))
    try:
        later_runs.check_no_later_run(one.told)
    except Refused:
        return True
    return False


FIRST = run("20261127-100000-aaaa", "/srv/main.1", renamed=10, made=11)


def test_the_later_one_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    second = run("20261127-110000-bbbb", "/srv/main.2", renamed=99, made=12)
    assert is_refused(monkeypatch, FIRST, FIRST, second)
    assert not is_refused(monkeypatch, second, FIRST, second)


def test_the_later_one_though_the_clock_was_set_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """It has set aside what the other has made."""
    second = run("20261127-090000-bbbb", "/srv/main.2", renamed=11, made=12)
    assert is_refused(monkeypatch, FIRST, FIRST, second)
    assert not is_refused(monkeypatch, second, FIRST, second)


def test_an_inode_that_is_used_again_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """As of a file system that was made anew: it is another directory's."""
    staging = records.MadeDirectory(path="/srv/main.2-wal", device=1, inode=11)
    before = run("20261127-090000-bbbb", "/srv/main.2", renamed=8, made=9, more=(staging,))
    assert not is_refused(monkeypatch, FIRST, FIRST, before)


def test_one_that_was_undone_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    undone = records.Finished(state="undone")
    second = run("20261127-110000-bbbb", "/srv/main.2", renamed=11, made=12, more=(undone,))
    assert not is_refused(monkeypatch, FIRST, FIRST, second)


def test_one_that_was_undone_and_is_being_discarded_does_not_count(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its deletion was killed, or cannot be completed: the old data is back all the same."""
    more = (
        records.StepBegan(step="undo_move", title="Put the old data back"),
        records.StepEnded(step="undo_move", seconds=1.0, result=""),
        records.Finished(state="undone"),
        records.Started(purpose="discard", pid=1, process_start=1, boot_id="b"),
        records.Finished(state="failed"),
    )
    second = run("20261127-110000-bbbb", "/srv/main.2", renamed=11, made=12, more=more)
    assert not is_refused(monkeypatch, FIRST, FIRST, second)


def test_a_tablespace_of_the_same_number_on_another_disk_tells_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """After another boot only inodes are compared, and young disks share them."""
    old, aside = "/srv/space", "/srv/space.1"
    space = (
        records.Moving(path=old, aside=aside, contents_only=False, device=2, inode=12),
        records.Moved(path=old, aside=aside, device=2, inode=12),
    )
    first = run("20261127-100000-aaaa", "/srv/main.1", renamed=10, made=11, more=space)
    second = run("20261127-110000-bbbb", "/srv/main.2", renamed=99, made=12)
    for known in (*first.told.identities, *second.told.identities):
        object.__setattr__(known, "boot", known.path)
    assert is_refused(monkeypatch, first, first, second)
    assert not is_refused(monkeypatch, second, first, second)
