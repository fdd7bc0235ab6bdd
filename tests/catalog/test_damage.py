"""Whatever is wrong with a backup is said, whether it is looked at quickly or wholly."""

from __future__ import annotations

import gzip
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from tests.catalog.conftest import Copy, Source
from tests.support.cluster import Workspace

pytestmark = pytest.mark.server

COMPRESSED = {
    "tar-gzip-client": "base.tar.gz",
    "tar-lz4-client": "base.tar.lz4",
    "tar-zstd-client": "base.tar.zst",
    "tar-zstd-server": "base.tar.zst",
}


def _codes(backup: Backup) -> list[str]:
    return [problem.code for problem in backup.problems]


def _list_beside_good(copy: Path, source: Source) -> Backup:
    """The only damaged backup below the copy's root, with a good one beside it."""
    good = copy.parent / "a-good-one"
    shutil.copytree(source.backups["tar-fetch"], good)
    backups = {backup.path: backup for backup in list_backups([copy.parent], None, source.archive)}
    assert len(backups) == 2
    assert backups[str(good)].usable
    damaged = backups[str(copy)]
    assert not damaged.usable
    assert damaged.window is None
    return damaged


def _cut(path: Path, size: int) -> None:
    os.truncate(path, size if size >= 0 else path.stat().st_size + size)


def _flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0xFF]))


@pytest.mark.parametrize("name", COMPRESSED)
@pytest.mark.parametrize("keep", [0.0, 0.1, 0.5, 0.9, 0.9999, -1, -5, -9])
def test_truncated_compressed_base(copy_of: Copy, source: Source, name: str, keep: float) -> None:
    copy = copy_of(name)
    base = copy / COMPRESSED[name]
    _cut(base, int(keep) if keep < 0 else int(base.stat().st_size * keep))
    assert _codes(_list_beside_good(copy, source)) == ["truncated"]


def test_a_plain_backup_that_is_half_copied(copy_of: Copy, source: Source, tmp_path: Path) -> None:
    """It counts once the rest has arrived, and not any more once something is gone."""
    copy, cache = copy_of("plain"), tmp_path / "catalog.json"
    aside = tmp_path / "base"
    aside.mkdir()
    for arrived in (False, True, False):
        origin, target = (aside, copy / "base") if arrived else (copy / "base", aside)
        for database in list(origin.iterdir()):
            shutil.move(database, target / database.name)
        (found,) = list_backups([copy], CatalogCache(cache), source.archive)
        assert _codes(found) == ([] if arrived else ["not_whole"])
        assert found.usable is arrived


def test_a_file_of_a_plain_backup_that_is_cut_short(
    copy_of: Copy, source: Source, tmp_path: Path
) -> None:
    """While it is being copied it grows, and no directory shows it."""
    copy, cache = copy_of("plain"), tmp_path / "catalog.json"
    file = copy / "global" / "1262"
    whole = file.read_bytes()
    _cut(file, 100)
    (damaged,) = list_backups([copy], CatalogCache(cache), source.archive)
    assert _codes(damaged) == ["not_whole"]
    assert "global/1262 has 100 bytes" in damaged.problems[0].message
    file.write_bytes(whole)
    (found,) = list_backups([copy], CatalogCache(cache), source.archive)
    assert _codes(found) == []


@pytest.mark.parametrize("keep", [0, 100, 1_000, 1_000_000, -1, -512, -1024, -2048])
def test_truncated_plain_tar(copy_of: Copy, source: Source, keep: int) -> None:
    copy = copy_of("tar-none")
    _cut(copy / "base.tar", keep)
    assert _codes(_list_beside_good(copy, source)) == ["truncated"]


@pytest.mark.parametrize("archive", ["pg_wal.tar.gz", "{oid}.tar.gz"])
def test_truncated_other_archives(copy_of: Copy, source: Source, archive: str) -> None:
    copy = copy_of("tar-gzip-client")
    _cut(copy / archive.format(oid=source.tablespace_oid), -20)
    assert _codes(_list_beside_good(copy, source)) == ["truncated"]


