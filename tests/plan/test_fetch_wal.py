"""The script that recovery calls, run by a real shell."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from pgrescue.plan.fetch_wal import fetch_wal_script, restore_command_for

NAME = "000000010000000000000003"
SIZE = 4096
CONTENT = b"w" * SIZE
NOT_THERE, FAILED = 1, 255
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".lz4": lz4.frame.compress,
    ".zst": zstandard.compress,
    ".xz": lzma.compress,
}


class Place:
    """Two sources with hostile names, and a script over both."""

    def __init__(self, root: Path) -> None:
        self.first = root / "archive $(touch oops) 'x'"
        self.second = root / "own wal"
        self.first.mkdir()
        self.second.mkdir()
        self.destination = root / "RECOVERYXLOG"
        self.script = root / "fetch wal's"
        self.command: str | None = None

    def fetch(self, name: str = NAME) -> int:
        sources = [str(self.first), str(self.second)]
        self.script.write_text(fetch_wal_script(sources, self.command, SIZE))
        result = subprocess.run(
            ["/bin/sh", self.script, name, self.destination], check=False, capture_output=True
        )
        assert not list(self.destination.parent.glob("*fetch-wal.*")), "a half file stays behind"
        return result.returncode


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_segment_is_fetched_from_the_first_source_that_has_it(place: Place) -> None:
    (place.second / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0
    assert place.destination.read_bytes() == CONTENT


def test_a_missing_file_is_told_from_a_failure(place: Place) -> None:
    assert place.fetch() == NOT_THERE
    place.second.rmdir()
    assert place.fetch() == FAILED


def test_a_compressed_segment_is_unpacked(place: Place) -> None:
    (place.first / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT))
    assert place.fetch() == 0
    assert place.destination.read_bytes() == CONTENT


@pytest.mark.parametrize("ending", ["", ".gz", ".lz4", ".zst", ".xz"])
@pytest.mark.parametrize("digest", ["", f"-{'0123456789abcdef' * 2}01234567"])
@pytest.mark.parametrize("below", ["", NAME[:16]])
def test_barmans_and_pgbackrests_places_are_searched(
    place: Place, ending: str, digest: str, below: str
) -> None:
    (place.first / below).mkdir(exist_ok=True)
    (place.first / below / f"{NAME}{digest}{ending}").write_bytes(COMPRESS[ending](CONTENT))
    assert place.fetch() == 0
    assert place.destination.read_bytes() == CONTENT


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_a_sub_directory_that_is_closed_is_a_failure(place: Place) -> None:
    (place.first / NAME[:16]).mkdir(mode=0)
    assert place.fetch() == FAILED


def test_a_file_with_something_else_after_its_name_is_another_file(place: Place) -> None:
    (place.first / f"{NAME}-old").write_bytes(CONTENT)
    (place.first / f"{NAME}.partial").write_bytes(CONTENT)
    assert place.fetch() == NOT_THERE


def test_a_truncated_segment_stops_recovery_instead_of_ending_it(place: Place) -> None:
    (place.first / NAME).write_bytes(CONTENT[:100])
    assert place.fetch() == FAILED
    assert not place.destination.exists()


def test_an_undamaged_copy_elsewhere_is_taken_instead(place: Place) -> None:
    (place.first / NAME).write_bytes(CONTENT[:100])
    (place.second / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0
    assert place.destination.read_bytes() == CONTENT


def test_a_damaged_compressed_segment_stops_recovery(place: Place) -> None:
    (place.first / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT)[:-9])
    assert place.fetch() == FAILED


def test_history_files_have_any_size(place: Place) -> None:
    (place.first / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n")
    assert place.fetch("00000002.history") == 0


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cp {source}/%f %p", 0),
        ("exit 1", NOT_THERE),
        ("exit 200", FAILED),
        ("true", NOT_THERE),
        ("no-such-program %f", FAILED),
    ],
)
def test_the_configured_command_comes_first(place: Place, command: str, expected: int) -> None:
    source = place.destination.parent / "elsewhere"
    source.mkdir()
    (source / NAME).write_bytes(CONTENT)
    place.command = command.format(source=source)
    assert place.fetch() == expected
    assert place.destination.exists() == (expected == 0)


def test_restore_command_survives_any_path(tmp_path: Path) -> None:
    script = tmp_path / "it's 100% (odd)" / "fetch-wal"
    script.parent.mkdir()
    script.write_text('#!/bin/sh\necho "$1 $2"\n')
    script.chmod(0o755)
    command = restore_command_for(str(script))
    # What the server does with the setting: %f, %p and %% are replaced, then a shell runs it.
    line = command.replace("%f", NAME).replace("%p", "pg_wal/X").replace("%%", "%")
    said = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True)
    assert said.stdout == f"{NAME} pg_wal/X\n"
