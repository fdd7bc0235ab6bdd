"""File systems that are too small, or become so half-way, on a real one."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.processes import servers_below
from tests.faults.small_disk import MIB, SmallDisk, run_into_a_full_disk, small_disk
from tests.support.cluster import Workspace
from tests.support.command import document, finished
from tests.support.places import Place, free_port
from tests.support.refused import refused
from tests.support.source import Source

pytestmark = [pytest.mark.server, pytest.mark.faults]

_MORE = re.compile(r"needs (\d+) bytes \([^)]+\) more")
SETTINGS = {"max_wal_size": "64MB", "min_wal_size": "32MB", "autovacuum": "off"}


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster of some 40 MB with a tablespace and 40 MB of WAL behind its backup."""
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
        "select n, repeat('x', 500) as x from generate_series(1, 24000) n"
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
    assert place.sql("select count(*), min(x) = repeat('y', 500) from filler") == ["24000|t"]
    return last


@pytest.mark.parametrize("leave", [6 * MIB, 30 * MIB])
def test_full_while_extracting(source: Source, disk: SmallDisk, leave: int) -> None:
    """It ends in the middle of a file, or as soon as what is to stay free is touched."""
    where = onto(disk)
    status = run_into_a_full_disk(source.workspace, disk, "extract", leave, *where)
    missing = needed(status, disk)
    assert MIB < missing < 320 * MIB
    (clone,) = [Path(where[1])]
    assert not (clone / "global" / "pg_control").exists()
    free = disk.free
    disk.make_room()
    assert disk.free - free > missing
    resumed(source, Place(clone, source.sandbox))


def test_the_bytes_that_it_asks_for_are_enough(source: Source, disk: SmallDisk) -> None:
    where = onto(disk)
    status = run_into_a_full_disk(source.workspace, disk, "extract", 8 * MIB, *where)
    missing = needed(status, disk)
    filler = disk.path / "somebody-elses"
    os.truncate(filler, filler.stat().st_size - missing)
    resumed(source, Place(Path(where[1]), source.sandbox))


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


def test_full_while_wal_is_replayed(source: Source, disk: SmallDisk) -> None:
    where = onto(disk)
    clone = Path(where[1])
    status = run_into_a_full_disk(source.workspace, disk, "start", 3 * MIB, *where)
    needed(status, disk)
    assert not servers_below(clone), "a server that recovers would go on filling the disk"
    disk.make_room()
    resumed(source, Place(clone, source.sandbox))


def test_full_while_wal_is_rescued(workspace: Workspace, any_binaries: ServerBinaries) -> None:
    """In place, and nothing has been moved yet: it can as well be given up."""
    with small_disk(workspace, 400 * MIB) as disk:
        source = make_source(workspace, any_binaries, "disk/main")
        source.sandbox.sql("alter system set archive_command = 'false'; select pg_reload_conf()")
        source.log.mark("only in pg_wal")
        status = run_into_a_full_disk(workspace, disk, "rescue_wal", 100_000, "--to", "latest")
        assert needed(status, disk) > 0
        assert status["step"] == "rescue_wal"
        assert status["set_aside"] is None
        assert "The old data is where it was" in status["error"]["evidence"]
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
    """Tablespace there, data here; a bind mount of one is not a further one."""
    fast = source.sandbox.tablespaces / "fast"
    clone = source.clone_path()
    bound = source.workspace.path / "bound"
    bound.mkdir()
    subprocess.run(("mount", "--bind", str(disk.path), str(bound)), check=True)
    try:
        mapped = ("--into", str(clone), "--tablespace", f"{fast}={bound}/fast")
        plan = plan_of(source, *mapped)
    finally:
        subprocess.run(("umount", str(bound)), check=True)
    needs = {item["filesystem"]: item for item in plan["space"]}
    there = needs.pop(str(bound))
    assert 12 * MIB < there["needed_bytes"] < 40 * MIB, "the tablespace, and what stays free"
    assert there["paths"] == [f"{bound}/fast"]
    (here,) = needs.values()
    assert here["needed_bytes"] > 60 * MIB, "the data, and the WAL to replay"


def test_wal_is_counted_where_it_is_kept(
    workspace: Workspace, any_binaries: ServerBinaries
) -> None:
    """`pg_wal` may be a link to a file system of its own, and a small one."""
    with small_disk(workspace, 160 * MIB) as disk:
        source = make_source(workspace, any_binaries, "main")
        source.sandbox.stop()
        wal, linked = source.sandbox.data / "pg_wal", disk.path / "wal"
        subprocess.run(("cp", "-a", str(wal), str(linked)), check=True)
        subprocess.run(("rm", "-r", str(wal)), check=True)
        wal.symlink_to(linked)
        source.sandbox.start()
        plan = plan_of(source)
        (there,) = [item for item in plan["space"] if item["filesystem"] == str(disk.path)]
        # All that there is to replay: less than two rounds of max_wal_size.
        assert 30 * MIB < there["needed_bytes"] < 150 * MIB
        with (disk.path / "filler").open("wb") as file:
            os.posix_fallocate(file.fileno(), 0, disk.free - 20 * MIB)
        refused(workspace.run("restore", "--yes", "--json"), 3, f"{disk.path} needs", "too little")
