"""Rows of the system catalogs: out of pages, out of WAL records, and out of garbage."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.heap_page import page_tuples
from pgrescue.postgres.system_catalogs import (
    NamedRow,
    PgClassRow,
    pg_class_row,
    pg_class_row_from_wal,
    pg_database_row,
    pg_database_row_from_wal,
    pg_namespace_row,
    pg_namespace_row_from_wal,
    pg_tablespace_row,
)
from pgrescue.postgres.versions import NEWEST, OLDEST
from tests.conftest import SandboxFactory
from tests.support.raw_records import RawBlock, RawRecord, current_lsn, raw_records

SEGMENT_SIZE = 1 << 20
MAJORS = st.integers(OLDEST, NEWEST)


def _text(row: PgClassRow | None) -> str:
    assert row is not None
    fields = (row.oid, row.name, row.namespace, row.filenode, row.tablespace, row.toast)
    rest = ("t" if row.is_shared else "f", row.persistence, row.kind)
    rows = "" if row.rows is None else f"{row.rows:g}"
    return "|".join(map(str, (*fields, *rest, rows)))


def _columns(major: int) -> str:
    counted = "reltuples >= 0" if major >= 14 else "reltuples > 0 or relpages <> 0"
    return (
        "oid, relname, relnamespace, relfilenode, reltablespace, reltoastrelid, relisshared,"
        f" relpersistence, relkind, case when {counted} then reltuples end"
    )


def _blocks(records: list[RawRecord], operation: str, filenode: str) -> list[RawBlock]:
    return [
        block
        for record in records
        if record.operation.startswith(operation) and record.rmgr.startswith("Heap")
        for block in record.blocks
        if block.relation[2] == int(filenode) and block.data
    ]


def _filenode(sandbox: Sandbox, name: str) -> str:
    return sandbox.sql(f"select pg_relation_filenode('{name}')")[0]


@pytest.mark.server
def test_rows_in_inserts_are_those_of_the_server(
    server_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(server_binaries, segment_size_mb=1)
    # Without images of whole pages every insert carries its tuple.
    sandbox.sql("alter system set full_page_writes = off; select pg_reload_conf(); checkpoint")
    sandbox.sql("select pg_sleep(0.2); checkpoint")
    start, major = current_lsn(sandbox), server_binaries.major
    sandbox.sql('create table "naïve ""t""" (n int primary key, v text)')
    sandbox.sql("create unlogged table u (n int); create view w as select 1 as x; create schema s")
    sandbox.sql("create sequence s.q; create materialized view s.m as select 1 as x")
    sandbox.sql("create database d", timeout=60)
    records = raw_records(sandbox, start, SEGMENT_SIZE)
    found = [
        pg_class_row_from_wal(block.data, major)
        for block in _blocks(records, "INSERT", _filenode(sandbox, "pg_class"))
    ]
    assert all(found)
    assert [
        f"{row.oid}|{row.name}|{row.kind}|{row.persistence}|{row.filenode}"
        for row in sorted(filter(None, found), key=lambda row: row.oid)
        if not row.name.startswith("pg_temp_")  # of the materialized view's first filling
    ] == sandbox.sql(
        "select oid, relname, relkind, relpersistence,"
        " case relkind when 'm' then oid else relfilenode end"
        " from pg_class where oid >= 16384 order by oid"
    )
    (schema,) = _blocks(records, "INSERT", _filenode(sandbox, "pg_namespace"))
    named = pg_namespace_row_from_wal(schema.data, major)
    (oid,) = sandbox.sql("select oid from pg_namespace where nspname = 's'")
    assert named == NamedRow(int(oid), "s")
    inserted = _blocks(records, "INSERT", _filenode(sandbox, "pg_database"))
    (database,) = (
        row for block in inserted if (row := pg_database_row_from_wal(block.data, major))
    )
    (line,) = sandbox.sql("select oid, datname, dattablespace from pg_database where datname = 'd'")
    assert f"{database.oid}|{database.name}|{database.tablespace}" == line


@pytest.mark.server
def test_rows_in_pages_are_those_of_the_server(
    server_binaries: ServerBinaries, sandbox_factory: SandboxFactory
) -> None:
    sandbox = sandbox_factory(server_binaries, segment_size_mb=1)
    major = server_binaries.major
    sandbox.create_tablespace("x")
    # A copy: the file of the catalog itself is in the relation map.
    sandbox.sql("create table my_class (like pg_class)")
    path = sandbox.directory / "rows"
    sandbox.sql(f"copy (select * from pg_class order by oid) to '{path}'")
    sandbox.sql(f"copy my_class from '{path}'")
    expected = sandbox.sql(f"select {_columns(major)} from my_class order by oid")
    sandbox.sql("checkpoint")
    (path_of,) = sandbox.sql("select pg_relation_filepath('my_class')")
    pages = (sandbox.data / path_of).read_bytes()
    in_pages = [
        _text(pg_class_row(found.data, major))
        for start in range(0, len(pages), 8192)
        for found in page_tuples(pages[start : start + 8192])
    ]
    assert sorted(in_pages) == sorted(expected)
    global_pages = (sandbox.data / "global" / _filenode(sandbox, "pg_tablespace")).read_bytes()
    spaces = [pg_tablespace_row(found.data, major) for found in page_tuples(global_pages[:8192])]
    lines = sandbox.sql("select oid, spcname from pg_tablespace order by oid")
    assert [f"{row.oid}|{row.name}" for row in spaces if row] == lines


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=600), MAJORS)
def test_garbage_never_raises(data: bytes, major: int) -> None:
    for parse in (pg_class_row, pg_namespace_row, pg_database_row, pg_tablespace_row):
        parse(data, major)
    for from_wal in (pg_class_row_from_wal, pg_namespace_row_from_wal, pg_database_row_from_wal):
        from_wal(data, major)


def test_random_bytes_are_hardly_ever_rows() -> None:
    chance = random.Random(1)
    taken = 0
    for _ in range(2000):
        data = chance.randbytes(240)
        assert pg_class_row(data, 18) is None
        taken += pg_namespace_row(data, 18) is not None
    assert taken < 20


def test_a_name_that_is_not_utf8_is_told_byte_by_byte() -> None:
    data = (2200).to_bytes(4, "little") + b"caf\xe9\n".ljust(64, b"\0")
    assert pg_namespace_row(data, 18) == NamedRow(2200, "caf\\xe9\n")
    assert pg_namespace_row(data[:67], 18) is None
