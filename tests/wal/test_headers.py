"""What headers and sizes of archived segments tell, with the archive of a real server."""

from __future__ import annotations

import gzip
import lzma
import shutil
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import lz4.frame
import pytest
import zstandard

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.wal.archive import ArchivedFile, WalArchive, scan_archive
from pgrescue.wal.headers import (
    ArchiveIdentity,
    check_headers,
    check_segment,
    identify_archive,
)
from pgrescue.wal.recovery_path import recovery_path
from pgrescue.wal.segment import SegmentId
from pgrescue.wal.timelines import archive_picture
from tests.support.cluster import Workspace

pytestmark = pytest.mark.server

SIZE = 1 << 20
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    ".gz": gzip.compress,
    ".lz4": lz4.frame.compress,
    ".zst": zstandard.ZstdCompressor().compress,
    ".xz": lzma.compress,
}


@dataclass(frozen=True, slots=True)
class Real:
    """A real archive of two timelines."""

    path: Path
    identity: ArchiveIdentity
    parent: str
    """The last segment but one before the fork."""
    child: str
    """The second timeline's first segment."""

    def content(self, name: str) -> bytes:
        """A segment's bytes."""
        return (self.path / name).read_bytes()


@pytest.fixture(scope="module")
def real(any_binaries: ServerBinaries) -> Iterator[Real]:
    """Segments of 1 MB on timeline 1, a recovery to its end, and some on timeline 2."""
    workspace = Workspace.make()
    try:
        sandbox = workspace.sandbox(any_binaries)
        sandbox.init(segment_size_mb=1)
        sandbox.start()
        for n in range(4):
            sandbox.sql(f"create table t{n} as select generate_series(1, 3000) as n")
            parent = sandbox.switch_wal()
        sandbox.sql("create table last as select 1")
        (identifier,) = sandbox.sql("select system_identifier from pg_control_system()")
        sandbox.stop("fast")
        with (sandbox.data / "postgresql.conf").open("a") as configuration:
            configuration.write(f'restore_command = \'cp "{sandbox.wal}/%f" "%p"\'\n')
        signal = sandbox.data / "recovery.signal"
        signal.touch()
        shutil.chown(signal, sandbox.account.uid, sandbox.account.gid)
        sandbox.start()
        while sandbox.sql("select pg_is_in_recovery()") != ["f"]:
            pass
        child = sandbox.switch_wal()
        sandbox.sql("create table after as select generate_series(1, 3000) as n")
        sandbox.switch_wal()
        sandbox.stop("fast")
        target = workspace.path / "copy"
        shutil.copytree(sandbox.wal, target)
        identity = ArchiveIdentity(SIZE, identifier, any_binaries.major)
        yield Real(target, identity, parent, child)
    finally:
        workspace.destroy()


def check(path: Path, real: Real, name: str | None = None) -> str | None:
    """The code of what is wrong with one file, as a segment of the real archive."""
    name = name or path.name[:24]
    identity = real.identity
    found = check_segment(
        ArchivedFile(name, str(path), 0), SIZE, identity.system_identifier, identity.major
    )
    assert found is None or found.name == name
    assert found is None or path.name in found.message
    return found.code if found else None


def patched(content: bytes, offset: int, layout: str, value: int) -> bytes:
    """With one field of its header changed."""
    changed = bytearray(content)
    struct.pack_into(layout, changed, offset, value)
    return bytes(changed)


def test_a_real_archive_with_a_fork_is_sound(real: Real) -> None:
    archive = scan_archive(real.path)
    assert identify_archive(archive) == real.identity
    picture = archive_picture(archive, SIZE)
    assert (picture.gaps, picture.problems) == ((), ())
    assert list(archive.partials) == [real.child.replace("2", "1", 1)]
    assert [(t.id, t.parent) for t in picture.timelines] == [(1, None), (2, 1)]
    assert picture.timelines[1].first_segment == real.child
    called: list[tuple[int, int]] = []
    identity = real.identity
    problems = check_headers(
        archive,
        [*archive.segments, "not there"],
        identity.segment_size,
        identity.system_identifier,
        identity.major,
        lambda done, total: called.append((done, total)),
    )
    assert problems == ()
    count = len(archive.segments) + 1
    assert called == [(n, count) for n in range(1, count + 1)]


def test_a_real_fork_begins_with_the_parents_timeline_in_its_header(real: Real) -> None:
    header = scan_archive(real.path).header(real.child)
    assert header is not None
    assert header.timeline == 1
    assert check(real.path / real.child, real) is None


def test_the_path_over_a_real_fork(real: Real) -> None:
    archive = scan_archive(real.path)
    start = SegmentId.parse(real.parent, SIZE).start(SIZE)
    path = recovery_path(archive, archive.histories[2], start, SIZE)
    assert path.steps[0].name == real.parent
    assert real.child in [step.name for step in path.steps]
    assert path.steps[-1].name == max(archive.segments)
    assert not path.fork_missing


