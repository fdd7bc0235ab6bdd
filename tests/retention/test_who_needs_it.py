"""What else needs a backup, its tablespaces or its WAL: other clusters, runs and servers."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.processes import stop_servers_below
from pgrescue.survey.served import server_within
from tests.retention.by_plan import killed, planned
from tests.retention.test_prune import (
    everything,
    listed,
    prune,
    segment_of,
)
from tests.support.cluster import cluster_config
from tests.support.command import document, events, finished
from tests.support.files import differences
from tests.support.places import Place, free_port
from tests.support.refused import refused
from tests.support.runs import held, wait_for_end, wait_for_step
from tests.support.source import Source

pytestmark = pytest.mark.server


def advice(source: Source, *options: str) -> dict[str, Any]:
    """What could go."""
    said = source.workspace.run("retention", *options, "--json", check=True)
    found: dict[str, Any] = document(said)
    return found


def own_directory(source: Source, name: str) -> Path:
    """A directory into which the server's account can put backups."""
    path = source.workspace.path / name
    path.mkdir()
    os.chown(path, source.sandbox.account.uid, source.sandbox.account.gid)
    return path


@pytest.mark.slow
def test_what_verify_found_damaged_is_not_counted_on(source: Source) -> None:
    third = source.sandbox.backups / "third" / "base.tar.gz"
    before, times = third.read_bytes(), third.stat()
    third.write_bytes(before[:200_000] + bytes(512) + before[200_512:])
    os.utime(third, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert listed(source)["third"]["usable"], "nothing shows by names, sizes and times"
    assert source.workspace.run("verify", source.id_of("third")).returncode != 0
    found = listed(source)["third"]
    assert (found["usable"], found["verified_at"]) == (False, None)
    assert found["problems"][0]["code"] == "damaged"
    source.workspace.run("verify", source.id_of("second"), check=True)
    prune(source, "--keep-count", "1", "--delete")
    assert set(listed(source)) == {"second", "third"}
    third.write_bytes(before)
    os.utime(third, ns=(times.st_atime_ns, times.st_mtime_ns))
    source.workspace.run("verify", source.id_of("third"), check=True)
    assert listed(source)["third"]["usable"], "the later verdict counts"


@pytest.mark.slow
def test_wal_of_backups_elsewhere_stays(source: Source) -> None:
    """Another cluster of the configuration shares the archive."""
    needed = segment_of(source, "first")
    theirs = source.workspace.path / "nightly"
    theirs.mkdir()
    shutil.move(source.sandbox.backups / "first", theirs / "first")
    own = cluster_config(source.sandbox)
    shared = replace(cluster_config(source.sandbox, "nightly"), backups=(theirs,))
    source.workspace.configure(own, shared)
    said = source.workspace.run(
        "--cluster", "main", "retention", "--keep-count", "1", "--json", check=True
    )
    assert [cut["below"] for cut in document(said)["wal"]["cuts"]] == [needed]
    source.workspace.configure(own)
    assert needed < advice(source, "--keep-count", "1")["wal"]["cuts"][0]["below"]


@pytest.mark.slow
def test_wal_of_a_backup_in_a_place_of_its_own_stays(source: Source) -> None:
    elsewhere = own_directory(source, "elsewhere")
    options = ("--destination", str(elsewhere), "--checkpoint", "fast", "--no-verify", "--yes")
    last = finished(source.workspace.run("backup", *options, "--json", check=True))
    taken = Path(str(last["path"])) if "path" in last else next(elsewhere.iterdir())
    source.sandbox.switch_wal()
    source.backup("last", "-Ft", "-z")
    source.workspace.run("verify", listed(source)["last"]["id"], check=True)
    needed = advice(source, "--keep-count", "1")["wal"]["cuts"][0]["below"]
    shutil.move(taken, source.workspace.path / "gone")
    assert needed < advice(source, "--keep-count", "1")["wal"]["cuts"][0]["below"]


@pytest.mark.slow
def test_while_a_backup_is_taken_no_wal_goes(source: Source) -> None:
    options = ("--max-rate", "1M", "--wal-method", "none", "--checkpoint", "fast", "--yes")
    said = source.workspace.run("backup", *options, "--json", "--detach", check=True)
    run = events(said)[-1]["run"]
    wait_for_step(source.workspace, run, "take")
    with held(source.workspace, run):
        wal = advice(source, "--keep-count", "1")["wal"]
        assert wal["files"] == 0
        assert run in wal["blocked"]
        names = {path.name for path in source.sandbox.wal.iterdir()}
        prune(source, "--keep-count", "1", "--delete")
        assert names <= {path.name for path in source.sandbox.wal.iterdir()}
    source.workspace.run("abort", run, "--yes", check=True)
    assert wait_for_end(source.workspace, run)["state"] in ("aborted", "succeeded")
    assert advice(source, "--keep-count", "1")["wal"]["files"] > 0
    hidden_one = source.sandbox.backups / ".other.partial"
    hidden_one.mkdir()
    assert str(hidden_one) in advice(source, "--keep-count", "1")["wal"]["blocked"]


@pytest.mark.slow
def test_every_copy_of_a_segment_goes_and_comes_back(source: Source) -> None:
    segments = sorted(p for p in source.sandbox.wal.iterdir() if len(p.name) == 24)
    subprocess.run(("gzip", "-k", str(segments[0])), check=True)
    before = everything(source)
    run = finished(prune(source, "--keep-count", "1"))["run"]
    assert not [p for p in source.sandbox.wal.iterdir() if p.name.startswith(segments[0].name)]
    source.workspace.run("undo", str(run), "--yes", check=True)
    assert differences(before, everything(source)) == []


@pytest.mark.slow
def test_a_backup_with_anothers_tablespace_inside_stays(source: Source) -> None:
    where = source.sandbox.create_tablespace("fast")
    inner = source.sandbox.backups / "first" / "space"
    source.backup("plain", "-Fp", f"-T{where}={inner}")
    said = refused(prune(source, source.id_of("first"), check=False), 3, "lies inside it")
    assert f"a tablespace of {source.id_of('plain')}" in said["title"]


@pytest.mark.slow
def test_a_servers_tablespace_is_found_wherever_it_lies(source: Source) -> None:
    where = source.sandbox.create_tablespace("fast")
    assert server_within((str(where.parent),)) == str(source.sandbox.data)
    assert server_within((str(source.sandbox.backups),)) is None


@pytest.mark.slow
def test_a_clone_that_runs_on_a_backups_tablespaces_keeps_them(source: Source) -> None:
    """Copied with `cp -a`, it has the backup's links."""
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    beside = source.sandbox.backups / "plain.tablespaces"
    source.backup("plain", "-Fp", f"-T{where}={beside / 'fast'}")
    source.backup("last", "-Ft", "-z")
    name = source.id_of("plain")
    run = killed(source, planned(source, name), 0, "before")
    source.workspace.path.chmod(0o1777)
    clone = Place(source.workspace.path / "clone", source.sandbox)
    subprocess.run(("cp", "-a", str(source.sandbox.backups / "plain"), clone.data), check=True)
    listen = (f"port={free_port()}", f"unix_socket_directories={source.workspace.path}")
    clone.start(*listen, "archive_mode=off")
    refused(prune(source, name, check=False), 3, "in use by the server", str(clone.data))
    refused(source.workspace.run("resume", run, "--yes", "--json"), 4, "server uses")
    assert beside.exists()
    stop_servers_below(clone.data)
    source.workspace.run("undo", run, "--yes", check=True)
    prune(source, name)
    assert not beside.exists()


@pytest.mark.slow
def test_after_a_recovery_to_an_earlier_point_what_leads_to_the_cluster_stays(
    source: Source,
) -> None:
    """`second` and `third` are newer, and of the line that was abandoned."""
    source.restore("--backup", source.id_of("first"), "--to", "immediate", "--action", "promote")
    source.log.mark("on timeline 2")
    source.sandbox.switch_wal()
    expected = source.place.sql("select count(*) from epochs")
    prune(source, "--keep-count", "2", "--delete")
    assert set(listed(source)) == {"first", "second", "third"}
    refused(prune(source, source.id_of("first"), check=False), 3, "timeline 2")
    with source.clone("--backup", source.id_of("first")) as clone:
        assert clone.sql("select count(*) from epochs") == expected
