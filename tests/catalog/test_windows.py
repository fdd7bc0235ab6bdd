"""How far a backup can be brought, with an archive and without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from pgrescue.catalog.windows import with_window
from pgrescue.wal.archive import WalArchive, scan_archive
from pgrescue.wal.segment import SegmentId
from tests.catalog.conftest import Source

pytestmark = pytest.mark.server

SEGMENT = 1024 * 1024


def _listed(source: Source, name: str, archive: WalArchive | None) -> Backup:
    (backup,) = list_backups([source.backups[name]], None, archive)
    return backup


def _archive_of(source: Source, target: Path, first: str = "", without: str = "") -> WalArchive:
    """Links to the source's archived files from a segment on, one left out."""
    target.mkdir()
    for path in source.sandbox.wal.iterdir():
        if path.name >= first and path.name != without:
            (target / path.name).symlink_to(path)
    return scan_archive(target)


def _last_segment_needed(backup: Backup) -> str:
    assert backup.stop_lsn is not None
    return SegmentId.before(backup.stop_lsn, 1, SEGMENT).name(SEGMENT)


@pytest.mark.parametrize("name", ["tar-none", "tar-no-wal", "plain", "plain-no-wal", "tar-fetch"])
def test_with_the_archive_the_window_ends_with_it(source: Source, name: str) -> None:
    archive = source.archive
    backup = _listed(source, name, archive)
    newest = SegmentId.parse(max(archive.segments), SEGMENT)
    assert backup.window is not None
    assert backup.window.from_lsn == backup.stop_lsn
    assert backup.window.from_time == backup.stopped_at
    assert backup.window.to_lsn == newest.end(SEGMENT)
    assert backup.window.to_time is None
    assert backup.window.timeline == 1


@pytest.mark.parametrize("name", ["tar-none", "plain", "tar-fetch", "plain-fetch"])
def test_with_its_own_wal_only_it_is_a_point(source: Source, name: str) -> None:
    backup = _listed(source, name, None)
    assert backup.usable
    assert backup.window is not None
    assert backup.window.from_lsn == backup.window.to_lsn == backup.stop_lsn is not None
    assert backup.window.to_time == backup.stopped_at is not None


@pytest.mark.parametrize("name", ["tar-no-wal", "plain-no-wal"])
def test_without_any_wal_it_is_useless(source: Source, name: str) -> None:
    backup = _listed(source, name, None)
    assert not backup.usable
    assert backup.window is None
    assert [problem.code for problem in backup.problems] == ["no_wal"]


def test_wal_that_the_archive_lacks_is_named(source: Source, tmp_path: Path) -> None:
    lost = _last_segment_needed(_listed(source, "tar-no-wal", source.archive))
    archive = _archive_of(source, tmp_path / "archive", without=lost)
    backup = _listed(source, "tar-no-wal", archive)
    assert [problem.code for problem in backup.problems] == ["wal_missing"]
    assert lost in backup.problems[0].message
    assert not backup.usable
    assert backup.window is None


def test_wal_inside_makes_up_for_what_the_archive_lacks(source: Source, tmp_path: Path) -> None:
    own = _last_segment_needed(_listed(source, "tar-none", source.archive))
    archive = _archive_of(source, tmp_path / "archive", without=own)
    backup = _listed(source, "tar-none", archive)
    newest = SegmentId.parse(max(archive.segments), SEGMENT)
    assert backup.usable
    assert backup.window is not None
    assert backup.window.to_lsn == newest.end(SEGMENT)


def test_a_hole_ends_the_window(source: Source, tmp_path: Path) -> None:
    hole = _last_segment_needed(_listed(source, "plain", source.archive))
    archive = _archive_of(source, tmp_path / "archive", without=hole)
    backup = _listed(source, "tar-none", archive)
    assert backup.window is not None
    assert backup.window.to_lsn == SegmentId.parse(hole, SEGMENT).start(SEGMENT)


def test_a_fork_after_the_backup_leaves_its_own_timeline_the_window(
    source: Source, tmp_path: Path
) -> None:
    plain = _archive_of(source, tmp_path / "plain")
    newest = SegmentId.parse(max(plain.segments), SEGMENT)
    forked = tmp_path / "plain"
    (forked / "00000002.history").write_text(f"1\t{newest.start(SEGMENT)}\tno target\n")
    for number in range(newest.number, newest.number + 3):
        (forked / SegmentId(number, 2).name(SEGMENT)).write_bytes(b"")
    backup = _listed(source, "tar-none", scan_archive(forked))
    assert backup.window is not None
    assert backup.window.timeline == 1
    assert backup.window.to_lsn == newest.end(SEGMENT)


def test_a_standbys_last_segment_may_be_partial(source: Source, tmp_path: Path) -> None:
    """Its copy inside ends with the backup, so the archive cannot go on behind it."""
    own = _last_segment_needed(_listed(source, "tar-none", source.archive))
    archive = _archive_of(source, tmp_path / "archive", without=own)
    backup = read_backup(source.backups["tar-none"])
    assert backup.details is not None
    details = replace(backup.details, from_standby=True)
    found = with_window(replace(backup, details=details), archive)
    assert found.usable
    assert found.window is not None
    assert found.window.to_lsn == found.stop_lsn


def test_stop_position_without_manifest_comes_from_the_archive(source: Source) -> None:
    assert _listed(source, "tar-no-manifest", None).stop_lsn is None
    assert _listed(source, "tar-no-manifest", source.archive).stop_lsn is not None


def test_the_archive_of_another_cluster_does_not_count(source: Source, chain: Source) -> None:
    """Both clusters are young, so the same segment names are in both archives."""
    backup = _listed(chain, "full", source.archive)
    assert [problem.code for problem in backup.problems] == ["archive_foreign"]
    assert backup.usable
    assert backup.window is not None
    assert backup.window.to_lsn == backup.stop_lsn


def test_wal_at_the_end_of_a_big_base_archive_is_found(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    backup = _listed(source, "tar-fetch", None)
    assert backup.details is not None
    assert not backup.details.read_whole
    assert backup.details.wal_inside == "base"
    assert backup.usable


def test_a_big_base_archive_is_read_on_when_only_that_can_find_its_wal(
    source: Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    copy = tmp_path / "copy"
    copy.mkdir()
    for path in source.backups["tar-fetch"].glob("*.tar.gz"):
        (copy / path.name).symlink_to(path)
    (without_archive,) = list_backups([copy], None)
    assert without_archive.details is not None
    assert without_archive.details.wal_inside == "base"
    assert without_archive.usable
    (with_archive,) = list_backups([copy], None, source.archive)
    assert with_archive.details is not None
    assert not with_archive.details.read_whole
    assert with_archive.usable
