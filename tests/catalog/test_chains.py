"""Incremental backups know what they build upon."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from tests.catalog.conftest import Source

pytestmark = pytest.mark.server


def _listed(root: Path, chain: Source) -> dict[str, Backup]:
    listed = list_backups([root], None, chain.archive)
    return {backup.label or "": backup for backup in listed}


def test_every_member_is_linked_to_the_one_before(chain: Source) -> None:
    backups = _listed(chain.sandbox.backups, chain)
    assert list(backups) == ["full", "first", "second"]
    full, first, second = backups.values()
    assert [backup.kind for backup in backups.values()] == ["full", "incremental", "incremental"]
    assert (full.parent, first.parent, second.parent) == (None, full.id, first.id)
    assert all(backup.usable and backup.problems == () for backup in backups.values())
    assert [backup.id[15] for backup in backups.values()] == ["F", "I", "I"]
    assert {backup.system_identifier for backup in backups.values()} == {chain.system_identifier}
    assert full.tablespaces[0].path == second.tablespaces[0].path == str(chain.tablespace)
    assert second.details is not None
    assert second.details.incremental_from_lsn == first.start_lsn
    assert second.details.incremental_from_timeline == first.timeline == 1


def test_a_missing_parent_makes_the_chain_useless_from_there_on(
    chain: Source, tmp_path: Path
) -> None:
    for name in ("full", "second"):
        shutil.copytree(chain.backups[name], tmp_path / name)
    backups = _listed(tmp_path, chain)
    assert backups["full"].usable
    assert not backups["second"].usable
    assert [problem.code for problem in backups["second"].problems] == ["parent_missing"]
    assert backups["second"].parent is None


def test_a_damaged_parent_is_named(chain: Source, tmp_path: Path) -> None:
    for name in chain.backups:
        shutil.copytree(chain.backups[name], tmp_path / name)
    base = tmp_path / "full" / "base.tar"
    base.write_bytes(base.read_bytes()[:-100_000])
    backups = _listed(tmp_path, chain)
    assert [problem.code for problem in backups["first"].problems] == ["parent_unusable"]
    assert backups["full"].id in backups["first"].problems[0].message
    assert backups["first"].parent == backups["full"].id
    assert not backups["second"].usable


def test_of_two_copies_of_a_parent_the_usable_one_counts(chain: Source, tmp_path: Path) -> None:
    for name in ("full", "first"):
        shutil.copytree(chain.backups[name], tmp_path / "near" / name)
    shutil.copytree(chain.backups["full"], tmp_path / "far" / "full")
    (tmp_path / "near" / "full" / "base.tar").unlink()
    listed = {backup.path: backup for backup in list_backups([tmp_path], None)}
    first = listed[str(tmp_path / "near" / "first")]
    assert first.usable
    assert first.parent == listed[str(tmp_path / "far" / "full")].id


def test_a_parent_needs_no_wal_of_its_own(chain: Source, tmp_path: Path) -> None:
    for name in ("full", "first"):
        shutil.copytree(chain.backups[name], tmp_path / name)
    (tmp_path / "full" / "pg_wal.tar").unlink()
    listed = {backup.label: backup for backup in list_backups([tmp_path], None)}
    assert [problem.code for problem in listed["full"].problems] == ["no_wal"]
    assert listed["first"].usable
