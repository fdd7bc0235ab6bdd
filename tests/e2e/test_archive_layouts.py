"""Restores out of archives that are laid out as Barman and pgBackRest lay them out."""

from __future__ import annotations

import gzip
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.command import document, finished
from tests.support.source import Source

pytestmark = pytest.mark.server


def as_barman(archive: Path) -> None:
    """Segments in directories of their first 16 digits."""
    for segment in archive.glob("0000000*" + "[0-9A-F]" * 16):
        place = archive / segment.name[:16]
        place.mkdir(exist_ok=True)
        place.chmod(0o755)
        segment.rename(place / segment.name)


def as_pgbackrest(archive: Path) -> None:
    """Inside a directory for the cluster, compressed, with the checksum in the name."""
    for segment in archive.glob("0000000*" + "[0-9A-F]" * 16):
        place = archive / "15-1" / segment.name[:16]
        place.mkdir(parents=True, exist_ok=True)
        content = segment.read_bytes()
        digest = hashlib.sha1(content, usedforsecurity=False).hexdigest()
        (place / f"{segment.name}-{digest}.gz").write_bytes(gzip.compress(content, 1))
        segment.unlink()
    earlier = archive / "9.6-0" / "0000000100000000"
    earlier.mkdir(parents=True)
    (earlier / "000000010000000000000003").write_bytes(b"of another cluster")


@pytest.mark.parametrize("arrange", [as_barman, as_pgbackrest], ids=["barman", "pgbackrest"])
def test_an_archive_with_sub_directories_is_restored_from(
    victim: Source, arrange: Callable[[Path], None]
) -> None:
    expected = victim.log.expected("latest")
    victim.sandbox.stop()
    arrange(victim.sandbox.wal)
    plan = document(victim.workspace.run("plan", "--json", check=True))
    timeline = document(victim.workspace.run("timeline", "--json", check=True))
    assert plan["stop"]["last_kept"]["lsn"] == timeline["timelines"][0]["last_commit"]["lsn"]
    last = finished(victim.restore("--to", "latest"))
    assert last["state"] == "succeeded"
    assert victim.place.rows() == expected
