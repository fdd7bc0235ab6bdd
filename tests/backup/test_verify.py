"""Verification finds every kind of damage and names the file, whatever form the backup has."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.model import Problem
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.postgres.backup_label import parse_backup_label
from pgrescue.verify.backup import verify_backup
from pgrescue.verify.model import FileProblem, Verification
from tests.support.backup_facts import backup
from tests.support.backups import BULK, listed, verdict_of_postgres, verified
from tests.support.cluster import Workspace
from tests.support.damage import (
    add_file,
    archive_of,
    change_file,
    copied,
    cut,
    flip_in,
    flipped,
    wal_inside,
)
from tests.support.source import Source

pytestmark = pytest.mark.server

FORMS: dict[str, tuple[str, ...]] = {
    "plain": ("-Fp",),
    "tar": ("-Ft",),
    "gzip": ("-Ft", "--gzip"),
    "fetch": ("-Ft", "-Xfetch"),
    "zstd": ("-Ft", "--compress=server-zstd"),
    "lz4": ("-Ft", "--compress=server-lz4"),
}
EVERY_DAY: dict[str, Origin] = {
    "plain": "embedded",
    "gzip": "embedded",
}
ORIGINS: tuple[Origin, ...] = ("installed", "embedded")
CASES = [
    pytest.param(
        (origin, form),
        id=f"{origin}-{form}",
        marks=() if EVERY_DAY.get(form) == origin else pytest.mark.slow,
    )
    for origin in ORIGINS
    for form in FORMS
    if origin == "installed" or form not in ("zstd", "lz4")
]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Whole backups of one cluster, by form, and where two of its files are."""

    source: Source
    backups: dict[str, Path]
    table: str
    """A table's file in the data directory, as the manifest has it."""
    elsewhere: str
    """One in a tablespace."""

    def copy(self, form: str) -> Path:
        """A backup of that form, to be damaged; a plain one's tablespace is shared."""
        to = self.source.sandbox.backups / "copies" / form
        if to.exists():
            shutil.rmtree(to)
        return copied(self.backups[form], to)


Shelves = Callable[[Origin], Shelf]


@pytest.fixture(scope="module")
def shelves(binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Shelves]:
    """The shelf of each origin, filled at its first use."""
    made: dict[Origin, Shelf] = {}
    workspaces: list[Workspace] = []

    def of(origin: Origin) -> Shelf:
        if origin not in binaries_by_origin:
            pytest.skip(f"there are no {origin} PostgreSQL server binaries here")
        if origin not in made:
            workspaces.append(Workspace.make())
            made[origin] = filled(workspaces[-1], binaries_by_origin[origin])
        return made[origin]

    try:
        yield of
    finally:
        for workspace in workspaces:
            workspace.destroy()


def filled(workspace: Workspace, binaries: ServerBinaries) -> Shelf:
    """Take a backup of each form; only what can be had."""
    source = Source.make(workspace, binaries)
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql(BULK.format(3000))
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n; checkpoint")
    table, elsewhere = source.sandbox.sql(
        "select pg_relation_filepath(c) from unnest(array['bulk', 'elsewhere']::regclass[]) c"
    )
    taken = {}
    for form, options in FORMS.items():
        if binaries.origin == "embedded" and form in ("zstd", "lz4"):
            continue
        copy = source.sandbox.tablespaces / "copies" / form
        mapping = (f"-T{where}={copy}",) if form == "plain" else ()
        if mapping:
            copy.mkdir(parents=True)
            shutil.chown(copy, source.sandbox.account.uid, source.sandbox.account.gid)
            shutil.chown(copy.parent, source.sandbox.account.uid, source.sandbox.account.gid)
        taken[form] = source.sandbox.base_backup(form, *options, *mapping)
    return Shelf(source, taken, table, elsewhere)


def check(path: Path, *, must_carry_wal: bool = False) -> Verification:
    """The verdict on what is at a path."""
    return verify_backup(read_backup(path), must_carry_wal=must_carry_wal)


def assert_named(found: Verification, code: str, name: str) -> None:
    """The damage, and nothing else, is found: by that code, at that file, in words."""
    assert not found.ok
    assert not found.is_proved
    assert [(problem.code, problem.path) for problem in found.problems] == [(code, name)]
    assert name.rpartition("/")[2] in found.problems[0].message


