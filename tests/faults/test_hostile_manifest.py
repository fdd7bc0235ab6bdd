"""Manifests that are too large, broken or lie: refused with a reason, soon, in little memory."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pgrescue.errors import InvalidFormat, StepFailed
from pgrescue.postgres import manifest as manifests
from pgrescue.postgres.manifest import parse_manifest, read_manifest
from tests.support.hostile_backup import Scene, listed_files, scene, write_entries

pytestmark = pytest.mark.faults

ENTRY = b'{"Path":"base/1/%d","Size":8192,"Checksum-Algorithm":"CRC32C","Checksum":"00000000"}'
MEMORY = 2 << 30


@pytest.fixture
def place() -> Iterator[Scene]:
    with scene() as made:
        yield made


def entries(*changed: dict[str, object]) -> bytes:
    """The honest entries, with others behind them."""
    honest = [{"Path": name, "Size": len(data)} for name, data in listed_files().items()]
    return ",\n".join(map(json.dumps, [*honest, *changed])).encode()


def write_many(path: Path, count: int) -> None:
    """A manifest of so many entries, right by itself."""
    write_entries(path, b",\n".join(ENTRY % number for number in range(count)))


def limited() -> None:
    """Memory that a small machine has."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def look_in_little_memory(place: Scene) -> str:
    """What the catalog says of the manifest, in a process with bounded memory."""
    code = (
        "import sys; from pathlib import Path\n"
        "from pgrescue.catalog.basebackup import read_backup\n"
        "for p in read_backup(Path(sys.argv[1])).problems: print(p.code, p.message)"
    )
    completed = subprocess.run(
        (sys.executable, "-c", code, str(place.backup)),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=limited,
    )
    assert completed.returncode == 0, completed.stderr
    return completed.stdout


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(b'{"Path":"a","Size":0}', id="short"),
        pytest.param(ENTRY % 1234567, id="usual", marks=pytest.mark.slow),
    ],
)
def test_ten_million_entries(place: Scene, entry: bytes) -> None:
    """Short ones stay below the limit of bytes, but not below that of files."""
    place.make_tar()
    write_entries(place.backup / "backup_manifest", b",\n".join([entry] * 10_000_000))
    began = time.monotonic()
    told = look_in_little_memory(place)
    assert "manifest_damaged" in told
    assert "larger than that of any cluster" in told
    assert time.monotonic() - began < 30
    verification = place.verify()
    assert not verification.ok
    assert "larger than" in " ".join(problem.message for problem in verification.problems)
    with place.nothing_outside_changes(), pytest.raises(StepFailed, match="manifest"):
        place.extract()
    assert time.monotonic() - began < 60


@pytest.mark.slow
def test_as_many_as_are_read(place: Scene) -> None:
    """Up to the limit it is read, in the memory that is promised."""
    place.make_tar()
    write_many(place.backup / "backup_manifest", manifests.MAX_FILES - 10)
    assert "manifest_mismatch" in look_in_little_memory(place)


BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "cannot be read"),
    "no JSON": (b"\x00\xff" * 100, "cannot be read"),
    "deep": (b"[" * 5_000_000, "cannot be read"),
    "deep and unknown": (
        b'{"x":' + b"[" * 1_000_000 + b"]" * 1_000_000 + b',"Files":[]}',
        "cannot be read",
    ),
    "a number": (b"17", "cannot be read"),
    "a list": (b"[]", "cannot be read"),
    "no entries": (b'{"PostgreSQL-Backup-Manifest-Version":1}', "cannot be read"),
    "a huge number": (
        b'{"PostgreSQL-Backup-Manifest-Version":' + b"9" * 100_000 + b"}",
        "cannot be read",
    ),
}
LIES: dict[str, tuple[dict[str, object], str]] = {
    "negative": ({"Path": "base/1/7", "Size": -1}, "Size"),
    "no size": ({"Path": "base/1/7"}, "Size"),
    "a word for a size": ({"Path": "base/1/7", "Size": "many"}, "Size"),
    "8 EiB": ({"Path": "base/1/7", "Size": 1 << 63}, "Size"),
    "no path": ({"Size": 1}, "no path"),
    "a list for a path": ({"Path": ["a"], "Size": 1}, "Path"),
    "bad hexadecimal": ({"Encoded-Path": "0g", "Size": 1}, "hexadecimal"),
    "absolute": ({"Path": "/etc/passwd", "Size": 1}, "not inside"),
    "parent": ({"Path": "base/../../x", "Size": 1}, "not inside"),
    "encoded parent": ({"Encoded-Path": "2e2e2f78", "Size": 1}, "not inside"),
    "NUL": ({"Path": "base\0x", "Size": 1}, "not inside"),
    "twice": ({"Path": "PG_VERSION", "Size": 3}, "twice"),
    "unknown checksum": (
        {"Path": "base/1/7", "Size": 1, "Checksum-Algorithm": "NONSENSE", "Checksum": ""},
        "enum",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_json(place: Scene, name: str) -> None:
    place.make_tar()
    data, reason = BROKEN[name]
    (place.backup / "backup_manifest").write_bytes(data)
    assert_refused(place, reason)


@pytest.mark.parametrize("name", LIES)
def test_entry_that_cannot_be(place: Scene, name: str) -> None:
    """The manifest's own checksum is right: whoever makes the entries makes that, too."""
    place.make_tar()
    entry, reason = LIES[name]
    write_entries(place.backup / "backup_manifest", entries(entry))
    assert_refused(place, reason)


def test_more_bytes_than_there_can_be(place: Scene) -> None:
    """Numbers stay within what JSON and disks hold."""
    place.make_tar()
    many = [{"Path": f"base/7/{n}", "Size": 1 << 50} for n in range(2000)]
    write_entries(place.backup / "backup_manifest", entries(*many))
    assert_refused(place, "bytes together")


def assert_refused(place: Scene, reason: str) -> None:
    """By all three, for that reason, without a trace of it elsewhere."""
    backup = place.look()
    (problem,) = [one for one in backup.problems if one.code == "manifest_damaged"]
    assert reason in problem.message
    assert not backup.usable
    assert len(problem.message) < 1000
    codes = [one.code for one in place.verify().problems]
    assert "manifest" in codes
    with place.nothing_outside_changes(), pytest.raises(StepFailed, match="manifest"):
        place.extract()
    assert place.written_bytes() == 0


def test_what_is_no_file_is_not_waited_for(place: Scene) -> None:
    os.mkfifo(place.backup / "backup_manifest")
    with pytest.raises(InvalidFormat, match="cannot be read"):
        read_manifest(place.backup)


def test_odd_names_are_read(place: Scene) -> None:
    """Names that are not UTF-8 are encoded (`Encoded-Path`), and are names all the same."""
    path = place.backup / "backup_manifest"
    write_entries(path, entries({"Encoded-Path": "626173652fff0a", "Size": 1}))
    assert "base/\udcff\n" in parse_manifest(path.read_bytes()).files
