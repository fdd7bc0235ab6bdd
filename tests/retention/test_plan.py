"""The plan of a removal: what it moves, and what forbids it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import get_args

import pytest

from pgrescue.catalog.model import Backup, Problem
from pgrescue.catalog.unusable import not_a_backup
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.errors import UsageError
from pgrescue.plan.facts import HostFacts, UnfinishedRun
from pgrescue.plan.sealed import check_seal
from pgrescue.postgres.account import current_account
from pgrescue.retention.build import make_prune_plan
from pgrescue.retention.facts import RetentionFacts
from pgrescue.retention.prune_facts import BackupPlace, PruneFacts
from pgrescue.retention.prune_model import PrunePlan, PruneRequest, PruneStepId
from pgrescue.retention.text import render_plan
from pgrescue.run.executors.prune import EXECUTORS
from tests.retention.test_keepers import chain, taken_back
from tests.retention.world import OTHER, World, broken, daily

ONE = PruneRequest(policy=RetentionPolicy(count=1))


def facts_of(retention: RetentionFacts, **changes: object) -> PruneFacts:
    """Facts in which everything may be moved."""
    account = current_account()
    facts = PruneFacts(
        host=HostFacts("db1", "anna", False, account, retention.now, ()),
        owner=account,
        roots=("/b",),
        retention=retention,
        places={b.id: BackupPlace(b.path, True, (), ()) for b in retention.backups},
        writable={"/wal": True},
        used_by={},
        unfinished=(),
    )
    return replace(facts, **changes)  # type: ignore[arg-type]  # a test's own choice


def plan_of(
    world: World,
    request: PruneRequest = ONE,
    *,
    seen: Mapping[str, str] | None = None,
    **changes: object,
) -> PrunePlan:
    """The plan for a world."""
    facts = facts_of(world.facts(), **changes)
    return make_prune_plan(facts, request, cluster="main", catalog_cache="/c", seen=seen or {})


def blockers(plan: PrunePlan) -> list[str]:
    """The codes of what forbids it."""
    return [finding.code for finding in plan.blockers]


def test_everything_moves_beside_where_it_was() -> None:
    plan = plan_of(daily(4))
    check_seal(plan)
    assert blockers(plan) == []
    hidden = "/b/.pgrescue-removed-20261120T000000Z"
    assert [(m.path, m.aside) for m in plan.work.moves] == [
        (f"/b/day{n}", f"{hidden}/day{n}") for n in (2, 1, 0)
    ]
    (group,) = plan.work.wal
    assert (group.directory, group.aside) == ("/wal", "/wal/.pgrescue-removed-20261120T000000Z")
    assert len(group.names) == 72
    assert plan.subject == "Removal of 3 backups and 72 WAL files of main"


def test_children_go_before_their_parents() -> None:
    plan = plan_of(chain())
    assert [PurePath(move.path).name for move in plan.work.moves] == ["b2", "b1", "b0"]


def test_backups_beside_the_wal_are_not_mixed_with_it() -> None:
    world = daily(3)
    world.backups = [replace(backup, path=f"/wal/{backup.id}") for backup in world.backups]
    plan = plan_of(world)
    (group,) = plan.work.wal
    assert not any(PurePath(move.aside).is_relative_to(group.aside) for move in plan.work.moves)


def test_every_step_has_an_executor_and_explains_itself() -> None:
    plan = plan_of(daily(3), replace(ONE, delete=True))
    assert [step.id for step in plan.steps] == list(get_args(PruneStepId))
    assert set(EXECUTORS) == set(get_args(PruneStepId))
    assert [step.destructive for step in plan.steps] == [False, False, True]
    for step in plan.steps:
        assert all((step.title, step.why, step.commands, step.changes, step.undo)), step.id


def test_the_text_says_what_goes_and_what_goes_with_it() -> None:
    text = render_plan(plan_of(daily(3)))
    for words in ("day0", "takes    timeline 1", "48 files", "once discarded"):
        assert words in text
    assert "NO: it is deleted at once" in render_plan(plan_of(daily(3), replace(ONE, delete=True)))


def test_wal_can_be_left_alone() -> None:
    plan = plan_of(daily(3), replace(ONE, keep_wal=True))
    assert plan.work.wal == ()
    assert [step.id for step in plan.steps] == ["set_aside_backups"]
    assert plan.frees_bytes == 2000


def test_without_a_policy_and_without_names_there_is_no_plan() -> None:
    with pytest.raises(UsageError, match="no policy"):
        plan_of(daily(3), PruneRequest())


def test_a_policy_that_keeps_all_leaves_nothing_to_do() -> None:
    assert plan_of(daily(3), PruneRequest(policy=RetentionPolicy(count=9))).is_empty


def named(*names: str) -> PruneRequest:
    """These, whatever a policy says."""
    return PruneRequest(named=names)


def test_the_last_usable_full_backup_is_refused() -> None:
    assert blockers(plan_of(daily(3), named("day0", "day1", "day2"))) == ["backup.last"]
    world = daily(3)
    world.backups[1:] = [broken(backup) for backup in world.backups[1:]]
    assert blockers(plan_of(world, named("day0"))) == ["backup.last"]
    assert blockers(plan_of(world, named("day1"))) == []


def test_the_last_that_leads_to_the_clusters_own_timeline_is_refused() -> None:
    """Those that were taken later are of the line that was abandoned."""
    facts = facts_of(taken_back().facts(current_timeline=2))
    plan = make_prune_plan(facts, named("F1"), cluster="main", catalog_cache="/c", seen={})
    assert blockers(plan) == ["backup.line"]
    assert "timeline 2" in plan.blockers[0].message
    plan = make_prune_plan(facts, named("F2", "F3"), cluster="main", catalog_cache="/c", seen={})
    assert blockers(plan) == []


def test_a_policy_rests_on_a_verified_backup_and_names_on_who_gave_them() -> None:
    world = daily(3)
    world.backups[2] = replace(world.backups[2], verified_at=None)
    plan = plan_of(world)
    assert blockers(plan) == ["backup.unverified"]
    assert "pgrescue verify day2" in (plan.blockers[0].fix or "")
    assert blockers(plan_of(world, named("day0"))) == []
    world.backups.append(replace(daily(3).backups[2], id="copy", path="/nas/day2"))
    assert blockers(plan_of(world)) == [], "a copy of it was verified"


def test_another_clusters_backups_are_refused() -> None:
    world = daily(3)
    world.backups[0] = replace(world.backups[0], system_identifier=OTHER)
    assert blockers(plan_of(world, named("day0"))) == ["backup.foreign"]


def test_what_a_server_works_in_is_refused() -> None:
    world = daily(2)
    places = in_place(world.backups[0], served="/srv/clone")
    plan = plan_of(world, named("day0"), places=places)
    assert blockers(plan) == ["backup.served"]
    assert "/srv/clone" in plan.blockers[0].message


def test_where_nothing_is_usable_nothing_is_taken() -> None:
    world = daily(2)
    world.backups = [broken(backup) for backup in world.backups]
    assert blockers(plan_of(world, named("day0"))) == ["backup.last"]


def test_a_parent_is_refused_without_its_children() -> None:
    plan = plan_of(chain(), named("b0"))
    assert blockers(plan) == ["backup.parent"]
    assert plan.blockers[0].fix == "name them, too: pgrescue prune b0 b1 b2"
    assert blockers(plan_of(chain(), named("b0", "b1", "b2"))) == []


def test_a_broken_child_counts_too() -> None:
    world = chain()
    world.backups[2] = broken(world.backups[2])
    assert blockers(plan_of(world, named("b0", "b1"))) == ["backup.parent", "backup.parent"]


def test_what_is_no_backup_is_refused() -> None:
    odd = not_a_backup(Path("/b/server"), Problem("no_label", "A data directory without a label."))
    world = daily(2)
    facts = world.facts()
    facts = replace(facts, backups=(*facts.backups, odd))
    plan = make_prune_plan(
        facts_of(facts), named(odd.id), cluster="main", catalog_cache="/c", seen={}
    )
    assert blockers(plan) == ["backup.unknown"]


def in_place(backup: Backup, **changes: object) -> dict[str, BackupPlace]:
    """A backup's place, but for some of it."""
    place = BackupPlace(backup.path, True, (), ())
    return {backup.id: replace(place, **changes)}  # type: ignore[arg-type]  # a test's own choice


