"""The cache saves time and never tells what is no longer so."""

from __future__ import annotations

import json
import os
import shutil
import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgrescue.catalog.cache import CatalogCache, without_verdict
from pgrescue.catalog.discover import list_backups
from tests.catalog.conftest import VARIANTS, Copy, Source

pytestmark = pytest.mark.server

WHEN = datetime(2026, 11, 22, 20, 0, tzinfo=UTC)


def _blind(path: Path) -> None:
    """Spoil what is inside without changing size or time: only a cache can still know it."""
    before = path.stat()
    path.write_bytes(bytes(before.st_size))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.slow
def test_a_second_listing_is_the_same(source: Source, tmp_path: Path) -> None:
    place = tmp_path / "state" / "catalog.json"
    root = [source.sandbox.backups]
    first = list_backups(root, CatalogCache(place), source.archive)
    second = list_backups(root, CatalogCache(place), source.archive)
    assert first == second == list_backups(root, None, source.archive)
    assert len(second) == len(source.backups)
    assert json.loads(place.read_text())["schema"] == 1
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700, "plans are kept there, too"


@pytest.mark.parametrize("name", ["tar-gzip-client", "plain"])
def test_unchanged_files_are_not_read_again(copy_of: Copy, tmp_path: Path, name: str) -> None:
    copy, place = copy_of(name), tmp_path / "catalog.json"
    first = list_backups([copy], CatalogCache(place))
    _blind(copy / ("base.tar.gz" if name.startswith("tar") else "global/pg_control"))
    assert list_backups([copy], CatalogCache(place)) == first
    assert not list_backups([copy], None)[0].usable


