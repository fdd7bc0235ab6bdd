"""Backups are set aside, put back and deleted, and what stays can be restored."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.command import Completed, document, finished
from tests.support.files import differences, file_tree
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = pytest.mark.server

CONFIRM = ("--confirm", f"{platform.node().split('.')[0]}/main")
HIDDEN = ".pgrescue-removed-"


def prune(source: Source, *options: str, check: bool = True) -> Completed:
    """Run `pgrescue prune`, confirmed."""
    return source.workspace.run("prune", *options, *CONFIRM, "--json", check=check)


def listed(source: Source) -> dict[str, dict[str, Any]]:
    """The catalog, by directory name."""
    found = document(source.workspace.run("catalog", "--json", check=True))["backups"]
    return {Path(item["path"]).name: item for item in found}


def hidden(source: Source) -> list[Path]:
    """What was set aside, in the directories for backups and for WAL."""
    places = (source.sandbox.backups, source.sandbox.wal)
    return [path for place in places for path in place.glob(f"{HIDDEN}*")]


def everything(source: Source) -> dict[str, Any]:
    """Backups and WAL, byte for byte."""
    return {
        **{f"b/{name}": entry for name, entry in file_tree(source.sandbox.backups).items()},
        **{f"w/{name}": entry for name, entry in file_tree(source.sandbox.wal).items()},
    }


def restored_rows(source: Source, name: str, *options: str) -> list[int]:
    """What a clone restored from a backup shows."""
    with source.clone("--backup", source.id_of(name), *options) as clone:
        return clone.rows()


def test_advice_says_what_would_go_and_changes_nothing(source: Source) -> None:
    before = everything(source)
    said = document(source.workspace.run("retention", "--keep-count", "2", "--json", check=True))
    assert [item["id"] for item in said["removable"]] == [source.id_of("first")]
    assert [item["id"] for item in said["kept"]] == [source.id_of(n) for n in ("third", "second")]
    assert said["kept"][0]["reasons"] == ["the newest usable full backup", "newest 2"]
    (lost,) = said["removable"][0]["lost"]
    assert lost["to_lsn"] == listed(source)["second"]["stop_lsn"]
    (cut,) = said["wal"]["cuts"]
    assert cut["below"] == segment_of(source, "second")
    assert said["wal"]["files"] == cut["files"] > 0
    assert said["frees_bytes"] > said["removable"][0]["size_bytes"]
    text = source.workspace.run("retention", "--keep-count", "2", check=True).stdout
    assert "Could be removed (1)" in text
    assert "pgrescue prune --dry-run" in text
    assert everything(source) == before


def segment_of(source: Source, name: str) -> str:
    """The WAL segment in which a backup starts."""
    lsn = listed(source)[name]["start_lsn"]
    (segment,) = source.sandbox.sql(f"select pg_walfile_name('{lsn}')")
    return segment


@pytest.mark.slow
def test_without_a_policy_nothing_goes(source: Source) -> None:
    said = document(source.workspace.run("retention", "--json", check=True))
    assert said["removable"] == []
    refused(source.workspace.run("prune", *CONFIRM, "--json"), 2, "no policy")


def test_set_aside_then_put_back_is_as_it_was(source: Source) -> None:
    before = everything(source)
    last = finished(prune(source, "--keep-count", "1"))
    assert (last["state"], last["kind"]) == ("succeeded", "prune")
    assert set(listed(source)) == {"third"}
    assert len(hidden(source)) == 2
    timeline = document(source.workspace.run("timeline", "--json", check=True))
    assert timeline["timelines"][0]["first_segment"] == segment_of(source, "third")
    assert restored_rows(source, "third") == source.log.expected("latest")
    undone = source.workspace.run("undo", str(last["run"]), "--yes", check=True)
    assert "Everything is back" in undone.stderr
    assert differences(before, everything(source)) == []
    assert restored_rows(source, "first", "--to", "immediate") == list(source.backups["first"].rows)


@pytest.mark.slow
def test_discarded_is_gone_and_the_rest_restores(source: Source) -> None:
    foreign = source.sandbox.wal / "notes.txt"
    foreign.write_text("not WAL")
    last = finished(prune(source, "--keep-count", "1"))
    asides = [Path(path) for path in hidden(source)]
    assert {path.name for path in asides[0].iterdir()} == {"first", "second"}
    assert last["set_aside"] is not None
    assert "discard" in source.workspace.run("status", check=True).stdout
    source.workspace.run("discard", "--yes", check=True)
    assert hidden(source) == []
    assert sorted(os.listdir(source.sandbox.backups)) == ["third"]
    assert foreign.read_text() == "not WAL"
    assert source.workspace.run("undo", "--yes").returncode == 2
    assert source.workspace.run("discard", "--yes").returncode == 2
    assert restored_rows(source, "third") == source.log.expected("latest")
    report = source.workspace.state / "runs" / str(last["run"]) / "report.md"
    assert f"# Removal of {CONFIRM[1]}: succeeded" in report.read_text()


@pytest.mark.slow
def test_deleted_at_once_when_asked_for(source: Source) -> None:
    prune(source, "--keep-count", "2", "--delete")
    assert hidden(source) == []
    assert set(listed(source)) == {"second", "third"}
    assert source.workspace.run("undo", "--yes").returncode == 2
    assert restored_rows(source, "second") == source.log.expected("latest")


@pytest.mark.slow
def test_history_files_stay(source: Source) -> None:
    source.restore("--to", "latest", "--action", "promote")
    source.sandbox.sql("select pg_switch_wal()")
    source.backup("fourth", "-Ft", "-z")
    source.sandbox.switch_wal()
    refused(prune(source, "--keep-count", "1", check=False), 3, "has not been verified")
    source.workspace.run("verify", listed(source)["fourth"]["id"], check=True)
    prune(source, "--keep-count", "1")
    names = {path.name for path in source.sandbox.wal.iterdir() if path.is_file()}
    assert "00000002.history" in names
    assert not any(name.startswith("00000001") for name in names)
    assert restored_rows(source, "fourth") == source.log.expected("latest")


@pytest.mark.slow
def test_it_needs_the_clusters_name(source: Source) -> None:
    before = everything(source)
    for given in ((), ("--confirm", "elsewhere/main")):
        said = source.workspace.run("prune", "--keep-count", "1", *given, "--json")
        refused(said, 3, CONFIRM[1])
    assert everything(source) == before


@pytest.mark.slow
def test_the_dry_run_shows_the_steps_and_does_nothing(source: Source) -> None:
    before = everything(source)
    shown = source.workspace.run("prune", "--keep-count", "1", "--dry-run", check=True).stdout
    assert "Set the backups aside" in shown
    assert f"{HIDDEN}" in shown
    plan = document(
        source.workspace.run("prune", "--keep-count", "1", "--dry-run", "--json", check=True)
    )
    assert plan["kind"] == "prune"
    assert [item["id"] for item in plan["removed"]] == [
        source.id_of(n) for n in ("first", "second")
    ]
    assert everything(source) == before
    assert source.workspace.run("runs", check=True).stdout.count("\n") == 1


@pytest.mark.slow
def test_named_backups_go_whatever_the_policy(source: Source) -> None:
    shown = source.workspace.run(
        "prune", source.id_of("second"), "--keep-count", "2", "--dry-run", check=True
    )
    assert "The policy keeps" in shown.stdout
    prune(source, source.id_of("second"))
    assert set(listed(source)) == {"first", "third"}
    assert restored_rows(source, "first") == source.log.expected("latest")


@pytest.mark.slow
def test_the_last_usable_full_backup_is_never_taken(source: Source) -> None:
    before = everything(source)
    names = [source.id_of(name) for name in ("first", "second", "third")]
    refused(prune(source, *names, check=False), 3, "last usable full backup")
    assert everything(source) == before


@pytest.mark.slow
def test_a_parent_goes_only_with_its_children(source: Source) -> None:
    manifest = f"{source.backups['second'].path}/backup_manifest"
    source.backup("child", "-Ft", "-z", f"--incremental={manifest}")
    child, parent = source.id_of("child"), source.id_of("second")
    refused(prune(source, parent, check=False), 3, f"needed by the incremental {child}")
    prune(source, parent, child)
    assert set(listed(source)) == {"first", "third"}


@pytest.mark.slow
def test_a_chain_is_kept_whole_and_restores(source: Source) -> None:
    manifest = f"{source.backups['second'].path}/backup_manifest"
    source.backup("child", "-Fp", f"--incremental={manifest}")
    source.log.mark("after the child")
    source.sandbox.switch_wal()
    prune(source, "--keep-days", "1", "--keep-count", "1", "--delete")
    prune(source, source.id_of("first"), source.id_of("third"), "--delete")
    assert set(listed(source)) == {"second", "child"}
    assert restored_rows(source, "child") == source.log.expected("latest")


@pytest.mark.slow
def test_the_commands_of_the_plan_do_the_same_by_hand(source: Source) -> None:
    (source.sandbox.wal / "00000001.history-of-mine-and-no-WAL").write_text("not WAL")
    plan = document(
        source.workspace.run("prune", "--keep-count", "1", "--dry-run", "--json", check=True)
    )
    script = "set -e\n" + "\n".join(line for step in plan["steps"] for line in step["commands"])
    subprocess.run(("bash", "-c", script), check=True, cwd="/")
    (group,) = plan["work"]["wal"]
    assert sorted(os.listdir(group["aside"])) == group["names"]
    assert set(listed(source)) == {"third"}
