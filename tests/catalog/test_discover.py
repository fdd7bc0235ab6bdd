"""Which directories are searched, in which order backups come, and how one is called."""

from __future__ import annotations

import io
import shutil
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.catalog.discover import MAX_DEPTH, find_backup, list_backups
from pgrescue.catalog.model import Backup
from pgrescue.errors import UsageError
from tests.catalog.conftest import Copy, Source

pytestmark = pytest.mark.server


def _codes(backup: Backup) -> list[str]:
    return [problem.code for problem in backup.problems]


def test_a_whole_root_is_listed_oldest_first(source: Source) -> None:
    listed = list_backups([source.sandbox.backups], None, source.archive)
    assert [Path(backup.path) for backup in listed] == list(source.backups.values())
    assert len({backup.id for backup in listed}) == len(listed)
    assert all(backup.usable for backup in listed)


def test_roots_that_overlap_list_a_backup_once(source: Source) -> None:
    roots = [source.sandbox.backups, source.backups["plain"], source.backups["tar-none"]]
    assert len(list_backups(roots, None)) == len(source.backups)


def test_nested_roots_and_oddities(copy_of: Copy, source: Source, tmp_path: Path) -> None:
    root = tmp_path / "root"
    copy_of("plain").rename(root / "moved")
    (root / "2026" / "11").mkdir(parents=True)
    (root / "moved").rename(root / "2026" / "11" / "monday")
    (root / "notes").mkdir()
    (root / "notes" / "todo.txt").write_text("none")
    (root / "empty").mkdir()
    (root / ".snapshot").mkdir()
    shutil.copytree(source.backups["tar-none"], root / ".snapshot" / "hidden")
    shutil.copytree(source.sandbox.wal, root / "wal")
    (root / "elsewhere").symlink_to(source.sandbox.backups)
    (root / "README").write_text("backups")
    found = {Path(backup.path): _codes(backup) for backup in list_backups([root], None)}
    assert found == {root / "2026" / "11" / "monday": [], root / "notes": ["foreign"]}


def test_the_search_ends_somewhere(copy_of: Copy, tmp_path: Path) -> None:
    copy = copy_of("tar-none")
    deep = tmp_path / "root" / Path(*"abcdefgh"[: MAX_DEPTH - 1])
    deep.mkdir(parents=True)
    copy.rename(deep / "reached")
    assert len(list_backups([tmp_path / "root"], None)) == 1
    (deep / "one-more").mkdir()
    (deep / "reached").rename(deep / "one-more" / "missed")
    assert list_backups([tmp_path / "root"], None) == []


def test_a_missing_root_is_said_and_hides_nothing(source: Source, tmp_path: Path) -> None:
    listed = list_backups([tmp_path / "gone", source.backups["tar-none"]], None)
    assert [backup.usable for backup in listed] == [True, False]
    assert _codes(listed[1]) == ["unreadable"]
    assert str(tmp_path / "gone") in listed[1].problems[0].message


def test_a_path_that_is_not_utf8_hides_nothing(copy_of: Copy, tmp_path: Path) -> None:
    copy_of("tar-none")
    odd = tmp_path / "root" / b"\xff".decode(errors="surrogateescape")
    shutil.copytree(tmp_path / "root" / "tar-none", odd)
    listed = list_backups([tmp_path / "root"], None)
    assert [_codes(backup) for backup in listed] == [[], ["path_not_utf8"]]
    listed[1].path.encode()


def test_member_names_may_start_with_a_dot(copy_of: Copy, source: Source) -> None:
    """As `tar -C DIR -cf base.tar .` writes them, in whatever order."""
    copy = copy_of("tar-none")
    packed = io.BytesIO()
    with (
        tarfile.open(copy / "base.tar") as old,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.GNU_FORMAT) as new,
    ):
        for member in sorted(old, key=lambda member: member.name, reverse=True):
            new.addfile(replace_name(member, f"./{member.name}"), old.extractfile(member))
    (copy / "base.tar").write_bytes(packed.getvalue())
    (backup,) = list_backups([copy], None, source.archive)
    assert backup.problems == ()
    assert backup.system_identifier == source.system_identifier
    assert backup.tablespaces[0].path == str(source.tablespace)


def replace_name(member: tarfile.TarInfo, name: str) -> tarfile.TarInfo:
    """The same member under another name."""
    member.name = name
    return member


def test_ids_and_prefixes(source: Source) -> None:
    listed = list_backups([source.sandbox.backups], None, source.archive)
    wanted = listed[3]
    assert wanted.started_at is not None
    assert wanted.id.startswith(f"{wanted.started_at:%Y%m%d-%H%M%S}F-")
    assert find_backup(listed, wanted.id) is wanted
    assert find_backup(listed, wanted.id[:-1]) is wanted
    again = list_backups([source.backups[wanted.label or ""]], None)
    assert again[0].id == wanted.id
    with pytest.raises(UsageError) as ambiguous:
        find_backup(listed, wanted.id[:4])
    assert wanted.id in ambiguous.value.cause
    with pytest.raises(UsageError) as unknown:
        find_backup(listed, wanted.id[:-2] + "zz")
    assert wanted.id in unknown.value.cause
    with pytest.raises(UsageError):
        find_backup(listed, "")
    with pytest.raises(UsageError):
        find_backup([], "20260101")


def test_an_exact_id_wins_over_a_longer_one(source: Source) -> None:
    (backup,) = list_backups([source.backups["tar-none"]], None)
    longer = replace(backup, id=backup.id + "0")
    assert find_backup([longer, backup], backup.id) is backup