@pytest.mark.parametrize("name", VARIANTS)
def test_a_change_is_noticed(copy_of: Copy, source: Source, tmp_path: Path, name: str) -> None:
    copy, place = copy_of(name), tmp_path / "catalog.json"
    archive = source.archive
    assert list_backups([copy], CatalogCache(place), archive)[0].usable
    damaged = next(copy.glob("base.tar*"), copy / "global" / "pg_control")
    os.truncate(damaged, damaged.stat().st_size // 100)
    assert not list_backups([copy], CatalogCache(place), archive)[0].usable


def test_the_window_is_never_cached(source: Source, tmp_path: Path) -> None:
    place = tmp_path / "catalog.json"
    path = source.backups["tar-no-wal"]
    assert not list_backups([path], CatalogCache(place), None)[0].usable
    with_archive = list_backups([path], CatalogCache(place), source.archive)[0]
    assert with_archive.usable
    assert with_archive.window is not None
    assert list_backups([path], CatalogCache(place), None)[0].window is None


def test_a_whole_reading_replaces_a_quick_one(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where only reading on can tell that its WAL is inside, that is done once."""
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    copy, place = tmp_path / "copy", tmp_path / "catalog.json"
    shutil.copytree(source.backups["tar-fetch"], copy)
    (copy / "backup_manifest").unlink()
    for archive, expected in ((source.archive, False), (None, True), (source.archive, True)):
        (backup,) = list_backups([copy], CatalogCache(place), archive)
        assert backup.usable
        assert backup.details is not None
        assert backup.details.read_whole == expected


@pytest.mark.parametrize("seen_before", [True, False])
def test_verification_is_remembered_until_the_backup_changes(
    copy_of: Copy, tmp_path: Path, seen_before: bool
) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    if seen_before:
        list_backups([copy], CatalogCache(place))
    CatalogCache(place).set_verified(copy, WHEN)
    assert list_backups([copy], CatalogCache(place))[0].verified_at == WHEN
    assert list_backups([copy], CatalogCache(place))[0].verified_at == WHEN
    (copy / "backup_manifest").touch()
    assert list_backups([copy], CatalogCache(place))[0].verified_at is None


def test_damage_is_remembered_until_the_backup_changes_or_is_found_right(
    copy_of: Copy, tmp_path: Path
) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    later, latest = WHEN.replace(hour=21), WHEN.replace(hour=22)
    list_backups([copy], CatalogCache(place))
    CatalogCache(place).set_verified(copy, WHEN)
    CatalogCache(place).set_damaged(copy, later, "base/1/1259 is not the file that it lists.")
    for _ in range(2):
        (found,) = list_backups([copy], CatalogCache(place))
        assert (found.usable, found.verified_at) == (False, None)
        assert [problem.code for problem in found.problems] == ["damaged"]
        assert "base/1/1259" in found.problems[0].message
    assert without_verdict(found).usable
    CatalogCache(place).set_verified(copy, latest)
    assert list_backups([copy], CatalogCache(place))[0].verified_at == latest
    CatalogCache(place).set_damaged(copy, latest.replace(hour=23), "x")
    (copy / "backup_manifest").touch()
    assert list_backups([copy], CatalogCache(place))[0].usable


@pytest.mark.parametrize("first_is_right", [True, False])
def test_of_two_verdicts_at_once_the_later_counts(
    copy_of: Copy, tmp_path: Path, first_is_right: bool
) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    mine, later = CatalogCache(place), WHEN.replace(hour=21)
    CatalogCache(place).set_verified(copy, WHEN if first_is_right else later)
    mine.set_damaged(copy, later if first_is_right else WHEN, "x")
    assert list_backups([copy], CatalogCache(place))[0].usable is not first_is_right


def test_two_processes_do_not_forget_each_others_findings(
    copy_of: Copy, source: Source, tmp_path: Path
) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    mine = CatalogCache(place)
    CatalogCache(place).set_verified(copy, WHEN)
    list_backups([source.backups["plain"], copy], mine)
    assert list_backups([copy], CatalogCache(place))[0].verified_at == WHEN


@pytest.mark.parametrize(
    "garbage",
    [b"", b"{", b"[1, 2]", b'{"schema": 1, "format": 1, "entries": {"/x": 3}}', b"\xff\x00"],
)
def test_garbage_is_an_empty_cache(source: Source, tmp_path: Path, garbage: bytes) -> None:
    place = tmp_path / "catalog.json"
    place.write_bytes(garbage)
    assert list_backups([source.backups["plain"]], CatalogCache(place))[0].usable
    assert str(source.backups["plain"]) in json.loads(place.read_text())["entries"]


@pytest.mark.parametrize("change", [{"format": 0}, {"schema": 2}])
def test_another_version_of_the_cache_starts_anew(
    copy_of: Copy, tmp_path: Path, change: dict[str, int]
) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    list_backups([copy], CatalogCache(place))
    place.write_text(json.dumps(json.loads(place.read_text()) | change))
    _blind(copy / "base.tar.gz")
    assert not list_backups([copy], CatalogCache(place))[0].usable


def test_an_entry_of_another_shape_is_read_anew(copy_of: Copy, tmp_path: Path) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    first = list_backups([copy], CatalogCache(place))
    content = json.loads(place.read_text())
    del content["entries"][str(copy)]["backup"]["start_lsn"]
    place.write_text(json.dumps(content))
    assert list_backups([copy], CatalogCache(place)) == first


def test_a_cache_that_cannot_be_written_costs_no_backup(source: Source, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")
    cache = CatalogCache(tmp_path / "file" / "catalog.json")
    assert list_backups([source.backups["plain"]], cache)[0].usable


def test_what_is_gone_is_forgotten(copy_of: Copy, source: Source, tmp_path: Path) -> None:
    copy, place = copy_of("tar-gzip-client"), tmp_path / "catalog.json"
    list_backups([copy], CatalogCache(place))
    copy.rename(copy.parent / "renamed")
    list_backups([source.backups["plain"]], CatalogCache(place))
    assert list(json.loads(place.read_text())["entries"]) == [str(source.backups["plain"])]
