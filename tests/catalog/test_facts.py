"""The catalog says of a backup what the server that made it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from tests.catalog.conftest import VARIANTS, Source

pytestmark = pytest.mark.server

COMPRESSIONS = ("none", "gzip", "lz4", "zstd")


def _taken(source: Source, name: str) -> Path:
    if name not in source.backups:
        pytest.skip(f"these server binaries cannot make {name}")
    return source.backups[name]


def _listed(source: Source, name: str) -> Backup:
    (backup,) = list_backups([_taken(source, name)], None, source.archive)
    return backup


@pytest.mark.parametrize("name", VARIANTS)
def test_identity_and_kind_come_from_the_files(source: Source, name: str) -> None:
    backup = _listed(source, name)
    assert backup.problems == ()
    assert backup.usable
    assert backup.path == str(source.backups[name])
    assert backup.label == name
    assert backup.format == name.partition("-")[0]
    assert backup.kind == "full"
    assert backup.parent is None
    assert backup.system_identifier == source.system_identifier
    assert backup.major == source.sandbox.binaries.major
    assert backup.timeline == 1
    assert backup.has_manifest == ("no-manifest" not in name)


@pytest.mark.parametrize("name", VARIANTS)
def test_positions_and_times_agree_with_the_history_file_of_the_server(
    source: Source, name: str
) -> None:
    backup = _listed(source, name)
    assert backup.start_lsn is not None
    assert backup.details is not None
    (segment,) = source.sandbox.sql(f"select pg_walfile_name('{backup.start_lsn}')")
    offset = f"{backup.start_lsn % (1024 * 1024):08X}"
    history = (source.sandbox.wal / f"{segment}.{offset}.backup").read_text()
    assert f"START WAL LOCATION: {backup.start_lsn} " in history
    assert f"STOP WAL LOCATION: {backup.stop_lsn} " in history
    assert f"CHECKPOINT LOCATION: {backup.details.checkpoint_lsn}\n" in history
    assert backup.started_at is not None
    assert backup.stopped_at is not None
    first, last = source.started[name], source.ended[name]
    assert int(first) <= backup.started_at.timestamp() <= last
    assert backup.started_at <= backup.stopped_at
    assert backup.stopped_at.timestamp() <= last


@pytest.mark.parametrize("name", VARIANTS)
def test_details_serve_a_plan(source: Source, name: str) -> None:
    details = _listed(source, name).details
    assert details is not None
    inside = {"plain-no-wal": "none", "tar-no-wal": "none", "tar-fetch": "base"}
    assert details.wal_inside == inside.get(name, name.partition("-")[0])
    assert bool(details.wal_segments) == (details.wal_inside != "none")
    assert details.wal_segment_size == 1024 * 1024
    assert not details.from_standby
    assert details.read_whole
    assert details.control is not None
    assert details.control.system_identifier == source.system_identifier
    assert "Asia/Kolkata" in details.configuration["postgresql.conf"]
    assert {"postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf"} <= set(details.configuration)
    if name.startswith("tar"):
        assert details.base_archive is not None
        assert (source.backups[name] / details.base_archive).is_file()
    if details.wal_inside == "tar":
        assert details.wal_archive is not None
        assert (source.backups[name] / details.wal_archive).is_file()


@pytest.mark.parametrize("name", VARIANTS)
def test_tablespace_is_located_and_measured(source: Source, name: str) -> None:
    backup = _listed(source, name)
    (tablespace,) = backup.tablespaces
    assert backup.details is not None
    place = backup.details.tablespace_archives[source.tablespace_oid]
    assert tablespace.oid == source.tablespace_oid
    assert (tablespace.size_bytes or 0) > 100_000
    if backup.format == "tar":
        assert tablespace.path == str(source.tablespace)
        assert place.startswith(f"{source.tablespace_oid}.tar")
        assert (source.backups[name] / place).is_file()
    else:
        assert place == tablespace.path == f"{source.backups[name]}.ts"


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith("tar-")])
def test_compression_is_that_of_the_base_archive(source: Source, name: str) -> None:
    asked = name.split("-")[1]
    assert _listed(source, name).compression == (asked if asked in COMPRESSIONS else "gzip")


def test_sizes_are_those_on_disk_and_those_after_a_restore(source: Source) -> None:
    packed, plain = _listed(source, "tar-gzip-client"), _listed(source, "plain")
    files = source.backups["tar-gzip-client"].iterdir()
    assert packed.size_bytes == sum(path.stat().st_size for path in files)
    assert plain.restore_bytes is not None
    assert plain.size_bytes > plain.restore_bytes > packed.size_bytes
    without = _listed(source, "tar-no-manifest").restore_bytes
    assert without == pytest.approx(packed.restore_bytes, rel=0.05)


def test_a_quick_look_knows_the_facts_without_reading_all(
    source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    path = source.backups["tar-gzip-client"]
    quick, whole = read_backup(path), read_backup(path, whole=True)
    assert quick.details is not None
    assert whole.details is not None
    assert not quick.details.read_whole
    assert quick.details.control is None
    assert whole.details.read_whole
    assert whole.details.control is not None
    for name in ("id", "system_identifier", "server_version", "start_lsn", "restore_bytes"):
        assert getattr(quick, name) == getattr(whole, name)
    assert quick.tablespaces == whole.tablespaces


@pytest.mark.parametrize("name", [name for name in VARIANTS if name.startswith("tar-")])
def test_a_quick_look_finds_nothing_wrong_with_good_backups(
    source: Source, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pgrescue.catalog.tar_look.WHOLE_LIMIT", 0)
    _taken(source, name)
    backup = _listed(source, name)
    assert backup.usable
    assert backup.problems == ()
    assert backup.window is not None