@pytest.mark.parametrize("ending", COMPRESS)
def test_compressed_segments(real: Real, tmp_path: Path, ending: str) -> None:
    content = real.content(real.parent)
    path = tmp_path / (real.parent + ending)
    packed = COMPRESS[ending](content)
    path.write_bytes(packed)
    assert check(path, real) is None
    archive = scan_archive(tmp_path)
    assert identify_archive(archive) == real.identity
    for length in (len(packed) - 1, len(packed) // 2, 3, 0):
        path.write_bytes(packed[:length])
        assert check(path, real) in ("truncated", "not_wal"), length
    path.write_bytes(COMPRESS[ending](content[: SIZE // 2]))
    assert ending in (".lz4", ".xz") or check(path, real) == "truncated"
    path.write_bytes(content)
    assert check(path, real) == "not_wal"


@pytest.mark.parametrize("ending", COMPRESS)
def test_a_segment_in_several_frames_is_whole(real: Real, tmp_path: Path, ending: str) -> None:
    """As parallel compressors write them."""
    content, compress = real.content(real.parent), COMPRESS[ending]
    path = tmp_path / (real.parent + ending)
    path.write_bytes(compress(content[:300_000]) + compress(content[300_000:]))
    assert check(path, real) is None


def test_zstd_and_lz4_with_checksums_and_without_sizes(real: Real, tmp_path: Path) -> None:
    content = real.content(real.parent)
    path = tmp_path / (real.parent + ".zst")
    compressor = zstandard.ZstdCompressor(write_checksum=True, write_content_size=False)
    packed = compressor.compress(content)
    path.write_bytes(packed)
    assert check(path, real) is None
    path.write_bytes(packed[:-4])
    assert check(path, real) == "truncated"
    path = tmp_path / (real.parent + ".lz4")
    packed = lz4.frame.compress(
        content, content_checksum=True, block_checksum=True, store_size=False
    )
    path.write_bytes(packed)
    assert check(path, real) is None
    path.write_bytes(packed[:-4])
    assert check(path, real) == "truncated"


def test_a_cut_segment(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    for length in (0, 20, 8192, SIZE - 1, SIZE + 1):
        path.write_bytes((real.content(real.parent) + b"x")[:length])
        assert check(path, real) == "truncated"


def test_zeros_and_rubbish(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    path.write_bytes(bytes(SIZE))
    assert check(path, real) == "zeroed"
    path.write_bytes(b"x" * SIZE)
    assert check(path, real) == "not_wal"


@pytest.mark.parametrize("ending", COMPRESS)
def test_compression_without_an_ending_is_told(real: Real, tmp_path: Path, ending: str) -> None:
    """As Barman stores it."""
    path = tmp_path / real.parent
    path.write_bytes(COMPRESS[ending](real.content(real.parent)))
    found = check_segment(ArchivedFile(real.parent, path, 0), SIZE)
    assert found is not None
    assert found.code == "not_wal"
    assert "compressed with" in found.message


def test_another_cluster(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    path.write_bytes(patched(real.content(real.parent), 24, "<Q", 4711))
    assert check(path, real) == "foreign"
    assert check_segment(ArchivedFile(real.parent, path, 0), SIZE) is None


def test_another_major_version(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    for magic in (0xD101, 0xD098, 0xD11F):
        path.write_bytes(patched(real.content(real.parent), 0, "<H", magic))
        assert check(path, real) == "other_major"


def test_another_segment_size(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    for size in (2 << 20, 1 << 30):
        path.write_bytes(patched(real.content(real.parent), 32, "<I", size))
        assert check(path, real) == "other_segment_size"


def test_a_segment_under_another_name(real: Real, tmp_path: Path) -> None:
    """Old content under a later name is how a server keeps segments for later use."""
    here = SegmentId.parse(real.parent, SIZE)
    for number, expected in ((here.number + 5, "recycled"), (here.number - 1, "misnamed")):
        path = tmp_path / SegmentId(number, 1).name(SIZE)
        shutil.copy(real.path / real.parent, path)
        assert check(path, real) == expected


def test_a_timeline_above_the_names_is_misnamed(real: Real, tmp_path: Path) -> None:
    path = tmp_path / real.parent
    path.write_bytes(patched(real.content(real.parent), 4, "<I", 2))
    assert check(path, real) == "misnamed"
    later = tmp_path / real.parent.replace("00000001", "00000003", 1)
    shutil.copy(path, later)
    assert check(later, real) is None


def test_one_that_is_gone_or_cannot_be_read(real: Real, tmp_path: Path) -> None:
    assert check(tmp_path / real.parent, real) == "vanished"
    (tmp_path / real.parent).mkdir()
    assert check(tmp_path / real.parent, real) == "unreadable"


def _copies(real: Real, target: Path, count: int, foreign: set[int]) -> WalArchive:
    content = real.content(real.parent)
    other = patched(content, 24, "<Q", 4711)
    for n in range(count):
        (target / SegmentId(n, 1).name(SIZE)).write_bytes((other if n in foreign else content)[:64])
    return scan_archive(target)


def test_one_foreign_file_does_not_decide(real: Real, tmp_path: Path) -> None:
    for foreign in ({0}, {19}, {0, 10, 19}):
        assert identify_archive(_copies(real, tmp_path, 20, foreign)) == real.identity


def test_readable_headers_are_looked_for_in_between(real: Real, tmp_path: Path) -> None:
    archive = _copies(real, tmp_path, 40, set())
    for n, name in enumerate(archive.segments):
        if n != 7:
            (tmp_path / name).write_bytes(b"")
    assert identify_archive(archive) == real.identity
    (tmp_path / SegmentId(7, 1).name(SIZE)).unlink()
    assert identify_archive(archive) is None


def test_an_empty_archive_has_no_identity(tmp_path: Path) -> None:
    assert identify_archive(scan_archive(tmp_path)) is None
