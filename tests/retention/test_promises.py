"""Whatever the catalog, the archive and the policy: no advice breaks what the policy promises."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.retention.advise import advise
from pgrescue.retention.model import Advice
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE as SIZE
from tests.retention.world import MONDAY, World, backup_at, broken

LAST = 60
RULE = st.none() | st.integers(1, 4)
POLICIES = st.builds(RetentionPolicy, count=RULE, days=RULE, weekly=RULE, monthly=RULE)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Timelines that left each other anywhere, backups, chains, holes and broken ones."""
    world = World(now=MONDAY + timedelta(hours=draw(st.integers(LAST, 4 * LAST))))
    ends = {1: draw(st.integers(10, LAST))}
    for timeline in range(2, draw(st.integers(1, 4)) + 1):
        parent = draw(st.sampled_from(sorted(ends)))
        first = world.timelines.get(parent, (0, 0, 0))[1]
        fork = draw(st.integers(first, max(first, ends[parent])))
        known = world.time_of(parent, fork) - MONDAY
        hour = int(known.total_seconds()) // 3600 + draw(st.integers(0, 20))
        world.timelines[timeline] = (parent, fork, hour)
        ends[timeline] = fork + draw(st.integers(0, LAST))
    for timeline, end in ends.items():
        world.fill(timeline, world.timelines.get(timeline, (0, 0, 0))[1], end)
    for hole in draw(st.lists(st.sampled_from(sorted(world.segments)), max_size=3)):
        world.segments.discard(hole)
    for number in range(draw(st.integers(1, 8))):
        timeline = draw(st.sampled_from(sorted(ends)))
        first = world.timelines.get(timeline, (0, -1, 0))[1] + 1
        segment = draw(st.integers(first, max(first, ends[timeline])))
        earlier = [
            b
            for b in world.backups
            if b.timeline == timeline and int(b.start_lsn or 0) // SIZE < segment
        ]
        parent_backup = draw(st.none() | st.sampled_from(earlier)) if earlier else None
        moment = world.time_of(timeline, segment) + timedelta(seconds=number)
        backup = backup_at(
            moment, segment, name=f"b{number}", timeline=timeline, parent=parent_backup
        )
        fate = draw(st.sampled_from(("whole", "whole", "whole", "broken", "no end")))
        if fate == "broken":
            backup = broken(backup)
        elif fate == "no end":
            backup = replace(backup, stopped_at=None)
        world.backups.append(backup)
    return world


def after(world: World, advice: Advice) -> World:
    """The world once all that could go is gone."""
    return world.without(
        {item.id for item in advice.removable}, {file.name for file in advice.wal.files}
    )


@settings(max_examples=400, deadline=None)
@given(worlds(), POLICIES)
def test_the_last_days_stay_recoverable(world: World, policy: RetentionPolicy) -> None:
    advice = advise(world.facts(), policy)
    if policy.days is None:
        return
    since = world.now - timedelta(days=policy.days)
    wanted = {
        (line, number)
        for line, number in world.reachable()
        if world.time_of(world.owner(line, number), number) >= since
    }
    assert wanted <= after(world, advice).reachable()


@settings(max_examples=400, deadline=None)
@given(worlds(), POLICIES)
def test_what_is_kept_keeps_its_chain_and_its_window(world: World, policy: RetentionPolicy) -> None:
    advice = advise(world.facts(), policy)
    kept = {item.id for item in advice.kept}
    removed = {item.id for item in advice.removable}
    left = after(world, advice)
    by_id = {backup.id: backup for backup in left.linked()}
    for backup in world.linked():
        if backup.id not in removed and backup.parent is not None:
            assert backup.parent not in removed
        if backup.id in kept:
            assert by_id[backup.id].usable
            assert by_id[backup.id].parent == backup.parent
    before = [window for window in world.windows() if window.backup in kept]
    assert before == [window for window in left.windows() if window.backup in kept]


@settings(max_examples=400, deadline=None)
@given(worlds(), POLICIES)
def test_the_newest_usable_full_backups_are_kept(world: World, policy: RetentionPolicy) -> None:
    advice = advise(world.facts(), policy)
    kept = {item.id for item in advice.kept}
    fulls = [b for b in world.linked() if b.usable and b.kind == "full"]
    fulls.sort(key=lambda b: (b.stopped_at or b.started_at or MONDAY, b.start_lsn or 0))
    assert {backup.id for backup in fulls[-max(1, policy.count or 0) :]} <= kept
    assert not any(item.id in kept for item in advice.removable)
    broken_ones = {backup.id for backup in world.linked() if not backup.usable}
    assert broken_ones == {item.id for item in advice.not_counted}


@settings(max_examples=200, deadline=None)
@given(worlds(), POLICIES, st.data())
def test_the_clusters_own_timeline_is_reached_as_far_as_before(
    world: World, policy: RetentionPolicy, data: st.DataObject
) -> None:
    """Wherever recoveries have led the cluster: its newest point stays within reach."""
    line = data.draw(st.sampled_from(world.lines()))
    advice = advise(world.facts(current_timeline=line), policy)
    before, left = (w.reachable() for w in (world, after(world, advice)))
    fulls = [b for b in world.linked() if b.usable and b.kind == "full" and world.leads(b, line)]
    if fulls:
        assert any(backup.id in {item.id for item in advice.kept} for backup in fulls)
    ends = [number for where, number in before if where == line]
    assert not ends or (line, max(ends)) in left


@settings(max_examples=400, deadline=None)
@given(worlds(), POLICIES)
def test_what_is_told_to_be_lost_is_what_is_lost(world: World, policy: RetentionPolicy) -> None:
    advice = advise(world.facts(), policy)
    lost = world.reachable() - after(world, advice).reachable()
    told = {
        (span.timeline, number)
        for item in advice.removable
        for span in item.lost
        for number in range(span.from_lsn // SIZE, -(-span.to_lsn // SIZE))
    }
    # A span that ends where a kept backup ends shares that backup's segment with it.
    assert lost <= told
    shared = {(line, n) for line, n in told - lost if (line, n) in world.reachable()}
    ends = {
        int(b.stop_lsn or 0) // SIZE
        for b in world.linked()
        if b.id in {item.id for item in advice.kept}
    }
    assert {number for _, number in shared} <= ends
