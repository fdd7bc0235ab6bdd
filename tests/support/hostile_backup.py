"""Backups of a few files as a server sends them, and what somebody has smuggled into them.

No server is needed: catalog, verification and extraction look at names, sizes and checksums.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.model import Backup
from pgrescue.plan.model import BackupPart, TablespaceWork
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.extract import extract
from pgrescue.run.executors.wal import place_wal
from pgrescue.run.journal import Journal
from pgrescue.run.run_directory import RunDirectory
from pgrescue.verify.backup import verify_backup
from pgrescue.verify.model import Verification
from tests.run.made_plan import make_plan
from tests.support.files import Entry, differences, file_tree

Where = Literal["base", "tablespace", "wal"]
Content = dict[str, bytes | None]
"""Names below a directory to contents; None: a directory."""

OID = 16384
VERSION = "PG_15_202209061"
SEGMENT = "000000010000000000000003"
LABEL = f"""\
START WAL LOCATION: 0/3000028 (file {SEGMENT})
CHECKPOINT LOCATION: 0/3000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 12:00:00 UTC
LABEL: nightly
START TIMELINE: 1
"""
TABLE = "base/1/1259"
TABLESPACE_TABLE = f"{VERSION}/5/16385"


def base_content() -> Content:
    """A data directory, as far as it matters."""
    return {
        "backup_label": LABEL.encode(),
        "tablespace_map": f"{OID} /srv/tablespace\n".encode(),
        "PG_VERSION": b"15\n",
        "postgresql.auto.conf": b"# nothing\n",
        "base": None,
        "base/1": None,
        TABLE: b"t" * 8192,
        "global": None,
        "pg_tblspc": None,
        "pg_wal": None,
        "pg_wal/archive_status": None,
        "global/pg_control": b"c" * 8192,
    }


def tablespace_content() -> Content:
    """The one tablespace's directory."""
    return {VERSION: None, f"{VERSION}/5": None, TABLESPACE_TABLE: b"e" * 8192}