def test_a_place_that_cannot_be_renamed_is_refused() -> None:
    world = daily(2)
    places = in_place(world.backups[0], movable=False)
    assert blockers(plan_of(world, named("day0"), places=places)) == ["backup.privileges"]


def test_what_cannot_be_moved_is_refused_when_named() -> None:
    facts = facts_of(daily(2).facts(immovable={"day0": "it is a mount point"}))
    plan = make_prune_plan(facts, named("day0"), cluster="main", catalog_cache="/c", seen={})
    assert blockers(plan) == ["backup.place"]


def test_runs_that_have_not_ended_forbid_it() -> None:
    run = UnfinishedRun("20261120-0000-abcd", "interrupted")
    assert blockers(plan_of(daily(2), named("day0"), used_by={"day0": (run,)})) == ["backup.in_use"]
    assert blockers(plan_of(daily(2), ONE, unfinished=(run,))) == ["run.unfinished"]


def test_an_archive_that_cannot_be_written_forbids_it() -> None:
    assert blockers(plan_of(daily(3), ONE, writable={"/wal": False})) == ["wal.privileges"]


def test_a_named_backup_that_the_policy_keeps_is_warned_of() -> None:
    request = PruneRequest(policy=RetentionPolicy(count=2), named=("day1",))
    world = daily(2)
    world.backups = [replace(backup, verified_at=None) for backup in world.backups]
    codes = {finding.code for finding in plan_of(world, request).preflight}
    assert {"policy.against", "backup.unverified"} <= codes
    lost = {f.code for f in plan_of(daily(3), replace(request, named=("day0",))).preflight}
    assert "window.lost" in lost


def test_tablespaces_move_with_their_backup_and_foreign_ones_stay() -> None:
    world = daily(2)
    places = in_place(world.backups[0], tablespaces=("/b/day0.tablespaces",), left=("/srv/live",))
    plan = plan_of(world, named("day0"), places=places)
    assert [move.path for move in plan.work.moves] == ["/b/day0", "/b/day0.tablespaces"]
    assert any("/srv/live" in finding.message for finding in plan.preflight)
