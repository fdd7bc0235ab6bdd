"""Incremental backups: what changed since another one, in a chain that restores."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgrescue.demo.binaries import Origin, ServerBinaries
from tests.support.backups import ask, entry, everything, listed, preflight, take, told, verified
from tests.support.cluster import Workspace
from tests.support.source import Source

pytestmark = pytest.mark.server

SUMMARIZED = {"summarize_wal": "on"}
FORMS = ("tar", "plain")
DIGEST = "select count(*), sum(version), md5(string_agg(n::text, ',' order by n)) from bulk"


@pytest.fixture
def newest(binaries_by_origin: dict[Origin, ServerBinaries]) -> ServerBinaries:
    """A server that can take incremental backups."""
    newest = max(binaries_by_origin.values(), key=lambda binaries: binaries.major)
    if newest.major < 17:
        pytest.skip("incremental backups came with PostgreSQL 17")
    return newest


@pytest.fixture
def source(newest: ServerBinaries, workspace: Workspace) -> Source:
    """One that records what changes, with a table in the middle of which rows change."""
    source = Source.make(workspace, newest, settings=SUMMARIZED)
    source.sandbox.sql(
        "create table bulk as select n, 0 as version, repeat('x', 200) as filler"
        " from generate_series(1, 40000) n"
    )
    return source


def change(source: Source, number: int) -> None:
    """Some old pages, some new ones."""
    source.sandbox.sql(f"update bulk set version = {number} where n between {number} and 500")
    source.log.mark(f"change {number}")


@pytest.mark.slow
def test_newest_and_a_named_parent(source: Source) -> None:
    """Each builds upon what it was told to; the last one restores to the last row."""
    workspace = source.workspace
    full = take(workspace)
    change(source, 1)
    first = take(workspace, "--incremental", "--name=first", "--no-verify")
    change(source, 2)
    named = take(workspace, "--incremental", full.id, "--name=named")
    assert entry(workspace, first.id)["parent"] == entry(workspace, named.id)["parent"] == full.id
    assert entry(workspace, named.id)["kind"] == "incremental"
    change(source, 3)
    source.sandbox.switch_wal()
    with source.clone("--backup", named.id) as clone:
        assert clone.rows() == source.log.expected("latest")
        assert clone.sql(DIGEST) == source.sandbox.sql(DIGEST)
    source.sandbox.sql("alter system set summarize_wal = off; select pg_reload_conf();")
    refused = ask(workspace, "--incremental")
    assert refused.returncode == 3
    assert "summarize_wal is off" in told(refused)
    assert "summarize_wal = on" in told(refused)


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMS)
def test_chain(source: Source, form: str) -> None:
    """Full, incremental on the newest, another on it, and one beside on the full backup."""
    workspace, shape = source.workspace, f"--format={form}"
    full = take(workspace, shape, "--name={kind}")
    change(source, 1)
    first = take(workspace, shape, "--incremental", "--name=first-{kind}")
    change(source, 2)
    second = take(workspace, shape, "--incremental", "--label=the second", "--name=second")
    beside = take(workspace, shape, "--incremental", full.id, "--name=beside")
    change(source, 3)
    source.sandbox.switch_wal()
    assert [full.path.name, first.path.name] == ["full", "first-incremental"]

    chain = {one["id"]: (one["kind"], one["parent"]) for one in listed(workspace)}
    assert chain == {
        full.id: ("full", None),
        first.id: ("incremental", full.id),
        second.id: ("incremental", first.id),
        beside.id: ("incremental", full.id),
    }
    sizes = {one["id"]: one["size_bytes"] for one in listed(workspace)}
    assert sizes[first.id] < sizes[full.id] / 2
    for taken in (full, first, second, beside):
        assert taken.verified
        assert verified(workspace, taken.id)["problems"] == []

    truth = source.sandbox.sql(DIGEST)
    for taken in (second, beside):
        with source.clone("--backup", taken.id) as clone:
            assert clone.status["state"] == "succeeded"
            assert clone.rows() == source.log.expected("latest")
            assert clone.sql(DIGEST) == truth


def test_without_a_full_backup(source: Source) -> None:
    refused = ask(source.workspace, "--incremental")
    assert refused.returncode == 3
    assert "no usable backup of this cluster with a manifest" in told(refused)
    assert "take a full backup first" in told(refused)
    assert everything(source.sandbox.backups) == []


@pytest.mark.slow
def test_parents_that_do_not_fit(source: Source) -> None:
    """One without a manifest, one that is damaged; `newest` takes neither."""
    source.backup("blind", "-Ft", "--no-manifest")
    blind = source.id_of("blind")
    refused = ask(source.workspace, "--incremental", blind)
    assert refused.returncode == 3
    assert f"{blind} has no manifest" in told(refused)
    fitting = take(source.workspace, "--name=fitting")
    spoilt = take(source.workspace, "--name=spoilt")
    (spoilt.path / "base.tar").write_bytes(b"")
    found = preflight(source.workspace, "--incremental")
    assert "choice.incremental" not in found
    plan = source.workspace.run("backup", "--incremental", "--dry-run").stdout
    assert str(fitting.path / "backup_manifest") in plan
    damaged = entry_at(source, spoilt.path)
    refused = ask(source.workspace, "--incremental", damaged)
    assert refused.returncode == 3
    assert "cannot be used" in told(refused)


def entry_at(source: Source, path: Path) -> str:
    """The id that the catalog gives to what is at a path."""
    (found,) = [one["id"] for one in listed(source.workspace) if one["path"] == str(path)]
    return str(found)


@pytest.mark.slow
def test_summaries_are_missing(source: Source) -> None:
    """Switched off for a while: the plan cannot know it, the server does."""
    workspace, sandbox = source.workspace, source.sandbox
    full = take(workspace)
    sandbox.sql("alter system set summarize_wal = off; select pg_reload_conf();")
    change(source, 1)
    sandbox.sql("checkpoint")
    sandbox.stop()
    for summary in (sandbox.data / "pg_wal" / "summaries").glob("*.summary"):
        summary.unlink()
    sandbox.start()
    sandbox.switch_wal()
    sandbox.sql("checkpoint")
    sandbox.switch_wal()
    sandbox.sql("checkpoint")
    sandbox.sql("alter system set summarize_wal = on; select pg_reload_conf();")
    failed = ask(workspace, "--incremental", full.id)
    assert failed.returncode == 4, failed.stdout
    assert "cannot tell what has changed" in told(failed)
    assert "take a full backup" in told(failed)
    assert [one["id"] for one in listed(workspace)] == [full.id]
    assert everything(sandbox.backups) == [full.path.name]


@pytest.mark.slow
def test_server_that_is_too_old(
    binaries_by_origin: dict[Origin, ServerBinaries], workspace: Workspace
) -> None:
    oldest = min(binaries_by_origin.values(), key=lambda binaries: binaries.major)
    if oldest.major >= 17:
        pytest.skip("every server here can take incremental backups")
    source = Source.make(workspace, oldest)
    take(workspace)
    refused = ask(workspace, "--incremental")
    assert refused.returncode == 3
    assert f"PostgreSQL {oldest.major} takes no incremental backups" in told(refused)
    assert entry(workspace, listed(workspace)[0]["id"])["kind"] == "full"
    assert len(everything(source.sandbox.backups)) == 1