@dataclass(frozen=True, slots=True)
class Member:
    """One entry of a tar file, as its header and its data say."""

    header: bytes
    data: bytes = b""


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to be hostile: members for an archive, and a word of the reason for refusing it."""

    members: Callable[[Where, Path], list[Member]]
    reason: str
    places: tuple[Where, ...] = ("base", "tablespace", "wal")


def regular(name: str, data: bytes, size: int | None = None) -> Member:
    """A file, whose size may be a lie."""
    return Member(_header(name, tarfile.REGTYPE, len(data) if size is None else size), data)


def _header(name: str, kind: bytes, size: int = 0, link: str = "") -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode, info.mtime = kind, link, 0o600, 1795348800
    info.size = max(size, 0)
    header = bytearray(info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")[-512:])
    if size < 0 or size >= 8**11:  # GNU's base-256
        header[124:136] = (b"\xff" if size < 0 else b"\x80") + (size % (1 << 88)).to_bytes(11)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header)


def _inside(where: Where, name: str) -> str:
    return {"base": "base/1/", "tablespace": f"{VERSION}/5/", "wal": ""}[where] + name


def _known(where: Where) -> tuple[str, bytes]:
    """A file that is there already."""
    if where == "base":
        return TABLE, b"t" * 8192
    return (TABLESPACE_TABLE, b"e" * 8192) if where == "tablespace" else (SEGMENT, b"w" * 8192)


def _climbing(where: Where, outside: Path) -> str:
    return _inside(where, "../" * 12 + str(outside)[1:] + "/pwned")


def _special(kind: bytes, link: str = "") -> Callable[[Where, Path], list[Member]]:
    return lambda where, _: [Member(_header(_inside(where, "odd"), kind, 0, link))]


def _through_link(where: Where, outside: Path) -> list[Member]:
    link = Member(_header(_inside(where, "way"), tarfile.SYMTYPE, 0, str(outside)))
    return [link, regular(_inside(where, "way/pwned"), b"pwned")]


def _hard_link(where: Where, outside: Path) -> list[Member]:
    return [Member(_header(_inside(where, "way"), tarfile.LNKTYPE, 0, f"{outside}/precious"))]


KINDS: dict[str, Kind] = {
    "absolute": Kind(lambda _, out: [regular(f"{out}/pwned", b"pwned")], "leads out"),
    "parent": Kind(lambda at, out: [regular(_climbing(at, out), b"pwned")], "leads out"),
    "parent directory": Kind(
        lambda at, out: [Member(_header(_climbing(at, out), tarfile.DIRTYPE))], "leads out"
    ),
    "link out": Kind(_through_link, "a symbolic link to"),
    "hard link": Kind(_hard_link, "a hard link to"),
    "character device": Kind(_special(tarfile.CHRTYPE), "a device"),
    "block device": Kind(_special(tarfile.BLKTYPE), "a device"),
    "fifo": Kind(_special(tarfile.FIFOTYPE), "a FIFO"),
    "pax header": Kind(_special(b"x"), "of type 'x'"),
    "sparse file": Kind(_special(b"S"), "of type 'S'"),
    "twice": Kind(lambda at, _: [regular(*_known(at))], "twice"),
    "file and directory": Kind(
        lambda at, _: [Member(_header(_known(at)[0], tarfile.DIRTYPE))], "twice"
    ),
    "twice behind dots": Kind(
        lambda at, _: [regular(f"././{_known(at)[0]}", _known(at)[1])], "twice"
    ),
    "spelled otherwise": Kind(
        lambda at, _: [regular(_known(at)[0].replace("/", "//./"), b"")],
        "spelled",
        ("base", "tablespace"),
    ),
    "8 EiB": Kind(lambda at, _: [regular(_inside(at, "9"), b"", (1 << 63) - 512)], "bytes"),
    "less than nothing": Kind(lambda at, _: [regular(_inside(at, "9"), b"", -512)], "bytes"),
    "not in the manifest": Kind(
        lambda at, _: [regular(_inside(at, "9"), b"pwned")], "manifest", ("base", "tablespace")
    ),
    "not a letter": Kind(
        lambda at, _: [regular(_inside(at, "\udcff\x1b[2J\n"), b"pwned")],
        "manifest",
        ("base", "tablespace"),
    ),
    "beside the version": Kind(
        lambda _at, _: [regular("authorized_keys", b"pwned")], "outside", ("tablespace",)
    ),
    "directory beside the version": Kind(
        lambda _at, _: [Member(_header("ours.d", tarfile.DIRTYPE))], "outside", ("tablespace",)
    ),
}


def members_of(content: Mapping[str, bytes | None]) -> list[Member]:
    """Honest members."""
    return [
        Member(_header(name, tarfile.DIRTYPE)) if data is None else regular(name, data)
        for name, data in content.items()
    ]


def write_tar(path: Path, members: list[Member]) -> None:
    """An archive with a proper end, compressed if its name says so."""
    blocks = [one.header + one.data + bytes(-len(one.data) % 512) for one in members]
    data = b"".join(blocks) + bytes(1024)
    path.write_bytes(gzip.compress(data, 1) if path.suffix == ".gz" else data)


def write_manifest(path: Path, files: Mapping[str, bytes]) -> None:
    """A manifest that is right by itself."""
    entries = [
        {
            "Path": name,
            "Size": len(data),
            "Last-Modified": "2026-11-22 12:00:00 GMT",
            "Checksum-Algorithm": "SHA256",
            "Checksum": hashlib.sha256(data).hexdigest(),
        }
        for name, data in files.items()
    ]
    write_entries(path, ",\n".join(map(json.dumps, entries)).encode())


def write_entries(path: Path, entries: bytes) -> None:
    """A manifest of these entries, with a checksum of its own that is right."""
    head = b'{ "PostgreSQL-Backup-Manifest-Version": 1,\n"Files": [\n' + entries + b"\n],\n"
    ranges = b'{ "Timeline": 1, "Start-LSN": "0/3000028", "End-LSN": "0/3000100" }'
    text = head + b'"WAL-Ranges": [\n' + ranges + b"\n],\n"
    sealed = text + b'"Manifest-Checksum": "' + hashlib.sha256(text).hexdigest().encode() + b'"}\n'
    path.write_bytes(sealed)


def listed_files() -> dict[str, bytes]:
    """What an honest manifest lists."""
    files = {name: data for name, data in base_content().items() if data is not None}
    files |= {
        f"pg_tblspc/{OID}/{name}": data
        for name, data in tablespace_content().items()
        if data is not None
    }
    return files


class Scene:
    """A place for one backup, somebody else's files beside it, and a data directory to fill."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.backup = root / "backups" / "b"
        self.backup.mkdir(parents=True)
        self.outside = root / "outside"
        self.outside.mkdir()
        (self.outside / "precious").write_text("not ours")
        self.data = root / "srv" / "main"
        self.data.parent.mkdir()
        self.tablespace = root / "ts"

    def make_tar(
        self,
        where: Where | None = None,
        extra: list[Member] | None = None,
        *,
        ending: str = "",
        manifest: bool = True,
    ) -> None:
        """A tar backup, with extra members in one of its archives."""
        contents: dict[str, Content] = {
            "base": base_content(),
            "tablespace": tablespace_content(),
            "wal": {SEGMENT: b"w" * 8192},
        }
        names = {"base": "base", "tablespace": str(OID), "wal": "pg_wal"}
        for part, content in contents.items():
            members = members_of(content) + (extra or [] if part == where else [])
            write_tar(self.backup / f"{names[part]}.tar{ending}", members)
        if manifest:
            write_manifest(self.backup / "backup_manifest", listed_files())

    def make_plain(self, *, manifest: bool = True) -> Path:
        """A plain backup; returns where its tablespace's files are."""
        _write_files(self.backup, base_content())
        (self.backup / "tablespace_map").unlink()
        (self.backup / "pg_wal" / SEGMENT).write_bytes(b"w" * 8192)
        copy = self.root / "backups" / "b.tablespaces"
        copy.mkdir()
        _write_files(copy, tablespace_content())
        (self.backup / "pg_tblspc" / str(OID)).symlink_to(copy)
        if manifest:
            files = listed_files()
            del files["tablespace_map"]
            write_manifest(self.backup / "backup_manifest", files)
        return copy

    def again(self) -> Scene:
        """The same, ready for another run: what the last one wrote is gone."""
        for path in (self.data, self.tablespace, self.root / "run"):
            shutil.rmtree(path, ignore_errors=True)
        shutil.rmtree(self.data.with_name("main.pgrescue-test-wal"), ignore_errors=True)
        return self

    def look(self, *, whole: bool = False) -> Backup:
        """What the catalog says."""
        return read_backup(self.backup, whole)

    def verify(self) -> Verification:
        """What the verification says."""
        return verify_backup(self.look(whole=True))

    def extract(self, *, planned: int | None = None) -> RestoreExecution:
        """The steps of a run that write files; raises what they raise."""
        execution = self._execution(planned)
        extract(execution)
        place_wal(execution)
        return execution

    def _execution(self, planned: int | None) -> RestoreExecution:
        base = next(iter(self.backup.glob("base.tar*")), None)
        ending = base.name.removeprefix("base") if base else ""
        archive = f"{OID}{ending}" if base else os.path.realpath(self.backup / f"pg_tblspc/{OID}")
        part = BackupPart(
            id="b",
            path=str(self.backup),
            format="tar" if base else "plain",
            base_archive=base.name if base else None,
            wal_archive=f"pg_wal{ending}" if base else None,
            wal_inside="tar" if base else "plain",
            has_manifest=(self.backup / "backup_manifest").exists(),
            tablespaces=(TablespaceWork(OID, archive, str(self.tablespace)),),
        )
        plan = make_plan(str(self.data))
        work = replace(plan.work, chain=(part,), restore_bytes=planned, wal_segment_size=1 << 20)
        directory = RunDirectory(self.root / "run")
        directory.path.mkdir()
        execution = RestoreExecution(
            replace(plan, work=work), directory, Journal(directory.journal_path)
        )
        execution.make_directory(work.staging)
        return execution

    @contextmanager
    def nothing_outside_changes(self) -> Iterator[None]:
        """Whatever happens, only the data directory, its staging and its tablespace are written."""
        before = self._elsewhere()
        yield
        assert differences(before, self._elsewhere()) == []

    def written_bytes(self) -> int:
        """Bytes of everything that was restored."""
        places = (self.data.parent, self.tablespace)
        files = [path for place in places for path in place.rglob("*") if path.is_file()]
        return sum(path.lstat().st_size for path in files)

    def _elsewhere(self) -> dict[str, Entry]:
        return file_tree(self.root, ignore=("main", "main.pgrescue-test-wal", "ts", "run"))


@contextmanager
def scene() -> Iterator[Scene]:
    """A scene with short paths: names in a tar have 100 bytes."""
    root = Path(tempfile.mkdtemp(prefix="hb-", dir="/tmp"))
    try:
        yield Scene(root)
    finally:
        shutil.rmtree(root)


def _write_files(root: Path, content: Content) -> None:
    for name, data in content.items():
        if data is None:
            (root / name).mkdir(exist_ok=True)
        else:
            (root / name).write_bytes(data)
