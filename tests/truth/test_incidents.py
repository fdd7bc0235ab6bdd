"""Every incident of a history is found and nothing else, by name, on every server."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.postgres.lsn import Lsn
from tests.support.busy_history import SEGMENT_SIZE
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document
from tests.support.incident_scenes import drops, mass_changes, second_thoughts, truncations
from tests.support.incident_stage import Expected
from tests.support.incident_story import ACTS, Act, IncidentStory, make_story

pytestmark = pytest.mark.server

FEW: tuple[Act, ...] = (second_thoughts, truncations, mass_changes, drops)


def found_in(story: IncidentStory, workspace: Workspace, *options: str) -> list[dict[str, Any]]:
    """What the command says of the story's archive, from the story's beginning on."""
    workspace.configure(cluster_config(story.sandbox))
    command = ("incidents", "--from", str(story.start), *options, "--json")
    incidents: list[dict[str, Any]] = document(workspace.run(*command, check=True))["incidents"]
    return incidents


def check(story: IncidentStory, found: list[dict[str, Any]]) -> None:
    """Each expected incident once, as it was; no false alarm."""
    by_xid = {incident["xid"]: incident for incident in found}
    assert len(by_xid) == len(found), "one transaction, one incident"
    alarms = {
        story.scene_at(Lsn.parse(incident["lsn"])): incident
        for xid, incident in by_xid.items()
        if xid not in {expected.xid for expected in story.expected}
    }
    assert not alarms
    for expected in story.expected:
        assert expected.xid in by_xid, f"missed: {expected.scene}"
        compare(expected, by_xid[expected.xid])
    order = [incident["xid"] for incident in found]
    assert order == [expected.xid for expected in story.expected], "in the order of the commits"


def compare(expected: Expected, incident: dict[str, Any]) -> None:
    """One incident, in everything that is known of it."""
    scene = expected.scene
    assert incident["kind"] == expected.kind, scene
    assert datetime.fromisoformat(incident["time"]) == expected.time, scene
    assert Lsn.parse(incident["lsn"]) == expected.lsn, scene
    assert incident["database"] == expected.database, scene
    if expected.rows is not None:
        assert incident["rows"] == expected.rows, scene
    if expected.kind == "drop_tablespace":
        assert [relation["name"] for relation in incident["relations"]] == ["spare"], scene
        return
    names = {f"{relation['schema']}.{relation['name']}" for relation in incident["relations"]}
    wanted = set(expected.old_names or expected.relations)
    assert wanted <= names, scene
    assert names <= wanted | set(expected.may_name), scene


@pytest.fixture
def story(workspace: Workspace, every_server: ServerBinaries) -> IncidentStory:
    """The whole story on each server there is."""
    return make_story(workspace, every_server)


@pytest.mark.slow
@pytest.mark.parametrize("backup", ["packed", "plain"])
def test_the_whole_story(story: IncidentStory, workspace: Workspace, backup: str) -> None:
    workspace.configure(cluster_config(story.sandbox))
    listed = document(workspace.run("catalog", "--json", check=True))["backups"]
    (chosen,) = [item["id"] for item in listed if item["path"].endswith(f"/{backup}")]
    check(story, found_in(story, workspace, "--backup", chosen))


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [{"wal_level": "logical"}, {"wal_compression": "on"}, {"full_page_writes": "off"}],
    ids=lambda settings: next(iter(settings)),
)
def test_the_whole_story_with_other_records(
    workspace: Workspace, any_binaries: ServerBinaries, settings: dict[str, str]
) -> None:
    story = make_story(workspace, any_binaries, settings=settings, acts=ACTS)
    check(story, found_in(story, workspace))


def test_what_was_done_and_what_was_taken_back(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    story = make_story(workspace, any_binaries, acts=FEW)
    found = found_in(story, workspace)
    check(story, found)
    by_kind = {incident["kind"]: incident for incident in found}
    drop = by_kind["drop_table"]
    assert drop["arguments"] == ["--before-xid", str(drop["xid"])]
    database = by_kind["drop_database"]
    assert database["arguments"][0] == "--to-lsn"
    assert Lsn.parse(database["arguments"][1]) < Lsn.parse(database["lsn"])
    plan = ("plan", "--into", str(workspace.path / "clone"), *drop["arguments"], "--json")
    stop = document(workspace.run(*plan, check=True))["stop"]
    assert stop["first_discarded"]["xid"] == drop["xid"]
    few = found_in(story, workspace, "--to", drop["lsn"], "--min-rows", "1000000")
    assert all(Lsn.parse(incident["lsn"]) < Lsn.parse(drop["lsn"]) for incident in few)


@pytest.mark.slow
def test_without_a_backup_incidents_are_told_by_oid(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    story = make_story(workspace, any_binaries, acts=(truncations,))
    for backup in story.sandbox.backups.iterdir():
        backup.rename(workspace.path / backup.name)
    # Nor is there WAL from the time when the tables got their names.
    for segment in story.archive.iterdir():
        if len(segment.name) == 24 and int(segment.name[16:], 16) < story.start // SEGMENT_SIZE:
            segment.unlink()
    found = found_in(story, workspace)
    assert [incident["xid"] for incident in found] == [item.xid for item in story.expected]
    relations = [relation for incident in found for relation in incident["relations"]]
    assert all(relation["name"] is None and relation["oid"] for relation in relations)
