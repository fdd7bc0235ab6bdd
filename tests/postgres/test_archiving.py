"""The proposed archive_command, run by a shell as the server runs it; and the unit beside it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from pgrescue.postgres.archiving import archive_command, receivewal_unit

NAME = "000000010000000000000003"
CONTENT = b"w" * 4096


class Archive:
    """A directory, perhaps with a hostile name, and a segment of the server's."""

    def __init__(self, root: Path, name: str) -> None:
        self.directory = root / name
        self.directory.mkdir()
        self.data = root / "data"
        (self.data / "pg_wal").mkdir(parents=True)
        (self.data / "pg_wal" / NAME).write_bytes(CONTENT)

    def run(self) -> int:
        """As `shell_archive.c` does: placeholders are replaced, `%%` becomes `%`."""
        command = archive_command(str(self.directory))
        parts = command.replace("%%", "\0").replace("%p", f"pg_wal/{NAME}").replace("%f", NAME)
        line = parts.replace("\0", "%")
        return subprocess.run(["/bin/sh", "-c", line], cwd=self.data, check=False).returncode

    @property
    def names(self) -> list[str]:
        """What is in the archive."""
        return sorted(path.name for path in self.directory.iterdir())


@pytest.fixture(params=["archive", "with space", "it's $(touch oops) `x`", "100%f %p", "-x"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Archive:
    return Archive(tmp_path, request.param)


def test_a_segment_arrives_whole_and_under_its_name_only(archive: Archive) -> None:
    assert archive.run() == 0
    assert archive.names == [NAME]
    assert (archive.directory / NAME).read_bytes() == CONTENT
    assert not (archive.data / "oops").exists()


def test_the_same_segment_again_is_a_success_and_another_is_not_overwritten(
    archive: Archive,
) -> None:
    assert archive.run() == 0
    assert archive.run() == 0
    (archive.directory / NAME).write_bytes(b"of another cluster")
    assert archive.run() != 0
    assert (archive.directory / NAME).read_bytes() == b"of another cluster"


def test_a_half_copy_of_a_crash_is_replaced(archive: Archive) -> None:
    (archive.directory / f"{NAME}.tmp").write_bytes(CONTENT[:100])
    assert archive.run() == 0
    assert archive.names == [NAME]


def test_an_archive_that_is_away_is_a_failure(archive: Archive) -> None:
    archive.directory.rmdir()
    assert archive.run() != 0


def test_the_unit_survives_what_systemd_would_read_otherwise() -> None:
    unit = receivewal_unit(
        cluster="main",
        directory='/srv/wal 100% "x"',
        bin_directory="/usr/lib/postgresql/15/bin",
        conninfo="host=/run/pg port=5433 user=postgres",
        account="postgres",
        slot="pgrescue_main",
    )
    (line,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert '"--directory=/srv/wal 100%% \\"x\\""' in line
    assert "--slot=pgrescue_main" in line
    assert "User=postgres" in unit
