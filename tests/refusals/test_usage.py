"""Options that cannot be understood: exit code 2, and nobody's cluster is touched."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.refusals.conftest import Scene
from tests.support.cluster import cluster_config
from tests.support.command import run_pgrescue
from tests.support.refused import refused, unchanged

pytestmark = pytest.mark.server

USAGE = 2

TARGETS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "no time": (("--to", "yesterday noon"), ("yesterday noon", "is not a time", "Examples")),
    "no such day": (("--to", "2026-02-30 10:00 UTC"), ("2026-02-30", "is not a time")),
    "zone abbreviation": (("--to", "2026-03-01 10:00 CST"), ("CST", "offset")),
    "happened twice": (
        ("--to", "2026-10-25 02:30 Europe/Berlin"),
        ("happened twice", "2026-10-25 00:30:00+00:00", "2026-10-25 01:30:00+00:00"),
    ),
    "never happened": (("--to", "2026-03-29 02:30 Europe/Berlin"), ("never happened", "offset")),
    "text as xid": (("--to-xid", "drop-table"), ("drop-table", "transaction id")),
    "LSN as xid": (("--before-xid", "0/3000028"), ("0/3000028", "--to-lsn")),
    "reserved xid": (("--to-xid", "2"), ("never used for commits",)),
    "xid as LSN": (("--to-lsn", "785"), ("785", "LSN")),
    "two targets": (("--to-xid", "800", "--to", "latest"), ("--to, --to-xid",)),
    "no action": (("--action", "stop"), ("stop", "pause, promote, shutdown")),
    "no timeline": (("--timeline", "0000000A"), ("0000000A", "decimal")),
    "empty name": (("--to-name", ""), ("restore point", "1 to 63 bytes")),
    "port of no clone": (("--port", "5440"), ("--port", "--into")),
    "no port": (("--into", "/tmp/nowhere", "--port", "70000"), ("70000", "65535")),
    "half a mapping": (("--tablespace", "/srv/fast"), ("OLD=NEW",)),
    "unknown tablespace": (
        ("--into", "/tmp/nowhere", "--tablespace", "/srv/slow=/srv/new"),
        ("no tablespace at /srv/slow", "tablespaces/fast"),
    ),
    "relative tablespace": (
        ("--into", "/tmp/nowhere", "--tablespace", "{fast}=new"),
        ("absolute",),
    ),
    "unknown backup": (("--backup", "20010101"), ("20010101", "pgrescue catalog")),
    "unknown option": (("--two-fast",), ("--two-fast",)),
    "unknown choice": (("--old-data", "burn"), ("burn", "keep", "delete")),
    "clone into nothing": (("--into", ""), ("--into names no directory", "variable")),
    "clone that deletes": (
        ("--into", "/tmp/nowhere", "--old-data", "delete"),
        ("--old-data delete", "A clone leaves"),
    ),
    "no plan": (("--plan", "/nowhere/plan.json"), ("/nowhere/plan.json",)),
}


@pytest.mark.parametrize("options", TARGETS)
def test_option_is_refused(scene: Scene, options: str) -> None:
    given, words = TARGETS[options]
    fast = str(scene.sandbox.tablespaces / "fast")
    with unchanged(scene.sandbox):
        completed = scene.restore(*(option.replace("{fast}", fast) for option in given))
    refused(completed, USAGE, *words)
    assert completed.stdout.count("\n") == 1, "one object and nothing else"


@pytest.mark.parametrize("options", ["no time", "two targets", "unknown backup", "unknown option"])
def test_plan_refuses_the_same(scene: Scene, options: str) -> None:
    given, words = TARGETS[options]
    refused(scene.run("plan", *given), USAGE, *words)


def test_a_plan_is_executed_as_it_is_or_not_at_all(scene: Scene) -> None:
    """Who asks for a clone beside a plan in place must not get the plan."""
    saved = scene.workspace.path / "plan.json"
    saved.write_text(scene.run("plan", "--to", "latest").stdout)
    with unchanged(scene.sandbox):
        clone = scene.restore("--plan", str(saved), "--into", "/tmp/nowhere", "--to-xid", "800")
        refused(clone, USAGE, "--to-xid, --into does not go with --plan")
        other = scene.run("--cluster", "mian", "restore", "--yes", "--plan", str(saved))
        refused(other, USAGE, "a plan of the cluster main, not mian", "--cluster main")


@pytest.mark.parametrize("command", ["status", "attach", "resume", "undo", "discard", "abort"])
def test_unknown_run_is_refused(scene: Scene, command: str) -> None:
    with unchanged(scene.sandbox):
        refused(scene.run(command, "20010101-000000-abcd"), USAGE, "run")


def test_unknown_cluster_is_refused(scene: Scene) -> None:
    with unchanged(scene.sandbox):
        completed = scene.run("--cluster", "mian", "restore", "--yes")
    refused(completed, USAGE, "mian", "main")


def test_missing_configuration_is_refused(scene: Scene) -> None:
    nowhere = scene.workspace.path / "nowhere.toml"
    completed = run_pgrescue(
        *("restore", "--yes", "--json"), config=nowhere, state=scene.workspace.state
    )
    refused(completed, USAGE, "nowhere.toml", "pgrescue init")


def test_every_wrong_path_of_the_configuration_is_named(scene: Scene) -> None:
    good = cluster_config(scene.sandbox)
    try:
        scene.workspace.configure(
            replace(
                good,
                wal_archive=scene.sandbox.directory / "wall",
                backups=(scene.sandbox.directory / "backup",),
            )
        )
        with unchanged(scene.sandbox):
            completed = scene.restore()
        refused(completed, USAGE, "wal_archive", "backups", f"did you mean {scene.sandbox.wal}?")
    finally:
        scene.workspace.configure(good)
