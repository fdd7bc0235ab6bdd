"""Tar backups that somebody has tampered with: refused with a reason, nothing written elsewhere."""

from __future__ import annotations

import gzip
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.catalog import tar_look, tar_stream
from pgrescue.errors import StepFailed
from tests.support.hostile_backup import (
    KINDS,
    TABLE,
    Kind,
    Member,
    Scene,
    Where,
    base_content,
    listed_files,
    members_of,
    regular,
    scene,
    write_manifest,
    write_tar,
)

pytestmark = pytest.mark.faults

CASES = [(name, where) for name, kind in KINDS.items() for where in kind.places]


@pytest.fixture
def place() -> Iterator[Scene]:
    with scene() as made:
        yield made


def test_honest_one_is_taken(place: Scene) -> None:
    """The oracle of all tests below: without the extra member everything is fine."""
    place.make_tar()
    codes = {problem.code for problem in place.look().problems}
    assert codes == {"control_damaged"}, "no server has made its pg_control"
    assert {problem.code for problem in place.verify().problems} <= {"damaged", "wal"}
    with place.nothing_outside_changes():
        place.extract()
    assert (place.data / TABLE).read_bytes() == b"t" * 8192
    assert not (place.data / "global/pg_control").exists(), "it cannot be started yet"


@pytest.mark.parametrize(("name", "where"), CASES)
def test_hostile_member(place: Scene, name: str, where: Where) -> None:
    """By the catalog, hence in the plan; by the verification; and still when it is written."""
    kind = KINDS[name]
    place.make_tar(where, kind.members(where, place.outside))
    with place.nothing_outside_changes():
        assert_the_catalog_refuses(place, kind)
        assert_the_verification_reports(place, kind)
        with pytest.raises(StepFailed) as refused:
            place.extract()
    assert kind.reason in f"{refused.value.title} {refused.value.cause}"
    assert place.written_bytes() < 100_000
    assert not (place.data / "global/pg_control").exists()


def assert_the_catalog_refuses(place: Scene, kind: Kind) -> None:
    for whole in (False, True):
        backup = place.look(whole=whole)
        assert not backup.usable
        told = [problem.message for problem in backup.problems if kind.reason in problem.message]
        assert len(told) == 1, backup.problems
        assert told[0].isprintable()


def assert_the_verification_reports(place: Scene, kind: Kind) -> None:
    verification = place.verify()
    assert not verification.ok
    told = [one.message for one in verification.problems if kind.reason in one.message]
    assert told, verification
    assert all(message.isprintable() for message in told)


@pytest.mark.parametrize("name", ["base/1", f"{TABLE}/1"])
def test_file_where_a_directory_is(place: Scene, name: str) -> None:
    """Told beforehand, also where no manifest says what there should be."""
    place.make_tar("base", [regular(name, b"")], manifest=False)
    problems = [problem.message for problem in place.look().problems]
    assert any("in there" in message for message in problems), problems
    with pytest.raises(StepFailed), place.nothing_outside_changes():
        place.extract()


def test_directory_as_a_file_is_no_whole_backup(place: Scene) -> None:
    place.make_tar("base", [regular("base/1", b"")], manifest=False)
    told = [one.message for one in place.verify().problems if one.path == "base/1"]
    assert told == ["base/1 is there twice, once as a directory."]


@pytest.mark.parametrize("where", ["base", "tablespace"])
@pytest.mark.parametrize("change", [-512, 1, 512])
def test_size_that_the_manifest_does_not_say(place: Scene, where: Where, change: int) -> None:
    """Refused before a byte of that file is written."""
    place.make_tar()
    files = listed_files()
    name = next(one for one in files if one.startswith("base/" if where == "base" else "pg_tblspc"))
    files[name] = b"x" * (8192 - change)
    write_manifest(place.backup / "backup_manifest", files)
    backup = place.look()
    assert not backup.usable
    assert any("8192 bytes" in problem.message for problem in backup.problems)
    assert [one.code for one in place.verify().problems if one.path == name] == ["size"]
    with pytest.raises(StepFailed, match="8192 bytes"):
        place.extract()
    assert list(place.root.rglob(Path(name).name)) == []


