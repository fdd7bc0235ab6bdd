"""File systems that are too small, or become so half-way, on a real one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import servers_below
from tests.faults.small_disk import MIB, SmallDisk, run_into_a_full_disk, small_disk
from tests.support.cluster import Workspace, cluster_config
from tests.support.command import document, finished
from tests.support.places import Place, free_port
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

_MORE = re.compile(r"needs (\d+) bytes \([^)]+\) more")
SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB", "autovacuum": "off"}


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster of some 30 MB with a tablespace, and 40 MB of WAL behind its backup."""
    workspace = Workspace.make()
    try:
        yield make_source(workspace, any_binaries, "main")
    finally:
        workspace.destroy()


def make_source(workspace: Workspace, binaries: ServerBinaries, name: str) -> Source:
    made = Source.make(workspace, binaries, name=name, settings=SETTINGS)
    made.sandbox.create_tablespace("fast")
    made.sandbox.sql(
        "create table filler tablespace fast as "
        "select n, repeat('x', 500) as x from generate_series(1, 12000) n"
    )
    made.backup("nightly", "-Ft", "-Xs")
    made.log.mark("before much WAL")
    for _ in range(3):
        made.sandbox.sql("update filler set x = repeat('y', 500); vacuum filler")
    made.log.mark("after much WAL")
    made.sandbox.switch_wal()
    return made


@pytest.fixture
def disk(source: Source) -> Iterator[SmallDisk]:
    """Big enough for all that a restore does there."""
    with small_disk(source.workspace, 320 * MIB) as made:
        yield made


def onto(disk: SmallDisk, *more: str) -> tuple[str, ...]:
    return ("--into", str(disk.path / "clone"), "--port", str(free_port()), *more)


def needed(status: dict[str, Any], disk: SmallDisk) -> int:
    """How many bytes more the run asks for."""
    assert status["state"] == "failed", status
    error = status["error"]
    assert str(disk.path) in error["title"]
    found = _MORE.search(error["cause"])
    assert found is not None, error
    assert any(f"make room for {found[1]} bytes" in step for step in error["next"])
    assert any("pgrescue resume" in step for step in error["next"])
    return int(found[1])


def resumed(source: Source, place: Place) -> dict[str, Any]:
    """The run goes on once there is room, and ends as an undisturbed one does."""
    last = finished(source.workspace.run("resume", "--yes", "--json"))
    assert last["state"] == "succeeded", last["error"]
    assert all(step["state"] == "done" for step in last["steps"])
    assert place.rows() == source.log.expected("latest")
    assert not place.in_recovery()
    assert place.sql("select count(*), min(x) = repeat('y', 500) from filler") == ["12000|t"]
    return last


def test_full_while_extracting(source: Source, disk: SmallDisk) -> None:
    """It ends in the middle of a file; the bytes that it asks for are enough to go on."""
    where = onto(disk)
    clone = Path(where[1])
    status = run_into_a_full_disk(source.workspace, disk, "extract", 8 * MIB, *where)
    missing = needed(status, disk)
    assert status["step"] == "extract"
    assert not (clone / "global" / "pg_control").exists()
    filler = disk.path / "somebody-elses"
    assert MIB < missing < filler.stat().st_size
    os.truncate(filler, filler.stat().st_size - missing)
    resumed(source, Place(clone, source.sandbox))


def test_it_ends_before_the_disk_is_full(source: Source, disk: SmallDisk) -> None:
    """All files would still fit, but nothing would be left for the WAL, or for others."""
    where = onto(disk)
    clone = Path(where[1])
    status = run_into_a_full_disk(source.workspace, disk, "extract", 40 * MIB, *where)
    assert needed(status, disk) > MIB
    assert disk.free > 4 * MIB
    assert not (clone / "global" / "pg_control").exists(), "nobody has started to recover"
    disk.make_room()
    resumed(source, Place(clone, source.sandbox))


@pytest.mark.slow
def test_full_in_a_tablespace(source: Source, disk: SmallDisk) -> None:
    fast = source.sandbox.tablespaces / "fast"
    clone = source.clone_path()
    where = ("--into", str(clone), "--port", str(free_port()))
    mapped = (*where, "--tablespace", f"{fast}={disk.path}/fast")
    place = Place(clone, source.sandbox)
    try:
        status = run_into_a_full_disk(source.workspace, disk, "extract", 5 * MIB, *mapped)
        assert needed(status, disk) < 100 * MIB
        disk.make_room()
        resumed(source, place)
    finally:
        place.remove()


