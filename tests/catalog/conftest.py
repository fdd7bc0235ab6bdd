"""Real backups of real servers, made once for all tests of the catalog."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pgrescue.demo.account import run_tool
from pgrescue.demo.binaries import Origin, ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import PgRescueError
from pgrescue.wal.archive import WalArchive, scan_archive

VARIANTS: dict[str, tuple[str, ...]] = {
    "tar-none": ("-Ft",),
    "tar-gzip-client": ("-Ft", "-z"),
    "tar-gzip-server": ("-Ft", "--compress=server-gzip"),
    "tar-lz4-client": ("-Ft", "--compress=client-lz4"),
    "tar-lz4-server": ("-Ft", "--compress=server-lz4"),
    "tar-zstd-client": ("-Ft", "--compress=client-zstd"),
    "tar-zstd-server": ("-Ft", "--compress=server-zstd"),
    "tar-fetch": ("-Ft", "-z", "-X", "fetch"),
    "tar-no-wal": ("-Ft", "-z", "-X", "none"),
    "tar-no-manifest": ("-Ft", "-z", "--no-manifest"),
    "plain": ("-Fp",),
    "plain-fetch": ("-Fp", "-X", "fetch"),
    "plain-no-wal": ("-Fp", "-X", "none"),
    "plain-no-manifest": ("-Fp", "--no-manifest"),
}
"""Name of a backup (its label too) to the options that made it."""


@dataclass(frozen=True, slots=True)
class Source:
    """A cluster with one tablespace, and backups of it by variant's name."""

    sandbox: Sandbox
    backups: dict[str, Path]
    started: dict[str, float]
    """Seconds since the epoch by the server's clock, just before each backup."""
    ended: dict[str, float]
    tablespace: Path
    tablespace_oid: int
    system_identifier: str
    """As `pg_controldata` prints it."""

    @property
    def archive(self) -> WalArchive:
        """The WAL archive as it is now."""
        return scan_archive(self.sandbox.wal)


def _epoch(sandbox: Sandbox) -> float:
    return float(sandbox.sql("select extract(epoch from clock_timestamp())")[0])


def _system_identifier(sandbox: Sandbox) -> str:
    argv = (sandbox.binaries.program("pg_controldata"), str(sandbox.data))
    output = run_tool(sandbox.account, argv, cwd=sandbox.directory)
    found = re.search(r"Database system identifier:\s+(\d+)", output)
    assert found is not None
    return found[1]


def _take(sandbox: Sandbox, tablespace: Path, variants: dict[str, tuple[str, ...]]) -> Source:
    backups, started, ended = {}, {}, {}
    for name, options in variants.items():
        moved = (f"--tablespace-mapping={tablespace}={sandbox.backups / (name + '.ts')}",)
        more = moved if "-Fp" in options else ()
        before = _epoch(sandbox)
        try:
            backups[name] = sandbox.base_backup(name, f"--label={name}", *options, *more)
        except PgRescueError as error:
            if "support" in error.cause and "build" in error.cause:
                continue
            raise
        started[name], ended[name] = before, _epoch(sandbox)
    return Source(
        sandbox=sandbox,
        backups=backups,
        started=started,
        ended=ended,
        tablespace=tablespace,
        tablespace_oid=int(sandbox.sql("select oid from pg_tablespace where spcname='fast'")[0]),
        system_identifier=_system_identifier(sandbox),
    )


def _filled(directory: Path, binaries: ServerBinaries, settings: dict[str, str]) -> Sandbox:
    sandbox = Sandbox(directory, binaries)
    sandbox.init(segment_size_mb=1, settings=settings)
    sandbox.start()
    return sandbox


@pytest.fixture(scope="session")
def _home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="pgrescue-test-catalog-", dir="/tmp"))
    home.chmod(0o755)
    try:
        yield home
    finally:
        shutil.rmtree(home)


@pytest.fixture(scope="session")
def source(_home: Path, binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Source]:
    """Every variant of a backup, of an installed server where there is one.

    Its log times are those of a zone whose abbreviation (IST) means several offsets.
    """
    binaries = binaries_by_origin.get("installed") or binaries_by_origin["embedded"]
    if binaries.major < 15:
        pytest.skip("server-side compression needs PostgreSQL 15")
    sandbox = _filled(_home / "source", binaries, {"log_timezone": "Asia/Kolkata"})
    try:
        tablespace = sandbox.create_tablespace("fast")
        sandbox.sql("create table t tablespace fast as select generate_series(1, 5000) as n")
        yield _take(sandbox, tablespace, VARIANTS)
    finally:
        sandbox.destroy()


@pytest.fixture(scope="session")
def chain(_home: Path, binaries_by_origin: dict[Origin, ServerBinaries]) -> Iterator[Source]:
    """`full`, `first` and `second`: a full backup and two incremental ones, one on the other."""
    binaries = max(binaries_by_origin.values(), key=lambda found: found.major)
    if binaries.major < 17:
        pytest.skip("incremental backups need PostgreSQL 17")
    sandbox = _filled(_home / "chain", binaries, {"summarize_wal": "on"})
    try:
        tablespace = sandbox.create_tablespace("fast")
        sandbox.sql("create table t tablespace fast as select generate_series(1, 5000) as n")
        variants: dict[str, tuple[str, ...]] = {"full": ("-Ft",)}
        for parent, child in (("full", "first"), ("first", "second")):
            manifest = sandbox.backups / parent / "backup_manifest"
            variants[child] = ("-Ft", f"--incremental={manifest}")
        yield _take(sandbox, tablespace, variants)
    finally:
        sandbox.destroy()


Copy = Callable[[str], Path]


@pytest.fixture
def copy_of(source: Source, tmp_path: Path) -> Copy:
    """Makes a copy of a backup that a test may damage, in a root of its own."""

    def make(name: str) -> Path:
        if name not in source.backups:
            pytest.skip(f"these server binaries cannot make {name}")
        target = tmp_path / "root" / name
        shutil.copytree(source.backups[name], target, symlinks=True)
        return target

    return make