@pytest.mark.parametrize("archive", ["base.tar.gz", "pg_wal.tar.gz", "{oid}.tar.gz"])
def test_a_cut_gzip_end_shows_in_a_quick_look(
    copy_of: Copy, source: Source, archive: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    copy = copy_of("tar-gzip-client")
    path = copy / archive.format(oid=source.tablespace_oid)
    data = path.read_bytes()
    # gzip ends with the length of what it holds; one cut in 512 leaves a plausible one.
    cuts = range(len(data) - 1, 0, -1)
    _cut(path, next(cut for cut in cuts if int.from_bytes(data[cut - 4 : cut], "little") % 512))
    assert _codes(_list_beside_good(copy, source)) == ["truncated"]


def test_an_archive_whose_end_was_never_written(copy_of: Copy, source: Source) -> None:
    """Well compressed to the end, but without the members that come last."""
    copy = copy_of("tar-gzip-client")
    data = gzip.decompress((copy / "base.tar.gz").read_bytes())
    (copy / "base.tar.gz").write_bytes(gzip.compress(data[: len(data) // 1024 * 512], 1))
    assert _codes(_list_beside_good(copy, source)) == ["truncated"]


def test_without_its_last_member_it_is_truncated(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-none")
    data = (copy / "base.tar").read_bytes()
    control = data.rindex(b"global/pg_control\0")
    (copy / "base.tar").write_bytes(data[:control] + bytes(1024))
    backup = _list_beside_good(copy, source)
    assert _codes(backup) == ["truncated"]
    assert "global/pg_control" in backup.problems[0].message


def test_a_flipped_byte_in_the_middle_of_gzip_is_found(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-gzip-client")
    base = copy / "base.tar.gz"
    _flip(base, base.stat().st_size // 2)
    assert _codes(_list_beside_good(copy, source))[0] in ("damaged", "truncated")


def test_random_bytes_in_the_middle_of_gzip_are_found(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-gzip-client")
    with (copy / "base.tar.gz").open("r+b") as file:
        file.seek(file.seek(0, os.SEEK_END) // 2)
        file.write(bytes(range(64)))
    assert _codes(_list_beside_good(copy, source))[0] in ("damaged", "truncated")


def test_a_damaged_member_header_is_found(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-none")
    data = (copy / "base.tar").read_bytes()
    _flip(copy / "base.tar", data.rindex(b"PG_VERSION\0"))
    assert _codes(_list_beside_good(copy, source)) == ["damaged"]


def test_facts_of_a_truncated_backup_are_still_shown(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-gzip-client")
    _cut(copy / "base.tar.gz", (copy / "base.tar.gz").stat().st_size // 2)
    backup = _list_beside_good(copy, source)
    assert backup.label == "tar-gzip-client"
    assert backup.system_identifier == source.system_identifier
    assert backup.started_at is not None


def _unfinished(copy: Path) -> None:
    (copy / "backup_manifest").rename(copy / "backup_manifest.tmp")


def _interrupted(copy: Path) -> None:
    _unfinished(copy)
    _cut(copy / "base.tar.gz", 5000)


def _manifest_edited(copy: Path) -> None:
    path = copy / "backup_manifest"
    path.write_text(path.read_text().replace('"Size": 8192', '"Size": 8193', 1))


def _manifest_cut(copy: Path) -> None:
    _cut(copy / "backup_manifest", 3000)


def _manifest_empty(copy: Path) -> None:
    _cut(copy / "backup_manifest", 0)


def _base_gone(copy: Path) -> None:
    (copy / "base.tar.gz").unlink()


def _base_doubled(copy: Path) -> None:
    (copy / "base.tar").write_bytes(gzip.decompress((copy / "base.tar.gz").read_bytes()))


def _recompressed(copy: Path) -> None:
    (copy / "base.tar.gz").rename(copy / "base.tar.bz2")


def _tablespace_gone(copy: Path) -> None:
    (found,) = copy.glob("[0-9]*.tar.gz")
    found.unlink()


def _foreign_tablespace(copy: Path) -> None:
    (found,) = copy.glob("[0-9]*.tar.gz")
    shutil.copy(found, copy / "99999.tar.gz")


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (_unfinished, "incomplete"),
        (_interrupted, "incomplete"),
        (_manifest_edited, "manifest_damaged"),
        (_manifest_cut, "manifest_damaged"),
        (_manifest_empty, "manifest_damaged"),
        (_base_gone, "base_missing"),
        (_base_doubled, "ambiguous"),
        (_recompressed, "compression_unknown"),
        (_tablespace_gone, "tablespace_missing"),
        (_foreign_tablespace, "tablespace_unmapped"),
    ],
)
def test_damaged_tar_backup(
    copy_of: Copy, source: Source, damage: Callable[[Path], None], code: str
) -> None:
    copy = copy_of("tar-gzip-client")
    damage(copy)
    assert code in _codes(_list_beside_good(copy, source))


def test_the_manifest_of_another_backup(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-gzip-client")
    shutil.copy(source.backups["tar-fetch"] / "backup_manifest", copy)
    assert _codes(_list_beside_good(copy, source)) == ["manifest_mismatch"]


def test_the_wal_of_another_cluster(copy_of: Copy, source: Source, chain: Source) -> None:
    copy = copy_of("tar-none")
    shutil.copy(chain.backups["full"] / "pg_wal.tar", copy)
    assert "wal_foreign" in _codes(_list_beside_good(copy, source))


def test_missing_tablespace_is_named(copy_of: Copy, source: Source) -> None:
    copy = copy_of("tar-gzip-client")
    _tablespace_gone(copy)
    message = _list_beside_good(copy, source).problems[0].message
    assert f"{source.tablespace_oid}.tar" in message
    assert str(source.tablespace) in message


def test_plain_backup_without_its_last_file_is_incomplete(copy_of: Copy, source: Source) -> None:
    copy = copy_of("plain")
    (copy / "global" / "pg_control").unlink()
    assert _codes(_list_beside_good(copy, source)) == ["incomplete"]


def test_plain_backup_whose_tablespace_went_away(copy_of: Copy, source: Source) -> None:
    copy = copy_of("plain")
    link = copy / "pg_tblspc" / str(source.tablespace_oid)
    link.unlink()
    link.symlink_to("/nowhere/at/all")
    assert _codes(_list_beside_good(copy, source)) == ["tablespace_missing"]


def test_torn_control_file(copy_of: Copy, source: Source) -> None:
    copy = copy_of("plain")
    _flip(copy / "global" / "pg_control", 40)
    assert _codes(_list_beside_good(copy, source)) == ["control_damaged"]


def test_a_data_directory_is_no_backup(copy_of: Copy, source: Source) -> None:
    copy = copy_of("plain")
    (copy / "backup_label").unlink()
    backup = _list_beside_good(copy, source)
    assert _codes(backup) == ["no_label"]
    assert backup.id.startswith("unknown-")
    assert read_backup(source.sandbox.data).problems[0].code == "no_label"


def test_an_unsupported_version_is_refused(copy_of: Copy, source: Source) -> None:
    copy = copy_of("plain")
    (copy / "PG_VERSION").write_text("9.6\n")
    assert _codes(_list_beside_good(copy, source)) == ["version_unsupported"]


def test_unreadable_things_are_said_and_hide_nothing(source: Source, workspace: Workspace) -> None:
    """As the server's account, since root can read everything."""
    root = workspace.path / "root"
    for name in ("closed-file", "closed-directory", "good"):
        shutil.copytree(source.backups["tar-gzip-client"], root / name)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    # Modules that are imported late must be there before: the account may not read them.
    assert all(backup.usable for backup in list_backups([root], None))
    (root / "closed-file" / "base.tar.gz").chmod(0)
    (root / "closed-directory").chmod(0)
    with source.sandbox.account.assumed():
        listed = list_backups([root], CatalogCache(workspace.path / "cache.json"))
    found = {Path(backup.path).name: (backup.usable, _codes(backup)) for backup in listed}
    assert found == {
        "closed-file": (False, ["unreadable"]),
        "closed-directory": (False, ["unreadable"]),
        "good": (True, []),
    }
    (root / "closed-directory").chmod(0o755)
