"""A running cluster, and a hostile backup of it: refused before anything is stopped or moved."""

from __future__ import annotations

import os
import pwd
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.demo.binaries import ServerBinaries
from tests.support.cluster import Workspace
from tests.support.command import document, finished
from tests.support.damage import change_file, copied
from tests.support.files import differences, file_tree
from tests.support.hostile_backup import KINDS, Member, Where, regular
from tests.support.refused import refused, unchanged
from tests.support.source import Source

pytestmark = [pytest.mark.faults, pytest.mark.server]

ROOTS_HOME = pwd.getpwuid(0).pw_dir
EVERY_DAY = [("link out", "base"), ("parent", "tablespace"), ("twice", "wal")]
CASES = [
    pytest.param(name, where, marks=() if (name, where) in EVERY_DAY else pytest.mark.slow)
    for name, kind in KINDS.items()
    for where in kind.places
]


@pytest.fixture(scope="module")
def source(any_binaries: ServerBinaries) -> Iterator[Source]:
    """A cluster with a tablespace and an honest backup, `kept` out of the way."""
    workspace = Workspace.make()
    try:
        idle = {"autovacuum": "off", "checkpoint_timeout": "1h"}
        source = Source.make(workspace, any_binaries, settings=idle)
        source.sandbox.create_tablespace("fast")
        source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
        source.backup("nightly", "-Ft", "-Xs")
        source.sandbox.switch_wal()
        source.sandbox.sql("checkpoint")
        (workspace.path / "kept").mkdir()
        (source.sandbox.backups / "nightly").rename(workspace.path / "kept" / "nightly")
        yield source
    finally:
        workspace.destroy()


@pytest.fixture
def backup(source: Source) -> Iterator[Path]:
    """The only backup that pgrescue knows, to be spoilt."""
    path = copied(source.workspace.path / "kept" / "nightly", source.sandbox.backups / "nightly")
    yield path
    shutil.rmtree(path)


@pytest.fixture
def outside(source: Source) -> Iterator[Path]:
    """Somebody else's directory, which stays as it is."""
    path = source.workspace.path / "out"
    path.mkdir()
    (path / "precious").write_text("not ours")
    before = file_tree(path)
    yield path
    assert differences(before, file_tree(path)) == []
    shutil.rmtree(path)


def archive(backup: Path, where: Where) -> Path:
    """One of the backup's archives."""
    names = {"base": "base.tar", "wal": "pg_wal.tar", "tablespace": "[0-9]*.tar"}
    (found,) = backup.glob(names[where])
    return found


def append(path: Path, members: list[Member]) -> None:
    """Put members behind the last one of an archive."""
    with tarfile.open(path) as tar:
        last = tar.getmembers()[-1]
    data = path.read_bytes()[: last.offset_data + -(-last.size // 512) * 512]
    blocks = [one.header + one.data + bytes(-len(one.data) % 512) for one in members]
    path.write_bytes(data + b"".join(blocks) + bytes(1024))


def known_member(path: Path) -> list[Member]:
    """The first file of an archive, once more."""
    data, at = path.read_bytes(), 0
    while data[at + 156 : at + 157] != b"0":
        at += 512
    size = int(data[at + 124 : at + 135], 8)
    return [Member(data[at : at + 512], data[at + 512 : at + 512 + size])]


@pytest.mark.parametrize(("name", "where"), CASES)
def test_hostile_member(
    source: Source, backup: Path, outside: Path, name: str, where: Where
) -> None:
    kind, path = KINDS[name], archive(backup, where)
    members = kind.members(where, outside)
    if kind.reason == "twice":
        members = known_member(path)
        if name == "file and directory":
            header = bytearray(members[0].header)
            header[156:157], header[124:135] = b"5", b"0" * 11
            header[148:156] = b" " * 8
            header[148:156] = b"%06o\0 " % sum(header)
            members = [Member(bytes(header))]
    append(path, members)
    with unchanged(source.sandbox):
        refused(source.restore(check=False), 3, kind.reason)
    assert source.place.rows() == source.log.expected("latest")


@pytest.mark.parametrize("place", [f"{ROOTS_HOME}/keys", "relative/place", "/srv/../etc/pwned.d"])
def test_tablespace_map_that_leads_astray(source: Source, backup: Path, place: str) -> None:
    """Its directory would be made, by root, and given to the server's account."""
    (backup / "backup_manifest").unlink()
    change_file(backup, "tablespace_map", lambda text: text.split(b" ")[0] + f" {place}\n".encode())
    with unchanged(source.sandbox):
        refused(source.restore(check=False), 3, place)
    assert not os.path.lexists(place)


def test_archive_that_no_map_names(source: Source, backup: Path) -> None:
    shutil.copy(archive(backup, "tablespace"), backup / "99999.tar")
    with unchanged(source.sandbox):
        refused(source.restore("--backup", only_id(source), check=False), 3, "99999.tar")


def only_id(source: Source) -> str:
    """The id of the one backup that is listed."""
    (listed,) = document(source.workspace.run("catalog", "--json", check=True))["backups"]
    return str(listed["id"])


def test_archive_exchanged_after_the_plan_was_made(
    source: Source, backup: Path, outside: Path
) -> None:
    """Seen at the latest when it is unpacked, and then undone."""
    plan = source.workspace.path / "plan.json"
    plan.write_text(source.workspace.run("plan", "--json", check=True).stdout)
    append(archive(backup, "tablespace"), KINDS["link out"].members("tablespace", outside))
    completed = source.restore("--plan", str(plan), check=False)
    assert completed.returncode in (3, 4), completed.stderr
    if completed.returncode == 4:
        assert "a symbolic link to" in finished(completed)["error"]["cause"]
        assert not (source.sandbox.data / "global" / "pg_control").exists()
        source.workspace.run("undo", "--yes", check=True)
        source.workspace.run("discard", "--yes", check=True)
    assert source.place.rows() == source.log.expected("latest")


def test_honest_one_after_all_that(source: Source, backup: Path) -> None:
    """What was refused has left nothing behind that would be in the way."""
    append(archive(backup, "wal"), [regular("README", b"no WAL, and left out")])
    last = finished(source.restore("--action", "promote", "--to", "immediate"))
    assert last["state"] == "succeeded"
    assert source.place.sql("select n from elsewhere") == ["1"]
