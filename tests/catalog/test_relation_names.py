"""Names read out of a backup are those that the server would give with SQL."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.relation_names import ClusterNames, RelationName, read_names
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.errors import InvalidFormat, PgRescueError

pytestmark = pytest.mark.server

VARIANTS: dict[str, tuple[str, ...]] = {
    "plain": ("-Fp",),
    "tar": ("-Ft", "-X", "fetch"),
    "gzip": ("-Ft", "-z", "-X", "none"),
    "lz4": ("-Ft", "--compress=client-lz4", "-X", "none"),
    "zstd": ("-Ft", "--compress=server-zstd", "-X", "none"),
}
HOSTILE = 'a;"b\n\x01 é'

SETUP = """
create schema sales;
create table sales.orders (n int primary key, v text);
insert into sales.orders select n, n::text from generate_series(1, 1000) n;
create unlogged table sales.scratch (n int, v text);
create view sales.v as select 1 as x;
create sequence sales.q;
create table sales.parts (n int) partition by range (n);
create table sales.part partition of sales.parts for values from (0) to (10);
create materialized view sales.m as select n from sales.orders;
create table elsewhere (n int, v text) tablespace fast;
create index on elsewhere (n) tablespace fast;
create table stays (n int);
create table gone (n int);
analyze;
"""

ALTERED = """
vacuum full sales.orders;
truncate sales.m_base;
alter table stays rename to renamed;
begin; create table never (n int); rollback;
begin; drop table stays2; rollback;
begin; savepoint s; create table never_sub (n int); rollback to s; create table sub (n int); commit;
drop table gone;
"""


@dataclass(frozen=True, slots=True)
class Truth:
    """A server and backups of it; nothing but names changed between them."""

    sandbox: Sandbox
    backups: dict[str, Path]
    expected: dict[str, list[str]]
    """Rows of every database by its name."""
    gone: tuple[int, int]
    """OIDs of two tables that were dropped, from the database that holds everything."""


def _query(major: int) -> str:
    counted = "reltuples >= 0" if major >= 14 else "reltuples > 0 or relpages <> 0"
    return f"""select c.oid, n.nspname, replace(relname, chr(10), '~'), relkind,
        coalesce(pg_relation_filenode(c.oid), 0), coalesce(nullif(reltablespace, 0), dattablespace),
        relpersistence, case when {counted} then reltuples end, reltoastrelid
        from pg_class c join pg_namespace n on n.oid = relnamespace,
        pg_database d where d.datname = current_database() order by c.oid"""


def _row(relation: RelationName) -> str:
    rows = "" if relation.rows is None else f"{relation.rows:g}"
    fields = (relation.oid, relation.schema, relation.name.replace("\n", "~"), relation.kind)
    rest = (relation.filenode, relation.tablespace, relation.persistence, rows, relation.toast)
    return "|".join(map(str, (*fields, *rest)))


def _live(names: ClusterNames, database: str) -> list[str]:
    (found,) = (found for found in names.databases.values() if found.name == database)
    assert found.problem is None
    live = [relation for relation in found.relations.values() if relation.live]
    return [_row(relation) for relation in sorted(live, key=lambda relation: relation.oid)]


def _expected(sandbox: Sandbox) -> dict[str, list[str]]:
    query = _query(sandbox.binaries.major)
    names = sandbox.sql("select datname from pg_database where datallowconn")
    return {name: sandbox.sql(query, name) for name in names}


def _back_up(sandbox: Sandbox, prefix: str, *variants: str) -> dict[str, Path]:
    """Backups by the variants that this build can make; tablespaces of plain ones are mapped."""
    taken = {}
    for variant in variants:
        name, more = f"{prefix}-{variant}", []
        if variant == "plain":
            for path in sandbox.tablespaces.iterdir():
                more.append(f"-T{path}={sandbox.backups / name}.{path.name}")
        try:
            taken[variant] = sandbox.base_backup(name, *VARIANTS[variant], *more)
        except PgRescueError:
            if variant not in ("lz4", "zstd"):
                raise
    return taken


def _fill(sandbox: Sandbox) -> tuple[int, int]:
    # As long as this one is open, no version of a row that was there before is cleared away.
    sandbox.sql("begin; select txid_current(); prepare transaction 'hold'")
    sandbox.create_tablespace("fast")
    sandbox.create_tablespace("slow")
    sandbox.sql(SETUP)
    quoted = HOSTILE.replace('"', '""')
    sandbox.sql(f'create table "{quoted}" (n int); create table stays2 (n int)')
    sandbox.sql("create table sales.m_base (v text); create table dropped_too (n int)")
    sandbox.sql("create database apart tablespace fast")
    sandbox.sql(
        "create table own (n int, v text); create table in_slow () tablespace slow", "apart"
    )
    gone = sandbox.sql(
        "select oid from pg_class where relname in ('gone', 'dropped_too') order by 1"
    )
    sandbox.sql(ALTERED)
    sandbox.sql("drop table dropped_too")
    sandbox.sql("create database doomed; drop database doomed")
    return int(gone[0]), int(gone[1])


@pytest.fixture(scope="module")
def truth(server_binaries: ServerBinaries) -> Iterator[Truth]:
    """One server, filled, with a backup of every variant that it can make."""
    home = Path(tempfile.mkdtemp(prefix="pgrescue-test-names-", dir="/tmp"))
    home.chmod(0o755)
    sandbox = Sandbox(home / "main", server_binaries)
    try:
        sandbox.init(
            segment_size_mb=1, settings={"autovacuum": "off", "max_prepared_transactions": "1"}
        )
        sandbox.start()
        gone = _fill(sandbox)
        expected = _expected(sandbox)
        yield Truth(sandbox, _back_up(sandbox, "all", *VARIANTS), expected, gone)
    finally:
        sandbox.destroy()
        shutil.rmtree(home)


def _read(path: Path) -> ClusterNames:
    return read_names(read_backup(path))


def _taken(truth: Truth, variant: str) -> Path:
    if variant not in truth.backups:
        pytest.skip(f"this build cannot make {variant}")
    return truth.backups[variant]


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_equal_what_sql_says(truth: Truth, variant: str) -> None:
    names = _read(_taken(truth, variant))
    assert set(truth.expected) < {found.name for found in names.databases.values()}
    assert "doomed" not in {found.name for found in names.databases.values()}
    for database, rows in truth.expected.items():
        assert _live(names, database) == rows
    spaces = truth.sandbox.sql("select oid, spcname from pg_tablespace order by oid")
    assert [f"{oid}|{name}" for oid, name in sorted(names.tablespaces.items())] == spaces


def test_what_is_gone_or_never_was_is_not_live(truth: Truth) -> None:
    names = _read(truth.backups["tar"])
    (oid,) = truth.sandbox.sql("select oid from pg_database where datname = 'postgres'")
    relations = names.databases[int(oid)].relations
    by_name = {relation.name: relation for relation in relations.values()}
    dropped = [relations[gone] for gone in truth.gone]
    assert [(found.schema, found.name, found.live) for found in dropped] == [
        ("public", "gone", False),
        ("public", "dropped_too", False),
    ]
    assert not by_name["never"].live
    assert not by_name["never_sub"].live
    assert by_name["sub"].live
    assert by_name["renamed"].live
    assert by_name["stays2"].live
    assert "stays" not in by_name
    assert by_name[HOSTILE].live


def test_relations_are_found_by_file(truth: Truth) -> None:
    names = _read(truth.backups["plain"])
    (line,) = truth.sandbox.sql(
        "select d.oid, c.oid, dattablespace, pg_relation_filenode(c.oid)"
        " from pg_class c, pg_database d where datname = current_database() and relname = 'orders'"
    )
    database, oid, tablespace, filenode = map(int, line.split("|"))
    orders = names.relation(database, oid)
    assert orders is not None
    assert (orders.schema, orders.name) == ("sales", "orders")
    assert names.by_filenode(database, tablespace, filenode) == orders
    assert names.by_filenode(database, tablespace + 1, filenode) is None
    (shared,) = truth.sandbox.sql("select pg_relation_filenode('pg_database')")
    assert names.pg_database_filenode == int(shared)
    found = names.by_filenode(0, 1664, int(shared))
    assert found is not None
    assert found.name == "pg_database"
    assert names.relation(99, oid) is names.by_filenode(99, 1663, 1) is None
    (mapped,) = truth.sandbox.sql("select pg_relation_filenode('pg_class')")
    assert names.databases[database].pg_class_filenode == int(mapped)


def test_catalogs_that_moved_are_followed(truth: Truth, monkeypatch: pytest.MonkeyPatch) -> None:
    """After this, the server is no longer what its first backups are of."""
    sandbox = truth.sandbox
    sandbox.sql("alter table in_slow set tablespace fast", "apart")
    sandbox.sql("alter database apart set tablespace slow")
    sandbox.sql("create database late; vacuum full pg_class; vacuum full pg_database")
    sandbox.sql("vacuum full pg_class; vacuum full pg_namespace; vacuum full pg_class", "apart")
    sandbox.sql("vacuum full pg_namespace; vacuum full pg_class", "late")
    (moved,) = sandbox.sql("select pg_relation_filenode('pg_class') <> 1259")
    assert moved == "t"
    backups = _back_up(sandbox, "moved", "plain", "gzip")
    expected = _expected(sandbox)
    for path in backups.values():
        names = _read(path)
        for database, rows in expected.items():
            assert _live(names, database) == rows
    (path_of,) = sandbox.sql("select pg_relation_filepath('pg_class')")
    before, first = _read(backups["plain"]), backups["plain"] / path_of
    _split(first)
    monkeypatch.setattr("pgrescue.catalog.catalog_files._SMALLEST_SEGMENT", first.stat().st_size)
    assert _read(backups["plain"]) == before


def _split(first: Path) -> None:
    """Make two segments of one, as if a segment were only so big."""
    pages = first.read_bytes()
    half = (len(pages) // 2 // 8192 + 1) * 8192
    assert len(pages) - half < half < len(pages)
    first.with_name(f"{first.name}.1").write_bytes(pages[half:])
    first.write_bytes(pages[:half])


def test_all_segments_of_a_catalog_are_read(truth: Truth, tmp_path: Path) -> None:
    copy = _spoiled(truth.backups["plain"], tmp_path / "copy")
    before = _read(copy)
    for first in copy.glob("base/*/1259"):
        _split(first)
    assert _read(copy) == before


def _spoiled(backup: Path, target: Path) -> Path:
    shutil.copytree(backup, target, symlinks=True)
    return target


def test_the_cache_answers_until_the_backup_changes(truth: Truth, tmp_path: Path) -> None:
    copy = _spoiled(truth.backups["gzip"], tmp_path / "copy")
    cache = tmp_path / "state" / "names"
    backup = read_backup(copy)
    names = read_names(backup, cache)
    assert names == read_names(backup)
    before = (copy / "base.tar.gz").stat()
    (copy / "base.tar.gz").write_bytes(bytes(before.st_size))
    os.utime(copy / "base.tar.gz", ns=(before.st_atime_ns, before.st_mtime_ns))
    began = time.perf_counter()
    again = read_names(backup, cache)
    assert time.perf_counter() - began < 0.3
    assert again == names
    (kept,) = cache.iterdir()
    kept.write_bytes(kept.read_bytes()[:-20])
    with pytest.raises(InvalidFormat):
        read_names(backup, cache)
    shutil.copyfile(truth.backups["gzip"] / "base.tar.gz", copy / "base.tar.gz")
    assert read_names(backup, cache) == names  # and the damaged file is replaced
    os.utime(copy / "base.tar.gz", ns=(1, 1))
    (copy / "base.tar.gz").write_bytes(b"")
    with pytest.raises(InvalidFormat):
        read_names(backup, cache)


def test_a_cache_that_cannot_be_written_costs_no_names(truth: Truth, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    backup = read_backup(truth.backups["plain"])
    assert read_names(backup, tmp_path / "file" / "names") == read_names(backup)


def test_damaged_backups_are_refused_with_a_reason(truth: Truth, tmp_path: Path) -> None:
    tar = _spoiled(truth.backups["gzip"], tmp_path / "tar")
    whole = read_backup(tar)
    os.truncate(tar / "base.tar.gz", (tar / "base.tar.gz").stat().st_size // 2)
    with pytest.raises(InvalidFormat, match=r"base\.tar\.gz"):
        read_names(whole)
    shutil.rmtree(tar)
    with pytest.raises(PgRescueError, match="cannot be read"):
        read_names(whole)
    with pytest.raises(InvalidFormat, match="cannot be read"):
        read_names(replace(whole, details=None))
    with pytest.raises(PgRescueError, match="incremental"):
        read_names(replace(whole, kind="incremental"))
    plain = _spoiled(truth.backups["plain"], tmp_path / "plain")
    backup = read_backup(plain)
    (plain / "global" / "pg_filenode.map").write_bytes(bytes(512))
    with pytest.raises(InvalidFormat, match=r"pg_filenode\.map"):
        read_names(backup)
    shutil.rmtree(plain / "global")
    with pytest.raises(InvalidFormat, match=r"pg_filenode\.map"):
        read_names(backup)


def test_damage_in_one_database_leaves_the_others_their_names(truth: Truth, tmp_path: Path) -> None:
    whole = _read(truth.backups["plain"])
    by_name = {found.name: found.oid for found in whole.databases.values()}
    plain = _spoiled(truth.backups["plain"], tmp_path / "plain")
    (plain / "base" / str(by_name["template0"]) / "pg_filenode.map").write_bytes(b"x")
    shutil.rmtree(plain / "base" / str(by_name["template1"]))
    chance = random.Random(3)
    pg_class = plain / "base" / str(by_name["postgres"]) / "1259"
    data = bytearray(pg_class.read_bytes())
    for page in range(1, len(data) // 8192, 2):
        data[page * 8192 : (page + 1) * 8192] = chance.randbytes(8192)
    pg_class.write_bytes(data[:-100])
    names = _read(plain)
    assert "damaged" in (names.databases[by_name["template0"]].problem or "")
    assert "not in the backup" in (names.databases[by_name["template1"]].problem or "")
    left = names.databases[by_name["postgres"]].relations
    assert 10 < len(left) < len(whole.databases[by_name["postgres"]].relations)
    assert names.relation(0, 1262) is not None
