"""The script that recovery calls, run by a real shell."""

from __future__ import annotations

import gzip
import lzma
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from pgrescue.plan.fetch_wal import fetch_wal_script, restore_command_for
from tests.support.made_segments import SIZE, WAL, segment

NAME = "000000010000000000000003"
NEXT = "00000001000000000000000A"
CONTENT = segment(NAME)
NOT_THERE, FAILED = 1, 255
_NOBODY = 65534
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
        self.proven: str | None = None
        self.not_empty: str | None = None
        self.last: str | None = None
        self.said = ""
        self.wal = WAL
        self.user: int | None = None
        """Who calls it, if not we."""

    def write(self) -> None:
        sources = [str(self.first), str(self.second)]
        self.script.write_text(
            fetch_wal_script(
                sources,
                self.command,
                self.wal,
                self.proven,
                not_empty=self.not_empty,
                last=self.last,
            )
        )

    def fetch(self, name: str = NAME) -> int:
        self.write()
        result = subprocess.run(
            ["/bin/sh", self.script, name, self.destination],
            check=False,
            capture_output=True,
            text=True,
            user=self.user,
        )
        self.said = result.stderr
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


@pytest.mark.parametrize("timeline", ["00000001", "00000002"])
def test_behind_the_last_segment_of_a_clones_plan_there_is_nothing(
    place: Place, timeline: str
) -> None:
    place.last = NAME
    (place.first / f"{timeline}{NEXT[8:]}").write_bytes(CONTENT)
    assert place.fetch(f"{timeline}{NEXT[8:]}") == NOT_THERE
    assert "newer than the plan" in place.said
    (place.first / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0
    (place.first / "00000003.history").write_bytes(b"1\t0/3000000\tbefore\n")
    assert place.fetch("00000003.history") == 0


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


@pytest.fixture
def for_a_stranger() -> Iterator[Place]:
    """Where an account without rights of its own may write, as the server's is to an archive."""
    root = Path(tempfile.mkdtemp())
    try:
        root.chmod(0o777)
        made = Place(root)
        made.user = _NOBODY if os.geteuid() == 0 else None
        yield made
    finally:
        for directory in (root, *root.iterdir()):
            directory.chmod(0o700)
        shutil.rmtree(root)


@pytest.mark.parametrize("mode", [0o000, 0o444, 0o333], ids=["closed", "no search", "no list"])
@pytest.mark.parametrize("below", ["", NAME[:16]])
def test_a_directory_that_cannot_be_read_is_a_failure(
    for_a_stranger: Place, below: str, mode: int
) -> None:
    """It may hold what was asked for: recovery must not take that for the end of the WAL."""
    directory = for_a_stranger.first / below
    directory.mkdir(exist_ok=True)
    assert for_a_stranger.fetch() == NOT_THERE
    directory.chmod(mode)
    assert for_a_stranger.fetch() == FAILED
    assert "cannot read the directory" in for_a_stranger.said
    directory.chmod(0o755)


def test_what_cannot_be_put_in_place_is_a_failure(for_a_stranger: Place) -> None:
    """Another account's file is there, where everybody may make files of their own."""
    if for_a_stranger.user is None:
        pytest.skip("another account's file needs root")
    (for_a_stranger.first / NAME).write_bytes(CONTENT)
    for_a_stranger.destination.write_text("another's")
    for_a_stranger.destination.parent.chmod(0o1777)
    assert for_a_stranger.fetch() == FAILED
    assert "cannot write" in for_a_stranger.said


def test_what_is_not_known_of_the_cluster_is_not_compared(place: Place) -> None:
    """Neither version nor identifier: whatever is WAL of this name and size is taken."""
    place.wal = replace(WAL, major=None, system_identifier=None)
    (place.first / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0
    place.destination.unlink()
    (place.first / NAME).write_bytes(bytes(SIZE))
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


OTHER = "000000010000000000000004"


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (segment(OTHER), "holds the WAL from 0000000000400000, not from 0000000000300000"),
        (segment(NAME, identifier="7301874987712345679"), "is of another cluster"),
        (segment(NAME, magic=0xD118), "magic number D118"),
        (bytes(SIZE), "magic number 0000"),
        (b"", "has 0 bytes"),
    ],
    ids=["another segment", "another cluster", "another version", "zeros", "empty"],
)
def test_what_is_not_the_segment_of_its_name_stops_recovery(
    place: Place, content: bytes, why: str
) -> None:
    (place.first / NAME).write_bytes(content)
    assert place.fetch() == FAILED
    assert why in place.said
    assert not place.destination.exists()
    (place.second / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT))
    assert place.fetch() == 0, "a whole copy elsewhere serves as well"


