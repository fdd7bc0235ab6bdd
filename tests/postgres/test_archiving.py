"""The proposed archive_command, run by a shell as the server runs it; and the unit beside it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from pgrescue.postgres.archiving import archive_command, receivewal_slot, receivewal_unit

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

    def run(self, path: str | None = None) -> int:
        """As `shell_archive.c` does: placeholders are replaced, `%%` becomes `%`."""
        command = archive_command(str(self.directory))
        parts = command.replace("%%", "\0").replace("%p", f"pg_wal/{NAME}").replace("%f", NAME)
        line = parts.replace("\0", "%")
        environment = {**os.environ, "PATH": path or os.environ["PATH"]}
        argv = ["/bin/sh", "-c", line]
        return subprocess.run(argv, cwd=self.data, env=environment, check=False).returncode

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


def test_what_counts_as_archived_has_been_synced(archive: Archive, tmp_path: Path) -> None:
    """The retry after a sync that failed must not be content with what is there."""
    assert archive.run() == 0
    broken = tmp_path / "bin"
    broken.mkdir()
    (broken / "sync").write_text("#!/bin/sh\nexit 1\n")
    (broken / "sync").chmod(0o755)
    assert archive.run(f"{broken}:{os.environ['PATH']}") != 0
    assert archive.run() == 0


def test_another_server_cannot_be_overwritten_in_between(archive: Archive, tmp_path: Path) -> None:
    """Its segment appears between the look and the renaming."""
    slow = tmp_path / "bin"
    slow.mkdir()
    target = archive.directory / NAME
    appears = f"printf theirs >{shlex.quote(str(target))}"
    (slow / "cp").write_text(f'#!/bin/sh\n/bin/cp "$@" && {appears}\n')
    (slow / "cp").chmod(0o755)
    assert archive.run(f"{slow}:{os.environ['PATH']}") != 0
    assert target.read_bytes() == b"theirs"


def test_slots_for_any_cluster_have_names_that_a_server_takes() -> None:
    names = ["main", "Ünïcode", "x" * 63, "x" * 62 + "y"]
    slots = [receivewal_slot(name) for name in names]
    assert all(re.fullmatch("[a-z0-9_]{1,63}", slot) for slot in slots)
    assert len(set(slots)) == len(names)
    assert slots[0] == "pgrescue_main"


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
