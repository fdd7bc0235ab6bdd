"""An archive that is cut anywhere is told as cut, by its name, never as a defect."""

from __future__ import annotations

import gzip
import io
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pgrescue.catalog.entries import SourceFile
from pgrescue.errors import StepFailed
from pgrescue.postgres.manifest import Manifest, ManifestFile
from pgrescue.run.unpack import Destination, Unpacker, tar_entries
from tests.run.made_plan import make_plan


def archive() -> bytes:
    """A directory and two files, one of many blocks whose content hardly compresses."""
    content = bytes((number * number) % 251 for number in range(60_000))
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, data in (("PG_VERSION", b"15\n"), ("base/1/1259", content)):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


WHOLE = {"base.tar": archive(), "base.tar.gz": gzip.compress(archive(), mtime=0)}


def unpack(path: Path, root: Path) -> None:
    unpacker = Unpacker(make_plan(str(root)).work, None, lambda *_: None)
    root.mkdir()
    unpacker.write_all(tar_entries(path), Destination(root, "data", ""))


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_one_is_written(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(WHOLE[name])
    unpack(tmp_path / name, tmp_path / "data")
    assert (tmp_path / "data/PG_VERSION").read_bytes() == b"15\n"
    assert (tmp_path / "data/base/1/1259").stat().st_size == 60_000


@pytest.mark.parametrize("name", WHOLE)
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_one_that_was_cut_is_named(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    place = tmp_path_factory.mktemp("cut")
    # Behind the last 1024 bytes, the end marker, tar pads with zeroes that nobody misses.
    end = len(WHOLE[name]) if name.endswith(".gz") else 62_000
    (place / name).write_bytes(WHOLE[name][: data.draw(st.integers(1, end - 1))])
    with pytest.raises(StepFailed) as caught:
        unpack(place / name, place / "data")
    assert caught.value.title in (
        f"The archive {name} ends too early.",
        f"The archive {name} is damaged.",
    )
    assert caught.value.next_steps


def test_a_device_that_fails_is_told_as_that(tmp_path: Path) -> None:
    """/proc/self/mem gives an input/output error at its beginning."""
    (tmp_path / "base.tar").symlink_to("/proc/self/mem")
    with pytest.raises(StepFailed, match=r"base.tar cannot be read: Input/output error") as caught:
        unpack(tmp_path / "base.tar", tmp_path / "data")
    assert "dmesg" in caught.value.next_steps[0]


def manifest_of(*files: tuple[str, int]) -> Manifest:
    """One without checksums, as `--manifest-checksums=NONE` makes it."""
    listed = {name: ManifestFile(name, size, None, None, None) for name, size in files}
    return Manifest(1, None, listed, ())


def test_a_file_that_got_shorter_while_it_was_read_is_refused(tmp_path: Path) -> None:
    unpacker = Unpacker(make_plan("/x").work, manifest_of(("base/1", 10)), lambda *_: None)
    entry = SourceFile("base/1", False, [b"12345"], 10)
    with pytest.raises(StepFailed, match="it has 5 bytes, the manifest says 10"):
        unpacker.write_all(iter([entry]), Destination(tmp_path, "data", ""))


def test_a_backup_that_lacks_files_is_not_complete(tmp_path: Path) -> None:
    unpacker = Unpacker(make_plan("/x").work, manifest_of(("1", 0), ("2", 0)), lambda *_: None)
    unpacker.write_all(iter([SourceFile("1", False, [], 0)]), Destination(tmp_path, "data", ""))
    with pytest.raises(StepFailed, match="lacks 1 of its files") as refused:
        unpacker.check_complete()
    assert "such as 2" in refused.value.cause


def test_a_directory_by_the_name_of_a_file_that_goes_elsewhere_is_refused(tmp_path: Path) -> None:
    """Such as pg_control, which waits beside the data directory: nothing would be in its place."""
    unpacker = Unpacker(make_plan("/x").work, None, lambda *_: None)
    to_data = Destination(tmp_path, "data", "", lambda _: tmp_path / "elsewhere")
    with pytest.raises(StepFailed, match="it is a directory and should be a file"):
        unpacker.write_all(iter([SourceFile("global/pg_control", True, [])]), to_data)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", WHOLE)
def test_one_that_was_cut_within_a_file_is_named_though_a_manifest_misses_the_rest(
    tmp_path: Path, name: str
) -> None:
    path, manifest = tmp_path / name, manifest_of(("PG_VERSION", 3), ("base/1/1259", 60_000))
    path.write_bytes(WHOLE[name][: len(WHOLE[name]) // 2])
    unpacker = Unpacker(make_plan("/x").work, manifest, lambda *_: None)
    with pytest.raises(StepFailed, match=f"The archive {name} ends too early"):
        unpacker.write_all(tar_entries(path), Destination(tmp_path / "data", "data", ""))
