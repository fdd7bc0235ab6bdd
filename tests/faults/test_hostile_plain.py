"""Plain backups that somebody has tampered with: no link is followed, no FIFO waited for."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.entries import plain_entries
from pgrescue.catalog.relation_names import read_names
from pgrescue.errors import PgRescueError, StepFailed
from tests.support.hostile_backup import (
    OID,
    SEGMENT,
    TABLE,
    TABLESPACE_TABLE,
    VERSION,
    Scene,
    scene,
)

pytestmark = pytest.mark.faults

SECRET = "root:$6$secret:19000:0:99999:7:::\n"


@pytest.fixture
def place() -> Iterator[Scene]:
    with scene() as made:
        (made.outside / "shadow").write_text(SECRET)
        yield made


def replaced(path: Path) -> Path:
    """The same path, with nothing there."""
    path.unlink(missing_ok=True)
    return path


def a_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(path))


ODD: dict[str, tuple[Callable[[Path, Path], object], str]] = {
    "link": (lambda at, out: at.symlink_to(out / "shadow"), "a symbolic link to"),
    "link to a directory": (lambda at, out: at.symlink_to(out), "a symbolic link to"),
    "dangling link": (lambda at, _: at.symlink_to("nowhere"), "a symbolic link to"),
    "fifo": (lambda at, _: os.mkfifo(at), "a FIFO"),
    "socket": (lambda at, _: a_socket(at), "a socket"),
    "device": (lambda at, _: os.mknod(at, 0o20666, os.makedev(1, 5)), "a device"),
}


def spoil(place: Scene, name: str, target: Path) -> str:
    """Put something odd in the place of a file; returns what it is called."""
    make, reason = ODD[name]
    if name == "device" and os.geteuid() != 0:
        pytest.skip("only root makes devices")
    make(replaced(target), place.outside)
    return reason


def assert_no_secret(place: Scene) -> None:
    """Nothing of somebody else's files came along."""
    for root in (place.data.parent, place.tablespace):
        for path in root.rglob("*"):
            assert (
                path.is_symlink() or not path.is_file() or SECRET not in path.read_text("latin-1")
            )


def test_honest_one_is_taken(place: Scene) -> None:
    place.make_plain()
    assert {problem.code for problem in place.look().problems} == {"control_damaged"}
    assert {problem.code for problem in place.verify().problems} <= {"damaged", "wal"}
    place.extract()
    assert (place.data / TABLE).read_bytes() == b"t" * 8192
    assert (place.tablespace / TABLESPACE_TABLE).read_bytes() == b"e" * 8192
    assert (place.data / "pg_tblspc" / str(OID)).resolve() == place.tablespace


@pytest.mark.parametrize("where", ["data", "tablespace"])
@pytest.mark.parametrize("name", ODD)
def test_what_is_no_file(place: Scene, name: str, where: str) -> None:
    """A server sends none: refused by the catalog, reported, never opened, never written."""
    copy = place.make_plain()
    target = place.backup / TABLE if where == "data" else copy / TABLESPACE_TABLE
    reason = spoil(place, name, target)
    began = time.monotonic()
    with place.nothing_outside_changes():
        backup = place.look()
        assert [p.code for p in backup.problems if reason in p.message] == ["unsafe"]
        assert not backup.usable
        assert [p.code for p in place.verify().problems if reason in p.message] == ["unsafe"]
        with pytest.raises(StepFailed, match=reason):
            place.extract()
    assert_no_secret(place)
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("name", ODD)
def test_a_copy_made_by_hand_is_restored_without_it(place: Scene, name: str) -> None:
    """Without a manifest it may be honest: Debian's data directories had links to certificates."""
    place.make_plain(manifest=False)
    reason = spoil(place, name, place.backup / "server.key")
    (problem,) = [p for p in place.look().problems if reason in p.message]
    assert not problem.fatal
    assert any(reason in p.message for p in place.verify().problems)
    place.extract()
    assert (place.data / TABLE).exists()
    assert not os.path.lexists(place.data / "server.key")


def test_only_wal_is_taken_from_where_pg_wal_leads(place: Scene) -> None:
    """`pg_basebackup --waldir` makes such a link, and anybody can."""
    place.make_plain()
    (place.outside / SEGMENT).write_bytes(b"w" * 8192)
    (place.outside / "00000002.history").symlink_to(place.outside / "shadow")
    os.mkfifo(place.outside / "000000010000000000000004")
    (place.outside / "archive_status").mkdir()
    (place.backup / "pg_wal" / SEGMENT).unlink()
    (place.backup / "pg_wal" / "archive_status").rmdir()
    (place.backup / "pg_wal").rmdir()
    (place.backup / "pg_wal").symlink_to(place.outside)
    backup = place.look()
    assert backup.details is not None
    assert backup.details.wal_segments == (SEGMENT,)
    read = {entry.name for entry in plain_entries(place.backup)}
    assert {name for name in read if "shadow" in name or "archive_status" in name} == set()
    for odd in ("000000010000000000000004", "00000002.history"):
        with place.nothing_outside_changes(), pytest.raises(StepFailed, match=odd):
            place.extract()
        assert_no_secret(place)
        (place.outside / odd).unlink()
        place = place.again()
    place.extract()
    staged = place.data.with_name("main.pgrescue-test-wal") / "backup"
    assert [path.name for path in staged.iterdir()] == [SEGMENT]
    assert not (place.data / "pg_wal").is_symlink()
    assert_no_secret(place)


def test_link_to_everything_is_looked_at_quickly(place: Scene) -> None:
    """`pg_wal` and a tablespace lead to the root directory: neither is walked."""
    place.make_plain()
    for link in (place.backup / "pg_tblspc" / str(OID), place.backup / "pg_wal" / "away"):
        link.unlink(missing_ok=True)
        link.symlink_to("/")
    began = time.monotonic()
    backup = place.look()
    assert time.monotonic() - began < 5
    assert not backup.usable


def test_only_the_version_directory_of_a_tablespace_is_taken(place: Scene) -> None:
    copy = place.make_plain()
    (copy / "authorized_keys").write_text("pwned")
    (copy / "PG_15_pwned").mkdir()
    (copy / "PG_15_pwned" / "x").write_text("pwned")
    place.extract()
    assert [path.name for path in place.tablespace.iterdir()] == [VERSION]


@pytest.mark.parametrize("name", ["postgresql.auto.conf", "postgresql.conf", "backup_label"])
def test_configuration_is_not_read_through_a_link(place: Scene, name: str) -> None:
    """A plan shows it: nobody learns by that what only root can read."""
    place.make_plain(manifest=False)
    replaced(place.backup / name).symlink_to(place.outside / "shadow")
    assert SECRET.strip() not in repr(place.look())


def test_names_are_not_waited_for(place: Scene) -> None:
    place.make_plain()
    os.mkfifo(replaced(place.backup / "global" / "pg_filenode.map"))
    with pytest.raises(PgRescueError):
        read_names(read_backup(place.backup))


def test_file_that_grows_while_it_is_read(place: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not what was looked at, and there is no telling where it ends."""
    place.make_plain()
    monkeypatch.setattr("pgrescue.catalog.entries._file_chunks", lambda *_: [b"x" * 8192] * 1000)
    with pytest.raises(StepFailed, match="more than"):
        place.extract()
    assert place.written_bytes() < 200_000
