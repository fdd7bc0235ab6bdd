"""The tests' own oracles: histories whose truth is known, and real recoveries to compare with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import BusyHistory, make_history
from tests.support.busy_work import POINT_USED_TWICE
from tests.support.cluster import Workspace
from tests.support.incident_scenes import second_thoughts, truncations
from tests.support.incident_stage import Expected
from tests.support.incident_story import IncidentStory, make_story
from tests.support.random_targets import random_targets
from tests.support.recovery import Bench, read_log
from tests.support.servers import SERVERS, examine, named_servers
from tests.support.waldump import endings, parse_records, restore_points

TARGETS = 40
"""How many random targets each server is given."""

DUMP = """\
rmgr: Transaction len (rec/tot):     34/    34, tx:        746, lsn: 0/019D8810, prev 0/019D87D8, \
desc: COMMIT 2026-11-24 14:56:10.000123 UTC
rmgr: Transaction len (rec/tot):     58/    58, tx:        747, lsn: 0/019D8838, prev 0/019D8810, \
desc: ABORT 2026-11-24 14:56:11.500000 UTC; subxacts: 748 749
rmgr: Transaction len (rec/tot):     46/    46, tx:          0, lsn: 0/019D8880, prev 0/019D8838, \
desc: COMMIT_PREPARED 740: 2026-11-24 14:56:12.000000 UTC
rmgr: XLOG        len (rec/tot):     98/    98, tx:          0, lsn: 0/019D88B0, prev 0/019D8880, \
desc: RESTORE_POINT before the deploy
"""


@pytest.fixture(scope="module")
def shared_workspace() -> Iterator[Workspace]:
    """A directory for all tests of this module."""
    workspace = Workspace.make()
    try:
        yield workspace
    finally:
        workspace.destroy()


@pytest.fixture(scope="module")
def history(shared_workspace: Workspace, every_server: ServerBinaries) -> Iterator[BusyHistory]:
    """A busy history of each major version."""
    name = f"busy{every_server.major}"
    history = make_history(shared_workspace, every_server, name=name)
    try:
        yield history
    finally:
        history.destroy()


def test_named_servers(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(SERVERS, raising=False)
    assert named_servers() == []
    with pytest.raises(AssertionError, match="initdb"):
        examine(tmp_path)


def test_the_dump_is_read() -> None:
    records = list(parse_records(DUMP.splitlines(), 1))
    assert [record.lsn for record in records[:2]] == [
        Lsn.parse("0/19D8810"),
        Lsn.parse("0/19D8838"),
    ]
    ended = endings(records)
    assert [(ending.kind, ending.xid, ending.subxids) for ending in ended] == [
        ("commit", 746, ()),
        ("abort", 747, (748, 749)),
        ("commit_prepared", 740, ()),
    ]
    assert ended[0].time.isoformat() == "2026-11-24T14:56:10.000123+00:00"
    assert [point.name for point in restore_points(records)] == ["before the deploy"]


LOGS = {
    "LOG:  recovery stopping before commit of transaction 751, time 2026-11-22 20:35:56.9+00\n"
    "LOG:  redo done at 0/3000148 system usage: CPU\n"
    "LOG:  last completed transaction was at log time 2026-11-22 20:35:56.8+00\n"
    "LOG:  shutdown at recovery target\n": ("stopped", "before_commit", 751),
    "LOG:  recovery stopping after abort of transaction 7, time 2026-11-22 20:35:56.9+00\n": (
        "stopped",
        "after_abort",
        7,
    ),
    'LOG:  recovery stopping at restore point "a "b"", time 2026-11-22 20:35:56+00\n': (
        "stopped",
        "at_name",
        None,
    ),
    'LOG:  recovery stopping after WAL location (LSN) "0/3000148"\n': (
        "stopped",
        "after_lsn",
        None,
    ),
    "LOG:  recovery stopping after reaching consistency\n": ("stopped", "consistency", None),
    "FATAL:  recovery ended before configured recovery target was reached\n": (
        "not_reached",
        None,
        None,
    ),
    "LOG:  recovery stopping after commit of transaction 9, time 2026-11-22 20:35:56.9+00\n"
    "FATAL:  requested recovery stop point is before consistent recovery point\n": (
        "failed",
        "after_commit",
        9,
    ),
    "LOG:  selected new timeline ID: 2\nLOG:  database system is ready to accept connections\n": (
        "end_of_wal",
        None,
        None,
    ),
}


@pytest.mark.parametrize("log", LOGS)
def test_the_log_is_read(log: str) -> None:
    reached = read_log(log)
    assert (reached.outcome, reached.kind, reached.xid) == LOGS[log]


@pytest.mark.slow
@pytest.mark.server
def test_a_small_history(workspace: Workspace, any_binaries: ServerBinaries) -> None:
    history = make_history(workspace, any_binaries, seconds=0.4, workers=2, forks=0)
    try:
        (ending, *_) = (e for e in reversed(history.endings(1)) if history.ids_of(e, 1))
        target = {"recovery_target_xid": str(ending.xid)}
        with history.bench.server(history.backup("middle").path, target) as server:
            assert server.reached is not None
            assert (server.reached.outcome, server.reached.xid) == ("stopped", ending.xid)
            assert history.visible(server.conninfo()) == history.ids(1, Lsn(ending.lsn + 1))
    finally:
        history.destroy()


@pytest.mark.slow
@pytest.mark.server
def test_what_a_history_holds(history: BusyHistory) -> None:
    assert list(history.timelines) == [1, 2, 3]
    assert [history.timelines[timeline].parent for timeline in (1, 2, 3)] == [None, 1, 2]
    assert [backup.name for backup in history.backups] == ["none", "stream", "middle", "child"]
    ended = history.endings(1)
    kinds = {ending.kind for ending in ended}
    assert kinds == {"commit", "abort", "commit_prepared", "abort_prepared"}
    assert max(len(ending.subxids) for ending in ended) >= 70
    xids = {ending.xid for ending in ended}
    trace = history.trace(1)
    assert trace.released, "a released subtransaction is ended with its parent only"
    assert not trace.released & xids
    assert trace.rolled_back <= xids, "one that is rolled back alone has a record of its own"
    assert trace.silent <= xids, "an xid is ended by a record even if nothing was written"
    assert not trace.unfinished & xids
    commits = [ending.xid for ending in ended if ending.kind == "commit"]
    assert commits != sorted(commits)
    names = [point.name for point in history.restore_points(1)]
    assert names.count(POINT_USED_TWICE) > 1


@pytest.mark.slow
@pytest.mark.server
@pytest.mark.parametrize("timeline", [1, 2, 3])
def test_recovery_to_the_end_shows_what_the_truth_says(history: BusyHistory, timeline: int) -> None:
    for backup in history.backups_for(timeline):
        target = {"recovery_target_timeline": str(timeline)}
        with history.bench.server(backup.path, target) as server:
            assert server.reached is not None
            assert server.reached.outcome == "end_of_wal"
            assert history.visible(server.conninfo()) == history.ids(timeline), backup.name


@pytest.mark.slow
@pytest.mark.server
def test_random_targets(history: BusyHistory) -> None:
    """Those that must be unreachable are, and the others end in a way that a target can."""
    missed = "end_of_wal" if history.sandbox.binaries.major == 12 else "not_reached"
    for target in random_targets(history, seed=1, n=TARGETS):
        reached = history.bench.recover(target.backup.path, target.settings)
        if target.unreachable:
            assert reached.outcome == missed, (target, reached)
        elif reached.outcome == "failed":
            assert "before consistent recovery point" in (reached.fatal or ""), (target, reached)
        elif target.unreachable is False:
            expected = "end_of_wal" if target.kind == "latest" else "stopped"
            assert reached.outcome == expected, (target, reached)


@pytest.mark.slow
@pytest.mark.server
def test_random_targets_are_the_same_for_the_same_seed(history: BusyHistory) -> None:
    assert random_targets(history, 5, 20) == random_targets(history, 5, 20)
    assert random_targets(history, 5, 20) != random_targets(history, 6, 20)


@pytest.mark.slow
@pytest.mark.server
def test_a_short_story(workspace: Workspace, any_binaries: ServerBinaries) -> None:
    story = make_story(workspace, any_binaries, acts=(truncations, second_thoughts))
    check_notes(story)
    assert [incident.kind for incident in story.expected] == ["truncate"] * 4
    with bench_of(story) as bench:
        check_loss(story, bench, story.expected[-1])


@pytest.mark.slow
@pytest.mark.server
def test_the_story(workspace: Workspace, every_server: ServerBinaries) -> None:
    """Its backups restore, and what is lost is there until it is lost."""
    story = make_story(workspace, every_server)
    check_notes(story)
    assert len(story.expected) == 31
    lossy = [
        incident
        for incident in story.expected
        if incident.relations and incident.kind != "mass_update"
    ]
    with bench_of(story) as bench:
        # Every version looks at another part of them.
        for incident in lossy[every_server.major % 4 :: 4]:
            check_loss(story, bench, incident)


def bench_of(story: IncidentStory) -> Bench:
    """Where the story's backups are recovered."""
    return Bench(story.sandbox.account, story.sandbox.binaries, story.archive)