@pytest.mark.slow
def test_full_while_wal_is_replayed(source: Source, disk: SmallDisk) -> None:
    """The server, which would go on filling the disk, is stopped; it goes on where it was."""
    where = onto(disk)
    clone = Path(where[1])
    slow = source.workspace.path / "slow"
    slowly = f"if [ -e {slow} ]; then sleep 1; fi; cp {source.sandbox.wal}/%f %p"
    known = cluster_config(source.sandbox)
    source.workspace.configure(replace(known, wal_archive=None, restore_command=slowly))
    try:
        slow.touch()
        status = run_into_a_full_disk(source.workspace, disk, "replay", 14 * MIB, *where)
    finally:
        source.workspace.configure(known)
        slow.unlink()
    needed(status, disk)
    assert status["step"] == "replay"
    assert not servers_below(clone)
    disk.make_room()
    resumed(source, Place(clone, source.sandbox))


@pytest.mark.slow
def test_full_while_wal_is_rescued(workspace: Workspace, any_binaries: ServerBinaries) -> None:
    """In place, and nothing has been moved yet: it can as well be given up."""
    with small_disk(workspace, 640 * MIB) as disk:
        source = make_source(workspace, any_binaries, "disk/main")
        source.sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
        source.log.mark("only in pg_wal")
        status = run_into_a_full_disk(workspace, disk, "rescue_wal", 100_000, "--to", "latest")
        assert needed(status, disk) > 0
        assert status["step"] == "rescue_wal"
        assert status["set_aside"] is None
        assert "the old data is where it was" in status["error"]["evidence"]
        assert not list(disk.path.glob("main/data.*-wal/tail/*.pgrescue-new")), "half a copy"
        disk.make_room()
        resumed(source, source.place)


def plan_of(source: Source, *options: str, code: int = 0) -> dict[str, Any]:
    completed = source.workspace.run("plan", *options, "--json")
    assert completed.returncode == code, completed.stderr
    said: dict[str, Any] = document(completed)
    return said


def test_inodes_are_counted(source: Source) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place = source.workspace.path / "few-inodes"
    place.mkdir()
    options = "size=400m,nr_inodes=300"
    command = ("mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place))
    if subprocess.run(command, check=False).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        completed = source.workspace.run(
            "restore", "--into", str(place / "clone"), "--yes", "--json"
        )
        refused(completed, 3, f"{place} has", "free inodes", "too few", f"df -i {place}")
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(("umount", str(place)), check=True)


def test_each_file_system_is_asked_for_what_it_gets(source: Source, disk: SmallDisk) -> None:
    """Tablespace there, data here; but a bind mount is no further file system."""
    fast = source.sandbox.tablespaces / "fast"
    clone = source.clone_path()
    bound = source.workspace.path / "bound"
    bound.mkdir()
    subprocess.run(("mount", "--bind", str(disk.path), str(bound)), check=True)
    try:
        mapped = ("--tablespace", f"{fast}={bound}/fast")
        apart = plan_of(source, "--into", str(clone), *mapped)["space"]
        together = plan_of(source, "--into", f"{disk.path}/clone", *mapped)["space"]
    finally:
        subprocess.run(("umount", str(bound)), check=True)
    needs = {item["filesystem"]: item for item in apart}
    there = needs.pop(str(bound))
    (here,) = needs.values()
    assert there["paths"] == [f"{bound}/fast"]
    assert here["needed_bytes"] > 70 * MIB, "the data, and the WAL to replay"
    grown = 3 * 7 * MIB
    assert 22 * MIB < there["needed_bytes"] < 20 * MIB + grown, "with what its table grows to"
    (one,) = [item for item in together if f"{bound}/fast" in item["paths"]]
    assert f"{disk.path}/clone" in one["paths"]
    assert one["needed_bytes"] > there["needed_bytes"] + 45 * MIB


@pytest.mark.slow
def test_wal_is_counted_where_it_is_kept(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """`pg_wal` may be a link to a file system of its own, and a small one."""
    with small_disk(workspace, 320 * MIB) as disk:
        source = make_source(workspace, any_binaries, "main")
        source.sandbox.stop()
        wal, linked = source.sandbox.data / "pg_wal", disk.path / "wal"
        subprocess.run(("cp", "-a", str(wal), str(linked)), check=True)
        subprocess.run(("rm", "-r", str(wal)), check=True)
        wal.symlink_to(linked)
        plan = plan_of(source)
        (there,) = [item for item in plan["space"] if item["filesystem"] == str(disk.path)]
        # All that there is to replay: less than two rounds of max_wal_size.
        assert 40 * MIB < there["needed_bytes"] < 90 * MIB
        with (disk.path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.free - 20 * MIB)
        refused(workspace.run("restore", "--yes", "--json"), 3, f"{disk.path} needs", "too little")