def assert_found(path: Path, code: str, name: str, shelf: Shelf) -> None:
    """The damage is named, and PostgreSQL's own tool agrees that there is some."""
    assert_named(check(path), code, name)
    assert_postgres_agrees(path, shelf, whole=False)


def assert_postgres_agrees(path: Path, shelf: Shelf, *, whole: bool) -> None:
    """Where pg_verifybackup can read the form, its verdict is the same."""
    sandbox = shelf.source.sandbox
    for item in (path, *path.rglob("*")):
        if not item.is_symlink():
            shutil.chown(item, sandbox.account.uid, sandbox.account.gid)
    assert verdict_of_postgres(sandbox.binaries, sandbox, path) in (whole, None)


@pytest.mark.parametrize("case", CASES)
def test_whole_one(shelves: Shelves, case: tuple[Origin, str]) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    found = check(path)
    assert found.is_proved, found.problems
    manifest = json.loads((path / "backup_manifest").read_text())
    assert found.files >= len(manifest["Files"])
    assert found.bytes >= sum(file["Size"] for file in manifest["Files"])
    assert_postgres_agrees(path, shelf, whole=True)


@pytest.mark.parametrize("place", ["table", "elsewhere"])
@pytest.mark.parametrize("case", CASES)
def test_one_byte_of_a_file(shelves: Shelves, case: tuple[Origin, str], place: str) -> None:
    """Inside an archive that is whole by itself: only the manifest can tell."""
    shelf = shelves(case[0])
    name = shelf.table if place == "table" else shelf.elsewhere
    path = shelf.copy(case[1])
    change_file(path, name, lambda content: flip_in(content, len(content) // 2))
    try:
        assert_found(path, "checksum", name, shelf)
    finally:
        if case[1] == "plain" and place == "elsewhere":
            change_file(path, name, lambda content: flip_in(content, len(content) // 2))


@pytest.mark.parametrize("case", CASES)
def test_shorter_file(shelves: Shelves, case: tuple[Origin, str]) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    change_file(path, shelf.table, lambda content: content[:-1])
    assert_found(path, "size", shelf.table, shelf)


@pytest.mark.parametrize("case", CASES)
def test_removed_file(shelves: Shelves, case: tuple[Origin, str]) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    change_file(path, shelf.table, lambda _content: None)
    assert_found(path, "missing", shelf.table, shelf)


@pytest.mark.parametrize("case", CASES)
def test_added_file(shelves: Shelves, case: tuple[Origin, str]) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    name = f"{Path(shelf.table).parent}/77777777"
    add_file(path, name, b"not of this cluster")
    assert_found(path, "extra", name, shelf)


@pytest.mark.parametrize("case", [case for case in CASES if "plain" not in str(case.id)])
@pytest.mark.parametrize("share", [0.0, 0.5, 0.999])
def test_archive_that_was_cut_off(shelves: Shelves, case: tuple[Origin, str], share: float) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    (base,) = path.glob("base.tar*")
    cut(base, share)
    found = check(path)
    assert not found.ok
    assert any(base.name in problem.message for problem in found.problems), found.problems
    assert_postgres_agrees(path, shelf, whole=False)


@pytest.mark.parametrize(
    "case", [case for case in CASES if str(case.id).endswith(("gzip", "zstd", "lz4"))]
)
def test_bad_byte_in_a_compressed_archive(shelves: Shelves, case: tuple[Origin, str]) -> None:
    """Found by the decompression, or by the checksum of the file that it hits."""
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    found = archive_of(path, shelf.elsewhere)
    assert found is not None
    for archive in (next(path.glob("base.tar*")), found[0]):
        offset = archive.stat().st_size // 2
        flipped(archive, offset)
        assert not check(path).ok, archive
        flipped(archive, offset)
    assert check(path).ok


@pytest.mark.parametrize("case", CASES)
def test_damaged_wal(shelves: Shelves, case: tuple[Origin, str]) -> None:
    """The manifest has no word on WAL: every record's own checksum is looked at."""
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    first = wal_inside(path)[0]
    label = parse_backup_label(label_of(path))
    offset = label.checkpoint_lsn % (1 << 20)
    change_file(path, first, lambda content: flip_in(content, offset + 30))
    assert_named(check(path), "wal", first)
    if case[1] == "plain":  # of other forms pg_verifybackup looks at no WAL
        assert_postgres_agrees(path, shelf, whole=False)


@pytest.mark.parametrize("case", CASES)
def test_removed_wal(shelves: Shelves, case: tuple[Origin, str]) -> None:
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    (name,) = wal_inside(path)
    change_file(path, name, lambda _content: None)
    assert_named(check(path, must_carry_wal=True), "wal", name)
    if archive_of(path, name) == (path / "base.tar", name) or case[1] == "plain":
        assert check(path).ok, "it looks like one that leaves its WAL to the archive"
    else:
        assert_named(check(path), "wal", name)


def label_of(path: Path) -> str:
    """The text of backup_label."""
    kept: list[bytes] = []

    def look(content: bytes) -> bytes:
        kept.append(content)
        return content

    change_file(path, "backup_label", look)
    return kept[0].decode()


@pytest.mark.parametrize("case", CASES)
def test_damaged_manifest(shelves: Shelves, case: tuple[Origin, str]) -> None:
    """Its own checksum guards it: a lie in it is not believed."""
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    manifest = path / "backup_manifest"
    text = manifest.read_bytes()
    for changed in (
        text.replace(b'"Size": 3,', b'"Size": 4,', 1),
        text[: len(text) // 2],
        b"",
        b"{}",
    ):
        assert changed != text
        manifest.write_bytes(changed)
        found = check(path)
        assert not found.ok
        assert any("backup_manifest" in problem.message for problem in found.problems)
    assert_postgres_agrees(path, shelf, whole=False)


@pytest.mark.parametrize("case", CASES)
def test_without_a_manifest(shelves: Shelves, case: tuple[Origin, str]) -> None:
    """It can be read, but nothing is proved; what is damaged by itself is still found."""
    shelf = shelves(case[0])
    path = shelf.copy(case[1])
    (path / "backup_manifest").unlink()
    found = check(path)
    assert [problem.code for problem in found.problems] == ["no_manifest"]
    assert found.ok
    assert not found.is_proved
    archive = next(iter(path.glob("base.tar*")), None)
    if archive is not None:
        cut(archive, 0.7)
        assert not check(path).ok


def test_what_the_command_says(shelves: Shelves) -> None:
    """In words and as JSON, with an exit code for cron; the catalog remembers what was proved."""
    shelf = shelves("embedded")
    workspace = shelf.source.workspace
    path = shelf.copy("tar")
    (known,) = [one for one in listed(workspace) if one["path"] == str(path)]
    assert verified(workspace, known["id"])["ok"]
    (again,) = [one for one in listed(workspace) if one["path"] == str(path)]
    assert again["verified_at"] is not None
    change_file(path, shelf.table, lambda content: flip_in(content, 8192))
    said = verified(workspace, known["id"])
    assert said["ok"] is False
    assert [(one["code"], one["path"]) for one in said["problems"]] == [("checksum", shelf.table)]
    text = workspace.run("verify", known["id"])
    assert text.returncode == 1
    assert "DAMAGED: 1 problem" in text.stdout
    assert shelf.table in text.stdout
    (damaged,) = [one for one in listed(workspace) if one["path"] == str(path)]
    assert damaged["verified_at"] is None, "what was verified was another state of it"
    missing = workspace.run("verify", "nothing-like-it", "--json")
    assert missing.returncode == 2


def test_what_could_not_be_read_is_not_called_damaged(tmp_path: Path) -> None:
    """Who may not look at a backup learns nothing of it; a good one must not be thrown away."""
    closed = backup(
        path=str(tmp_path), details=None, problems=(Problem("unreadable", "Permission denied."),)
    )
    found = verify_backup(closed)
    assert [problem.code for problem in found.problems] == ["unreadable"]
    assert found.is_only_unread
    assert not found.ok
    assert found.damage(()) is None
    torn = FileProblem("base/5/1259", "checksum", "It differs.")
    assert not replace(found, problems=(*found.problems, torn)).is_only_unread