def test_the_position_is_compared_in_full(place: Place) -> None:
    name = "0000002A000001B700000ABC"
    (place.first / name).write_bytes(segment(name))
    assert place.fetch(name) == 0
    (place.first / name).write_bytes(segment("0000002A000001B600000ABC"))
    assert place.fetch(name) == FAILED


def test_a_damaged_compressed_copy_gives_way_to_a_whole_one(place: Place) -> None:
    (place.first / f"{NAME}.gz").write_bytes(gzip.compress(CONTENT)[:-9])
    (place.second / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0
    assert place.destination.read_bytes() == CONTENT


def test_an_empty_history_file_is_damage(place: Place) -> None:
    (place.first / "00000002.history").write_bytes(b"")
    assert place.fetch("00000002.history") == FAILED


def test_not_there_is_believed_only_if_the_command_can_still_look(place: Place) -> None:
    source = place.destination.parent / "elsewhere"
    source.mkdir()
    (source / NAME).write_bytes(CONTENT)
    place.command, place.proven = f"cp {source}/%f %p 2>/dev/null", NAME
    assert place.fetch(OTHER) == NOT_THERE
    source.rename(source.with_name("away"))
    assert place.fetch(OTHER) == FAILED
    assert f"does not find {NAME} any more" in place.said
    (place.second / OTHER).write_bytes(segment(OTHER))
    assert place.fetch(OTHER) == 0, "what another source has needs no answer of the command"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_call_that_is_killed_leaves_no_half_file(place: Place, number: int) -> None:
    """As a fast shutdown does it: the whole process group gets the signal."""
    place.command = f"head -c 100 /dev/zero > %p; touch {place.destination}.begun; exec sleep 60"
    (place.first / NAME).write_bytes(CONTENT)
    place.write()
    argv = ("/bin/sh", str(place.script), NAME, str(place.destination))
    with subprocess.Popen(argv, start_new_session=True) as process:
        begun = place.destination.with_name(f"{place.destination.name}.begun")
        deadline = time.monotonic() + 10
        while not begun.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(process.pid, number)
        status = process.wait(10)
    assert not place.destination.exists()
    if number == signal.SIGTERM:
        assert status in (143, -signal.SIGTERM), "what the server takes for an end on request"
        assert not list(place.destination.parent.glob("*fetch-wal.*"))
    place.command = None
    assert place.fetch() == 0, "and the next call takes away what is left"


def test_history_files_have_any_size(place: Place) -> None:
    (place.first / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n")
    assert place.fetch("00000002.history") == 0


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("cp {source}/%f %p", 0),
        ("exit 1", NOT_THERE),
        ("exit 200", FAILED),
        ("true", FAILED),
        ("head -c 100 {source}/%f > %p", FAILED),
        ("head -c 100 {source}/%f > %p; exit 1", NOT_THERE),
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
    assert ("there is nothing" in place.said) == (command == "true")


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


@pytest.mark.parametrize("left", [f"{NAME}.gz", "00000002.history", "0000000100000000"])
def test_not_there_is_believed_only_of_an_archive_with_anything_in_it(
    place: Place, left: str
) -> None:
    """A file system that is not mounted any more leaves an empty directory."""
    place.not_empty = str(place.first)
    (place.first / "lost+found").mkdir()
    assert place.fetch("000000010000000000000004") == FAILED
    assert "is it mounted?" in place.said
    (place.second / NAME).write_bytes(CONTENT)
    assert place.fetch() == 0, "what another source has is taken all the same"
    (place.first / left).mkdir()
    assert place.fetch("000000010000000000000004") == NOT_THERE


def test_a_link_that_leads_nowhere_is_a_failure(place: Place) -> None:
    (place.first / NAME).symlink_to(place.first / "not mounted")
    assert place.fetch() == FAILED
    assert "leads nowhere" in place.said
