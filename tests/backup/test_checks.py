"""What speaks against a backup is found beforehand, and says what to do; from hand-made facts."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pgrescue.backup.build import checkpoint_of
from pgrescue.backup.facts import ArchiverFacts, BackupFacts, SlotFacts, SourceFacts
from pgrescue.backup.text import render_text
from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import ExitCode, Refused
from pgrescue.plan.facts import FilesystemFacts, Programs, UnfinishedRun
from pgrescue.postgres.basebackup_options import compression_from
from tests.support.backup_facts import (
    GIB,
    NOW,
    ROOT,
    backup,
    directory,
    facts,
    findings,
    path,
    plan_of,
    server,
)

LZ4, SERVER_ZSTD = compression_from("lz4"), compression_from("server-zstd")
TEN_SLOTS = tuple(SlotFacts(name, "physical", False) for name in "abcdefghij")
SUMMARIZED = {"summarize_wal": "on", "wal_summary_keep_time": "864000"}
MINIMAL = {"wal_level": "minimal", "max_wal_senders": "0", "archive_mode": "off"}
PLAIN = {"format": "plain"}


def test_nothing_speaks_against_a_sound_server() -> None:
    found = findings(facts())
    assert {finding.status for finding in found.values()} == {"ok"}
    assert "5.0 MiB" not in render_text(plan_of(facts())), "no noise"


BLOCKERS: list[tuple[str, BackupFacts, dict[str, Any], str, str]] = [
    ("source.version", facts(server(11)), {}, "PostgreSQL 11", "12 to 18"),
    ("source.version", facts(server(19)), {}, "PostgreSQL 19", "12 to 18"),
    ("source.cluster", facts(cluster_identifier="1"), {}, "another cluster", "--source"),
    ("client.missing", facts(programs=Programs(None, None, None)), {}, "not installed", "install"),
    ("client.version", facts(client_major=14), {}, "older than the server's 15", "install"),
    (
        "role.replication",
        facts(server(role="app", is_superuser=False, may_replicate=False)),
        {},
        "app may not replicate",
        'alter role "app" replication',
    ),
    (
        "hba.replication",
        facts(server(replication_problem="FATAL:  no pg_hba.conf entry for replication")),
        {},
        "was refused",
        "pg_hba.conf: local replication postgres",
    ),
    (
        "source.replication",
        facts(server(replication_problem="FATAL:  something else")),
        {},
        "something else",
        "--source",
    ),
    ("server.wal_level", facts(server(settings=MINIMAL)), {}, "is minimal", "wal_level = replica"),
    (
        "server.full_page_writes",
        facts(server(settings={"full_page_writes": "off"}, in_recovery=True)),
        {},
        "would be invalid",
        "full_page_writes = on",
    ),
    ("server.max_wal_senders", facts(server(senders=9)), {}, "1 of 10 are free", "= 12"),
    (
        "server.max_wal_senders",
        facts(server(senders=10)),
        {"wal_method": "fetch"},
        "0 of 10 are free",
        "= 11",
    ),
    ("choice.compression", facts(server(14)), {"compression": LZ4}, "gzip on the client", "gzip"),
    (
        "choice.compression",
        facts(server(wal_compressions=("pglz", "on", "off"))),
        {"compression": SERVER_ZSTD},
        "built without zstd",
        "gzip",
    ),
    (
        "choice.compression",
        facts(client_problem="this build does not support compression with LZ4"),
        {"compression": LZ4},
        "does not support",
        "gzip",
    ),
    (
        "choice.compression",
        facts(),
        {"compression": compression_from("gzip:12")},
        "levels 1 to 9",
        "gzip",
    ),
    ("choice.compression", facts(), {"compression": LZ4, **PLAIN}, "not compressed", "server-lz4"),
    ("choice.incremental", facts(), {"parent": "newest"}, "17 is the first", "--incremental out"),
    (
        "choice.incremental",
        facts(server(17), parent=backup()),
        {"parent": "newest"},
        "summarize_wal is off",
        "summarize_wal = on",
    ),
    (
        "choice.incremental",
        facts(server(17, SUMMARIZED)),
        {"parent": "newest"},
        "no usable backup",
        "full backup first",
    ),
    (
        "choice.incremental",
        facts(server(17, SUMMARIZED), parent=backup(has_manifest=False)),
        {"parent": "20261121-2000"},
        "no manifest",
        "another parent",
    ),
    (
        "choice.incremental",
        facts(server(17, SUMMARIZED), parent=backup(system_identifier="1")),
        {"parent": "20261121-2000"},
        "another cluster",
        "another parent",
    ),
    (
        "choice.incremental",
        facts(server(17, SUMMARIZED), parent=backup(usable=False)),
        {"parent": "20261121-2000"},
        "cannot be used",
        "pgrescue show",
    ),
    (
        "choice.tablespace",
        facts(),
        {"tablespaces": {"/srv/slow": "/b/slow"}, **PLAIN},
        "No tablespace",
        "/srv/fast",
    ),
    ("choice.tablespace", facts(), {"tablespaces": {"/srv/fast": "/b"}}, "archive", "leave"),
    ("destination", facts(root=path(ROOT, exists=True)), {}, "is no directory", "--destination"),
    ("destination", facts(writable=False), {}, "may not write into", "install -d"),
    ("destination", facts(writable=False, root=path(ROOT)), {}, "may not reach", "install -d"),
    (
        "destination",
        facts(destination=directory(f"{ROOT}/nightly")),
        {"name": "nightly"},
        "exists already",
        "--name",
    ),
    (
        "destination",
        facts(partial=directory(f"{ROOT}/.nightly.partial")),
        {"name": "nightly"},
        "interrupted",
        "pgrescue undo",
    ),
    (
        "destination.tablespace",
        facts(mapped={"/b/fast": directory("/b/fast", is_empty=False)}),
        {"tablespaces": {"/srv/fast": "/b/fast"}, **PLAIN},
        "no empty directory",
        "--tablespace",
    ),
    (
        "destination.inside",
        facts(root=directory("/var/lib/postgresql/15/main/backups")),
        {},
        "would contain itself",
        "another disk",
    ),
    (
        "destination.space",
        facts(filesystem=FilesystemFacts(ROOT, "/srv", 4 * GIB)),
        {},
        "4.0 GiB are free",
        "make room",
    ),
    (
        "server.archiving",
        facts(server(settings={"archive_mode": "off"})),
        {"wal_method": "none"},
        "could never be restored",
        "--wal-method stream",
    ),
    (
        "server.archiving",
        facts(wal_archive=None),
        {"wal_method": "none"},
        "no archive is configured",
        "--wal-method stream",
    ),
]
WARNINGS: list[tuple[str, BackupFacts, dict[str, Any], str]] = [
    ("server.archiving", facts(server(settings={"archive_mode": "off"})), {}, "archive_mode is"),
    ("server.archiving", facts(server(settings={"archive_command": ""})), {}, "nothing archives"),
    (
        "server.archiving",
        facts(server(archiver=ArchiverFacts(None, None, "0000000100000000000000A1", NOW, 7))),
        {},
        "Archiving fails: 0000000100000000000000A1",
    ),
    (
        "server.archiving",
        facts(server(archiver=ArchiverFacts(None, None, None, None, 0))),
        {},
        "archived nothing yet",
    ),
    (
        "server.max_replication_slots",
        facts(
            server(replication_slots=tuple(SlotFacts(c, "physical", False) for c in "abcdefghij"))
        ),
        {},
        "All of 10",
    ),
    ("server.wal_kept", facts(), {"wal_method": "fetch"}, "collected at the end"),
    ("server.wal_size", facts(server(wal_bytes=40 * GIB)), {}, "40.0 GiB"),
    (
        "destination.space",
        facts(filesystem=FilesystemFacts(ROOT, "/srv", 4 * GIB + (80 << 20))),
        {},
        "are free",
    ),
    ("destination.catalog", facts(is_catalogued=False), {}, "will not show"),
    ("server.size", facts(server(database_bytes=None)), {}, "is not known"),
    (
        "choice.incremental",
        facts(server(17, SUMMARIZED), parent=backup(started_at=NOW - timedelta(days=11))),
        {"parent": "20261121-2000"},
        "11 days old",
    ),
    ("run.unfinished", facts(unfinished=(UnfinishedRun("R1", "waiting"),)), {}, "R1"),
]


@pytest.mark.parametrize(
    ("code", "of", "choices", "message", "fix"),
    BLOCKERS,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(BLOCKERS)],
)
def test_what_forbids_a_backup(
    code: str,
    of: BackupFacts,
    choices: dict[str, Any],
    message: str,
    fix: str,
) -> None:
    found = findings(of, **choices)[code]
    assert found.status == "blocker"
    assert message in found.message
    assert fix in (found.fix or "")


@pytest.mark.parametrize(
    ("code", "of", "choices", "message"),
    WARNINGS,
    ids=[f"{number}-{case[0]}" for number, case in enumerate(WARNINGS)],
)
def test_what_should_be_known_before(
    code: str, of: BackupFacts, choices: dict[str, Any], message: str
) -> None:
    plan = plan_of(of, **choices)
    found = findings(of, **choices)[code]
    assert not plan.blockers
    assert found.status == "warning"
    assert message in found.message
    assert found.fix


def test_standby_is_not_blamed_for_what_its_primary_does() -> None:
    found = findings(facts(server(in_recovery=True)))["server.archiving"]
    assert found.status == "ok"
    assert "standby" in found.message


def test_server_compression_is_no_matter_of_the_client_unless_it_unpacks() -> None:
    compression = compression_from("server-lz4")
    assert "choice.compression" not in findings(facts(), compression=compression)
    assert "choice.compression" not in findings(facts(), compression=compression, format="plain")


@pytest.mark.parametrize(
    ("problem", "way_on"),
    [
        ("FATAL:  password authentication failed", ".pgpass"),
        ("fe_sendauth: no password supplied", ".pgpass"),
        ('FATAL:  role "backup" does not exist', "--source 'user=ROLE'"),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.7"', "pg_hba.conf"),
        ("connection refused", "start the server"),
        (None, "start the server"),
    ],
)
def test_server_that_cannot_be_asked(problem: str | None, way_on: str) -> None:
    silent = replace(facts(), source=SourceFacts("host=db2", "db2", False, None, problem))
    with pytest.raises(Refused) as caught:
        plan_of(silent)
    assert caught.value.exit_code == ExitCode.REFUSED
    assert (problem or "no reason") in caught.value.title
    assert way_on in caught.value.next_steps[0]


@pytest.mark.parametrize(
    ("written", "meant"),
    [(0, "fast"), (128 << 20, "fast"), ((128 << 20) + 1, "spread"), (None, "spread")],
)
def test_automatic_checkpoint(written: int | None, meant: str) -> None:
    of = server(wal_since_checkpoint=written)
    assert checkpoint_of(BackupRequest(), of) == meant
    assert checkpoint_of(BackupRequest(checkpoint="fast"), of) == "fast"
    assert checkpoint_of(BackupRequest(checkpoint="spread"), of) == "spread"
    plan = plan_of(facts(of))
    assert f"--checkpoint={meant}" in plan.work.command
    assert plan.work.checkpoint_bound == 270
    assert ("270 s" in render_text(plan)) == (meant == "spread")