def check_notes(story: IncidentStory) -> None:
    """No two scenes are the same."""
    assert len({incident.xid for incident in story.expected}) == len(story.expected)
    scenes = [incident.scene for incident in story.expected]
    scenes += [innocent.scene for innocent in story.innocents]
    assert len(set(scenes)) == len(scenes)
    for incident in story.expected:
        assert story.start <= incident.first_lsn < incident.lsn
        assert incident.lsn in {ending.lsn for ending in story.endings}


def check_loss(story: IncidentStory, bench: Bench, incident: Expected) -> None:
    """Without its transaction everything is there; with it, it is not."""
    assert incident.database is not None
    found = []
    for inclusive in ("off", "on"):
        target = {
            "recovery_target_xid": str(incident.xid),
            "recovery_target_inclusive": inclusive,
        }
        with bench.server(story.plain, target, action="promote") as server:
            conninfo = server.conninfo(incident.database)
            roll_back_prepared(conninfo)
            found.append([rows_of(conninfo, relation) for relation in incident.relations])
    before, after = found
    if incident.kind in ("truncate", "mass_delete"):
        pairs = zip(before, after, strict=True)
        assert all(rows is not None and had and rows < had for had, rows in pairs), incident
    else:  # an unlogged table has no rows after any recovery, but it is there
        assert None not in before, incident
        assert set(after) == {None}, incident


def roll_back_prepared(conninfo: str) -> None:
    """What was prepared before the target still is, and keeps its locks, promoted or not."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        query = "select gid from pg_prepared_xacts where database = current_database()"
        for (gid,) in connection.execute(query).fetchall():
            connection.execute(sql.SQL("rollback prepared {}").format(gid))


def rows_of(conninfo: str, relation: str) -> int | None:
    """How many rows a relation has (an index: of its table); None if it is not there."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute("set lock_timeout = '5s'")
        kind = connection.execute(
            "select relkind::text from pg_class where oid = to_regclass(%s)", (relation,)
        ).fetchone()
        if kind is None:
            return None
        if kind[0] == "i":
            return 1
        counted = connection.execute(f"select count(*) from {relation}".encode()).fetchone()
        assert counted is not None
        return int(counted[0])
