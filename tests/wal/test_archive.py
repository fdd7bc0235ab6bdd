"""What a scan finds in an archive directory, by names and sizes."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

from pgrescue.wal.archive import scan_archive
from pgrescue.wal.segment import SegmentId, digest_in, file_kind

ONE, TWO = "000000010000000000000001", "000000010000000000000002"
SHA1, OTHER_SHA1 = "1f" * 20, "2e" * 20


def put(directory: Path, *names: str, size: int = 0) -> None:
    """Make files, and the directories they are in."""
    for name in names:
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.truncate(path, size)


@pytest.mark.parametrize(
    ("name", "kind", "plain"),
    [
        (ONE, "segment", ONE),
        (ONE + ".gz", "segment", ONE),
        (ONE + ".lz4", "segment", ONE),
        (ONE + ".zst", "segment", ONE),
        (ONE + ".xz", "segment", ONE),
        (ONE + ".partial", "partial", ONE),
        (ONE + ".gz.partial", "partial", ONE),
        (ONE + ".lz4.partial", "partial", ONE),
        (ONE + ".partial.gz", "partial", ONE),
        (f"{ONE}-{SHA1}", "segment", ONE),
        (f"{ONE}-{SHA1}.zst", "segment", ONE),
        (f"{ONE}.partial-{SHA1}.gz", "partial", ONE),
        ("0000000A.history", "history", "0000000A.history"),
        ("0000000A.history.gz", "history", "0000000A.history"),
        (ONE + ".00000028.backup", "backup", ONE + ".00000028.backup"),
        (ONE + ".00000028.backup.gz", "backup", ONE + ".00000028.backup"),
        (ONE + ".tmp", "temporary", ONE + ".tmp"),
        (ONE + ".pgrescue-new", "temporary", ONE + ".pgrescue-new"),
        (f".{ONE}.Xy12", "temporary", f".{ONE}.Xy12"),
        ("RECOVERYXLOG", "temporary", "RECOVERYXLOG"),
        ("xlogtemp.4711", "temporary", "xlogtemp.4711"),
        (ONE.replace("1", "a"), "foreign", ONE.replace("1", "a")),
        ("0" * 24, "foreign", "0" * 24),
        ("00000000.history", "foreign", "00000000.history"),
        (f"{ONE}-{SHA1[:-1]}.gz", "foreign", f"{ONE}-{SHA1[:-1]}.gz"),
        (f"{ONE}-{SHA1}.txt", "foreign", f"{ONE}-{SHA1}.txt"),
        (f"{ONE}.00000028.backup-{SHA1}", "foreign", f"{ONE}.00000028.backup-{SHA1}"),
        (ONE + ".bz2", "foreign", ONE + ".bz2"),
        ("archive.info", "foreign", "archive.info"),
        ("", "foreign", ""),
    ],
)
def test_names(name: str, kind: str, plain: str) -> None:
    assert file_kind(name) == (kind, plain)


def test_a_digest_is_one_only_in_its_place() -> None:
    assert digest_in(f"{ONE}-{SHA1}.gz") == SHA1
    assert digest_in(ONE) is None
    assert digest_in(f"{ONE}-{'z' * 40}") is None


def test_everything_is_put_where_it_belongs(tmp_path: Path) -> None:
    put(tmp_path, TWO, ONE + ".gz", ONE + ".tmp", "notes.txt", "old/x", "archive_status/y", size=7)
    put(tmp_path, TWO + ".partial", ONE + ".00000028.backup")
    (tmp_path / "00000002.history").write_text("1\t0/3000000\tno recovery target specified\n")
    found = scan_archive(tmp_path)
    assert list(found.segments) == [ONE, TWO]
    assert found.segments[ONE].ending == ".gz"
    assert found.segments[TWO].size == 7
    assert found.segments[TWO].path == tmp_path / TWO
    assert list(found.partials) == [TWO]
    assert list(found.backup_histories) == [ONE + ".00000028.backup"]
    assert [a.timeline for a in found.histories[2].ancestors] == [1]
    assert found.temporary == (ONE + ".tmp",)
    assert found.foreign == ("notes.txt", "old/")
    assert found.problems == ()


def test_an_archive_that_cannot_be_listed_raises(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        scan_archive(tmp_path / "nowhere")


def test_what_vanishes_or_is_no_file_is_no_segment(tmp_path: Path) -> None:
    (tmp_path / ONE).symlink_to(tmp_path / "gone")
    (tmp_path / "00000002.history").symlink_to(tmp_path / "gone")
    (tmp_path / TWO).mkdir()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    os.mkfifo(tmp_path / "000000010000000000000003")
    found = scan_archive(tmp_path)
    assert (found.segments, found.histories) == ({}, {})
    assert found.foreign == (TWO, "000000010000000000000003", "circle")
    assert found.problems == ()


def test_a_history_that_vanishes_is_no_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "00000002.history")

    def vanished(path: Path) -> None:
        raise FileNotFoundError(path)

    monkeypatch.setattr("pgrescue.wal.archive.open_decompressed", vanished)
    found = scan_archive(tmp_path)
    assert (found.histories, found.problems) == ({}, ())


def test_a_segment_that_links_to_itself_is_reported(tmp_path: Path) -> None:
    (tmp_path / ONE).symlink_to(tmp_path / ONE)
    found = scan_archive(tmp_path)
    assert found.segments == {}
    assert [(p.code, p.name) for p in found.problems] == [("unreadable", ONE)]


def test_links_are_followed(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", ONE, size=11)
    put(tmp_path / "archive", "x")
    (tmp_path / "archive" / ONE).symlink_to(tmp_path / "elsewhere" / ONE)
    assert scan_archive(tmp_path / "archive").segments[ONE].size == 11


@pytest.mark.parametrize("text", ["rubbish", "1\t123456789/0\tx\n", "3\t0/3000000\tx\n"])
def test_a_damaged_history_is_reported(tmp_path: Path, text: str) -> None:
    (tmp_path / "00000002.history").write_text(text)
    found = scan_archive(tmp_path)
    assert found.histories == {}
    assert [(p.code, p.name) for p in found.problems] == [("history_damaged", "00000002.history")]


def test_a_history_may_be_compressed_and_its_end_lost(tmp_path: Path) -> None:
    text = gzip.compress(b"1\t0/3000000\tx\n")
    (tmp_path / "00000002.history.gz").write_bytes(text)
    (tmp_path / "00000003.history.gz").write_bytes(text[:12])
    found = scan_archive(tmp_path)
    assert list(found.histories) == [2]
    assert [p.name for p in found.problems] == ["00000003.history"]


class TestTwice:
    """A segment that is there in two copies."""

    def test_the_plain_one_counts(self, tmp_path: Path) -> None:
        put(tmp_path, ONE + ".gz", ONE + ".zst", size=3)
        put(tmp_path, ONE, size=100)
        found = scan_archive(tmp_path)
        assert found.segments[ONE].path.name == ONE
        assert found.problems == ()

    def test_of_compressed_ones_that_which_fetch_wal_tries_first(self, tmp_path: Path) -> None:
        put(tmp_path, ONE + ".zst", ONE + ".lz4", ONE + ".xz")
        assert scan_archive(tmp_path).segments[ONE].ending == ".lz4"

    def test_the_others_are_known_as_copies(self, tmp_path: Path) -> None:
        put(tmp_path, ONE + ".zst", ONE, ONE + ".gz", ONE + ".partial.gz", ONE + ".partial")
        found = scan_archive(tmp_path)
        assert [file.path.name for file in found.copies] == [
            f"{ONE}.gz",
            f"{ONE}.partial.gz",
            f"{ONE}.zst",
        ]

    def test_the_plain_one_counts_even_from_a_sub_directory(self, tmp_path: Path) -> None:
        put(tmp_path, ONE + ".gz", f"{ONE[:16]}/{ONE}")
        assert scan_archive(tmp_path).segments[ONE].ending == ""

    @pytest.mark.parametrize(("size", "problems"), [(100, []), (99, ["duplicate"])])
    def test_sizes_that_differ_are_reported(
        self, tmp_path: Path, size: int, problems: list[str]
    ) -> None:
        put(tmp_path, ONE, size=100)
        put(tmp_path, f"{ONE[:16]}/{ONE}", size=size)
        found = scan_archive(tmp_path)
        assert [problem.code for problem in found.problems] == problems
        assert found.segments[ONE].path == tmp_path / ONE

    def test_digests_that_differ_are_reported(self, tmp_path: Path) -> None:
        below = ONE[:16]
        put(tmp_path, f"{below}/{ONE}-{SHA1}.gz", f"{below}/{ONE}-{OTHER_SHA1}.gz")
        (problem,) = scan_archive(tmp_path).problems
        assert (problem.code, problem.name) == ("duplicate", ONE)
        assert SHA1 in problem.message
        assert OTHER_SHA1 in problem.message


class TestSubdirectories:
    """Barman's and pgBackRest's."""

    def test_barman(self, tmp_path: Path) -> None:
        put(tmp_path, f"{ONE[:16]}/{ONE}", f"{ONE[:16]}/{TWO}", "xlog.db")
        put(tmp_path, f"{ONE[:16]}/deeper/x")
        (tmp_path / "00000002.history").write_text("1\t0/3000000\tx\n")
        found = scan_archive(tmp_path)
        assert list(found.segments) == [ONE, TWO]
        assert list(found.histories) == [2]
        assert found.foreign == (f"{ONE[:16]}/deeper/", "xlog.db")
        assert found.problems == ()

    def test_pgbackrest_from_the_stanza_or_from_the_cluster(self, tmp_path: Path) -> None:
        stanza = tmp_path / "main"
        put(stanza, f"15-1/{ONE[:16]}/{ONE}-{SHA1}.gz", "archive.info", "archive.info.copy")
        put(stanza, f"15-1/{ONE[:16]}/{TWO}.partial-{SHA1}.gz")
        put(stanza, f"15-1/{ONE[:16]}/{ONE}.00000028.backup")
        (stanza / "15-1" / "00000002.history").write_text("1\t0/3000000\tx\n")
        for path in (stanza, stanza / "15-1"):
            found = scan_archive(path)
            assert list(found.segments) == [ONE]
            assert found.segments[ONE].ending == ".gz"
            assert list(found.partials) == [TWO]
            assert list(found.backup_histories) == [ONE + ".00000028.backup"]
            assert list(found.histories) == [2]
            assert found.problems == ()
        assert scan_archive(stanza).path == stanza / "15-1"
        assert scan_archive(stanza).foreign == ("../archive.info", "../archive.info.copy")

    def test_the_wal_of_a_cluster_before_the_upgrade_is_not_mixed_in(self, tmp_path: Path) -> None:
        put(tmp_path, f"9.6-9/{ONE[:16]}/{ONE}", f"15-10/{TWO[:16]}/{TWO}")
        found = scan_archive(tmp_path)
        assert list(found.segments) == [TWO]
        assert [(p.code, p.name) for p in found.problems] == [("earlier_cluster", "../9.6-9/")]

    def test_one_that_vanishes_or_is_closed_hides_no_other(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        put(tmp_path, f"{ONE[:16]}/{ONE}", "0000000100000001/x", "0000000100000002/x")
        real = os.scandir

        def scandir(path: str) -> object:
            if path.endswith("1/"):
                raise FileNotFoundError(path)
            if path.endswith("2/"):
                raise PermissionError(13, "Permission denied", path)
            return real(path)

        monkeypatch.setattr("os.scandir", scandir)
        found = scan_archive(tmp_path)
        assert list(found.segments) == [ONE]
        assert [(p.code, p.name) for p in found.problems] == [("unreadable", "0000000100000002/")]


def test_names_of_every_segment_size_are_read(tmp_path: Path) -> None:
    for size in (1 << 20, 1 << 30):
        names = [SegmentId(n, 1).name(size) for n in (0x1_0000_0000 // size - 1, 12345)]
        put(tmp_path / str(size), *names)
        found = scan_archive(tmp_path / str(size))
        assert list(found.segments) == sorted(names)
        assert found.numbers(1, size) == [0x1_0000_0000 // size - 1, 12345]