def test_more_than_when_the_plan_was_made(place: Scene) -> None:
    """Without a manifest the plan knows how much there was."""
    place.make_tar(manifest=False)
    planned = place.look(whole=True).restore_bytes
    assert planned is not None
    write_tar(
        place.backup / "base.tar", [*members_of(base_content()), regular("base/1/9", b"x" * 20000)]
    )
    with pytest.raises(StepFailed, match="bytes"):
        place.extract(planned=planned)
    assert not (place.data / "base/1/9").exists()


def test_no_wal_among_the_wal_is_left_out(place: Scene) -> None:
    place.make_tar("wal", [regular("fetch-wal", b"#!/bin/sh\ntouch pwned\n")])
    with place.nothing_outside_changes():
        place.extract()
    staging = place.data.with_name("main.pgrescue-test-wal")
    assert not (staging / "backup" / "fetch-wal").exists()
    assert "pwned" not in (staging / "fetch-wal").read_text()


def test_wal_larger_than_a_segment(place: Scene) -> None:
    name = "000000010000000000000004"
    place.make_tar("wal", [regular(name, bytes((1 << 20) + 512))])
    with pytest.raises(StepFailed, match="bytes"):
        place.extract()


def test_what_pgrescue_set_aside_is_not_written_to(place: Scene) -> None:
    """In a mount point, the old data is in a directory that a backup may name, too."""
    hidden = regular(".pgrescue/pgrescue-test/old/recovery.signal", b"")
    place.make_tar("base", [hidden], manifest=False)
    place.extract()
    assert not (place.data / ".pgrescue").exists()


def bomb(path: Path, members: list[Member], name: str, unpacked: int) -> None:
    """A gzip file of some megabytes whose last member unpacks to very much more."""
    piece = 64 << 20
    zeros = gzip.compress(bytes(piece), 9)
    head = b"".join(one.header + one.data + bytes(-len(one.data) % 512) for one in members)
    with path.open("wb") as file:
        file.write(gzip.compress(head + regular(name, b"", unpacked).header, 1))
        for _ in range(unpacked // piece):
            file.write(zeros)
        file.write(gzip.compress(bytes(1024), 1))


@pytest.mark.parametrize("listed", [True, False], ids=["manifest", "no manifest"])
def test_gzip_bomb(place: Scene, monkeypatch: pytest.MonkeyPatch, listed: bool) -> None:
    """64 GiB out of 64 MB: neither listing nor verifying nor restoring it reads them all."""
    if not listed:
        # What a manifest does not tell, the usual limits do: smaller here, to be quick.
        monkeypatch.setattr(tar_stream, "USUAL_BYTES", 256 << 20)
        monkeypatch.setattr(tar_stream, "USUAL_RATIO", 2)
    monkeypatch.setattr(tar_look, "UNASKED_BYTES", 256 << 20)
    place.make_tar(ending=".gz", manifest=listed)
    bomb(place.backup / "base.tar.gz", members_of(base_content()), "base/1/9", 64 << 30)
    began = time.monotonic()
    with place.nothing_outside_changes():
        assert not place.look(whole=True).usable
        assert not place.verify().ok
        with pytest.raises(StepFailed):
            place.extract(planned=1 << 20)
    assert place.written_bytes() < 1 << 20
    assert time.monotonic() - began < 60


def test_listing_a_bomb_is_quick(place: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tar_look, "UNASKED_BYTES", 256 << 20)
    monkeypatch.setattr(tar_look, "UNASKED_RATIO", 1)
    place.make_tar(ending=".gz", manifest=False)
    bomb(place.backup / "base.tar.gz", members_of(base_content()), "base/1/9", 64 << 30)
    began = time.monotonic()
    backup = place.look()
    assert backup.details is not None
    assert not backup.details.read_whole, "reading all of it was not asked for"
    assert time.monotonic() - began < 30
