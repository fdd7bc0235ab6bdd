"""What is restored equals what was backed up, file by file, or the restore stops and says so."""

from __future__ import annotations

import gzip
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import Completed, document, finished
from tests.support.source import Source

pytestmark = pytest.mark.server


def flip_byte(path: Path, offset: int) -> None:
    """Change one byte of a file."""
    with path.open("r+b") as file:
        file.seek(offset)
        (byte,) = file.read(1)
        file.seek(offset)
        file.write(bytes([byte ^ 0x01]))


def some_table(names: list[str]) -> str:
    """A file of a table: first by name, so that it is the same for the same cluster."""
    return min(name for name in names if name.startswith("base/") and name.endswith("/1259"))


def flip_in_tar(backup: Path) -> None:
    """One bit of one table, in an archive that is whole otherwise."""
    archive = backup / "base.tar.gz"
    plain = backup / "base.tar"
    plain.write_bytes(gzip.decompress(archive.read_bytes()))
    with tarfile.open(plain) as tar:
        member = tar.getmember(some_table(tar.getnames()))
        offset = member.offset_data + member.size // 2
    flip_byte(plain, offset)
    archive.write_bytes(gzip.compress(plain.read_bytes(), 1))
    plain.unlink()


def flip_compressed(backup: Path) -> None:
    """One bit of the compressed stream, as a bad disk or cable makes it."""
    archive = backup / "base.tar.gz"
    flip_byte(archive, archive.stat().st_size // 2)


def truncate_wal(backup: Path) -> None:
    """The archive with the backup's own WAL ends early."""
    archive = backup / "pg_wal.tar.gz"
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size // 2)


def flip_in_plain(backup: Path) -> None:
    """One bit of one table."""
    names = [str(path.relative_to(backup)) for path in backup.glob("base/*/*")]
    table = backup / some_table(names)
    flip_byte(table, table.stat().st_size // 2)


def lengthen_in_plain(backup: Path) -> None:
    """One byte more than there should be."""
    with (backup / "PG_VERSION").open("ab") as file:
        file.write(b"\n")


def remove_from_plain(backup: Path) -> None:
    """A file is missing."""
    names = [str(path.relative_to(backup)) for path in backup.glob("base/*/*")]
    (backup / some_table(names)).unlink()


def add_to_plain(backup: Path) -> None:
    """A file that nobody has backed up."""
    (backup / "base" / "1" / "999999").write_bytes(b"x" * 8192)


def with_backup(source: Source, form: str) -> Path:
    """A cleanly archived cluster and its backup."""
    options = ("-Ft", "-z") if form == "tar" else ("-Fp",)
    path = source.backup(form, *options).path
    source.log.mark("after the backup")
    source.sandbox.switch_wal()
    return path


def assert_undo_brings_everything_back(source: Source) -> None:
    """The old cluster runs again and shows all its rows."""
    undone = source.workspace.run("undo", "--yes", "--json", check=True)
    assert finished(undone)["state"] == "undone"
    assert source.place.rows() == source.log.expected("latest")
    assert not source.place.in_recovery()


def failure(completed: Completed) -> str:
    """Everything that the error says."""
    return json.dumps(finished(completed)["error"])


@pytest.mark.parametrize(
    ("form", "damage", "named"),
    [
        ("tar", flip_in_tar, "1259"),
        ("tar", flip_compressed, "base.tar.gz"),
        ("tar", truncate_wal, "pg_wal.tar.gz"),
        ("plain", flip_in_plain, "1259"),
        ("plain", lengthen_in_plain, "PG_VERSION"),
        ("plain", remove_from_plain, "1259"),
        ("plain", add_to_plain, "999999"),
    ],
)
def test_damage_stops_the_restore_and_undo_takes_it_back(
    any_victim: Source, form: str, damage: Callable[[Path], None], named: str
) -> None:
    backup = with_backup(any_victim, form)
    damage(backup)
    completed = any_victim.restore("--backup", any_victim.id_of(form), check=False)
    if completed.returncode == 3:  # seen before anything was touched: better still
        assert named in completed.stderr
        assert any_victim.place.rows() == any_victim.log.expected("latest")
        return
    assert completed.returncode == 4
    last = finished(completed)
    assert last["state"] == "failed"
    assert last["step"] in ("extract", "place_wal")
    assert named in failure(completed)
    assert not any_victim.place.is_running
    assert not (any_victim.sandbox.data / "global" / "pg_control").exists(), "cannot be started"
    assert_undo_brings_everything_back(any_victim)


def test_truncated_archive_is_refused_before_anything_is_touched(any_victim: Source) -> None:
    archive = any_victim.backups["nightly"].path / "base.tar.gz"
    with archive.open("r+b") as file:
        file.truncate(archive.stat().st_size * 2 // 3)
    completed = any_victim.restore("--backup", any_victim.id_of("nightly"), check=False)
    assert completed.returncode == 3
    assert "base.tar.gz" in completed.stderr
    assert any_victim.place.rows() == any_victim.log.expected("latest")
    listed = document(any_victim.workspace.run("catalog", "--json", check=True))["backups"]
    assert [item["usable"] for item in listed] == [False]


@pytest.mark.slow
def test_another_backup_is_chosen_when_the_newest_is_unusable(any_victim: Source) -> None:
    with_backup(any_victim, "plain")
    newest = any_victim.backups["plain"].path
    shutil.rmtree(newest / "global")
    last = finished(any_victim.restore())
    assert last["state"] == "succeeded"
    assert any_victim.id_of("nightly") in json.dumps(last["steps"])
    assert any_victim.place.rows() == any_victim.log.expected("latest")


def test_server_data_directory_has_the_backups_files(any_victim: Source) -> None:
    """The oracle of the tests above: pg_verifybackup's own view of a shut down restore."""
    any_victim.restore("--to", "immediate", "--action", "shutdown")
    manifest = json.loads((any_victim.backups["nightly"].path / "backup_manifest").read_text())
    restored = any_victim.sandbox.data
    missing = [
        entry["Path"] for entry in manifest["Files"] if not (restored / entry["Path"]).exists()
    ]
    # Recovery itself takes these away, once it has read them.
    assert set(missing) <= {"backup_label", "tablespace_map"}
