"""Chains of incremental backups (from PostgreSQL 17 on) restore like full ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support.by_hand import run_by_hand, script_of
from tests.support.cluster import Workspace
from tests.support.command import finished
from tests.support.source import Source

pytestmark = pytest.mark.server

WHERE = "select pg_tablespace_location(oid) from pg_tablespace where oid >= 16384"
SUMMARIZED = {"summarize_wal": "on"}
Chain = tuple[tuple[str, ...], ...]
FORMS: dict[str, Chain] = {
    "plain": (("-Fp",), ("-Fp",), ("-Fp",)),
    "tar": (("-Ft",), ("-Ft",), ("-Ft",)),
    "tar-gzip": (("-Ft", "-z"), ("-Ft", "-z"), ("-Ft", "-z")),
    "mixed": (("-Ft", "-z"), ("-Fp",), ("-Ft", "-Xn")),
}


@pytest.fixture
def source(binaries_by_origin: dict[Origin, ServerBinaries], workspace: Workspace) -> Source:
    """A server that can take incremental backups."""
    newest = max(binaries_by_origin.values(), key=lambda binaries: binaries.major)
    if newest.major < 17:
        pytest.skip("incremental backups came with PostgreSQL 17")
    return Source.make(workspace, newest, settings=SUMMARIZED)


def take_chain(source: Source, forms: Chain) -> list[Path]:
    """A full backup and incremental ones, with changes to old and new pages between them."""
    taken: list[Path] = []
    source.sandbox.sql(
        "create table bulk as select n, 0 as version from generate_series(1, 9999) n"
    )
    for number, options in enumerate(forms):
        parent = (f"--incremental={taken[-1]}/backup_manifest",) if taken else ()
        taken.append(source.backup(f"chain{number}", *options, *parent).path)
        source.sandbox.sql(f"update bulk set version = {number + 1} where n % 7 = {number}")
        source.log.mark(f"after backup {number}")
    source.sandbox.switch_wal()
    return taken


def with_mapped_tablespace(source: Source, form: str, where: Path) -> Chain:
    """Plain backups on the same machine must put the tablespace somewhere else."""
    if form != "plain":
        return FORMS[form]
    return tuple(
        (*options, f"-T{where}={source.sandbox.backups / f'space{number}'}")
        for number, options in enumerate(FORMS[form])
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "form",
    [
        "plain",
        pytest.param("mixed", marks=pytest.mark.slow),
        pytest.param("tar", marks=pytest.mark.slow),
        pytest.param("tar-gzip", marks=pytest.mark.slow),
    ],
)
def test_chain_in_a_clone(source: Source, form: str) -> None:
    take_chain(source, FORMS[form])
    digest = "select count(*), sum(version), md5(string_agg(n::text, ',' order by n)) from bulk"
    truth = source.sandbox.sql(digest)
    with source.clone("--backup", source.id_of("chain2")) as clone:
        assert clone.status["state"] == "succeeded"
        assert clone.rows() == source.log.expected("latest")
        assert clone.sql(digest) == truth
    with source.clone("--backup", source.id_of("chain1"), "--to", "immediate") as clone:
        assert tuple(clone.rows()) == source.backups["chain1"].rows


@pytest.mark.parametrize("form", [pytest.param("plain", marks=pytest.mark.slow), "tar-gzip"])
def test_chain_in_place_with_tablespace(source: Source, form: str) -> None:
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    take_chain(source, with_mapped_tablespace(source, form, where))
    source.log.mark("only in pg_wal")
    source.sandbox.crash()
    last = finished(source.restore("--backup", source.id_of("chain2")))
    assert last["state"] == "succeeded"
    assert source.place.rows() == source.log.expected("latest")
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert source.place.sql(WHERE) == [str(where)]
    source.workspace.run("undo", "--yes", check=True)
    assert source.place.rows() == source.log.expected("latest")
    assert source.place.sql("select n from elsewhere") == ["1"]


@pytest.mark.slow
@pytest.mark.parametrize("form", ["plain", "tar-gzip"])
def test_chain_by_hand_with_tablespace(source: Source, form: str) -> None:
    where = source.sandbox.create_tablespace("fast")
    source.sandbox.sql("create table elsewhere tablespace fast as select 1 as n")
    take_chain(source, with_mapped_tablespace(source, form, where))
    source.log.mark("only in pg_wal")
    run_by_hand(script_of(source, "--backup", source.id_of("chain2")))
    assert source.place.rows() == source.log.expected("latest")
    assert source.place.sql("select n from elsewhere") == ["1"]
    assert source.place.sql(WHERE) == [str(where)]


@pytest.mark.slow
def test_newest_member_is_chosen_by_itself(source: Source) -> None:
    take_chain(source, FORMS["tar-gzip"])
    last = finished(source.restore())
    assert last["state"] == "succeeded"
    assert any(step["id"] == "combine" for step in last["steps"])
    assert source.place.rows() == source.log.expected("latest")


def test_missing_member_is_refused(source: Source) -> None:
    taken = take_chain(source, FORMS["plain"])
    last = source.id_of("chain2")
    taken[1].rename(source.workspace.path / "elsewhere")
    refused = source.restore("--backup", last, check=False)
    assert refused.returncode == 3
    assert source.place.rows() == source.log.expected("latest")
