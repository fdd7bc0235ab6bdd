"""Hand-made facts for planning a backup without a server; tests replace what they are about."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from pgrescue.backup.build import make_backup_plan
from pgrescue.backup.facts import (
    ArchiverFacts,
    BackupFacts,
    ServerFacts,
    SourceFacts,
    SourceTablespace,
)
from pgrescue.backup.model import BackupPlan
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.findings import Finding
from pgrescue.plan.facts import FilesystemFacts, HostFacts, PathFacts, Programs
from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn

NOW = datetime(2026, 11, 22, 20, 35, 12, tzinfo=UTC)
ROOT = "/srv/backups"
SYSTEM = "7391528374651987654"
OWNER = Account(70001, 70001, "postgres", "/var/lib/postgresql")
GIB = 1 << 30
SETTINGS = {
    "archive_command": "cp %p /srv/wal/%f",
    "archive_mode": "on",
    "checkpoint_completion_target": "0.9",
    "checkpoint_timeout": "300.0",
    "data_directory": "/var/lib/postgresql/15/main",
    "full_page_writes": "on",
    "max_replication_slots": "10",
    "max_wal_senders": "10",
    "wal_keep_size": "0",
    "wal_level": "replica",
    "wal_segment_size": str(16 << 20),
}


def path(name: str, **changes: Any) -> PathFacts:  # noqa: ANN401 - any field of PathFacts
    """A place where nothing is yet."""
    nothing = PathFacts(
        path=name,
        real_path=name,
        exists=False,
        is_directory=False,
        is_mount_point=False,
        is_empty=True,
        device=None,
        inode=None,
        uid=None,
        gid=None,
        mode=None,
        parent_writable=True,
    )
    return replace(nothing, **changes)


def directory(name: str, **changes: Any) -> PathFacts:  # noqa: ANN401 - any field of PathFacts
    """A directory that is there."""
    return path(name, **{"exists": True, "is_directory": True, **changes})


def server(major: int = 15, settings: dict[str, str] | None = None, **changes: Any) -> ServerFacts:  # noqa: ANN401
    """A primary without a fault, of 4 GiB, with one tablespace; its role is a superuser."""
    usual = ServerFacts(
        version_number=major * 10000 + 4,
        version=f"{major}.4",
        in_recovery=False,
        role="postgres",
        is_superuser=True,
        may_replicate=True,
        settings={**SETTINGS, **(settings or {})},
        wal_compressions=("pglz", "lz4", "zstd", "on", "off"),
        senders=0,
        replication_slots=(),
        archiver=ArchiverFacts("000000010000000000000007", NOW, None, None, 0),
        system_identifier=SYSTEM,
        timeline=1,
        lsn=Lsn(0x5000000),
        started_at=NOW - timedelta(days=30),
        last_checkpoint_at=NOW - timedelta(minutes=3),
        wal_since_checkpoint=5 << 20,
        database_bytes=4 * GIB,
        tablespaces=(SourceTablespace(16400, "fast", "/srv/fast", GIB),),
        wal_bytes=1 * GIB,
        replication_problem=None,
    )
    return replace(usual, **changes)


def facts(of: ServerFacts | None = None, **changes: Any) -> BackupFacts:  # noqa: ANN401
    """Facts that speak for a backup."""
    of = of or server()
    usual = BackupFacts(
        host=HostFacts("db1", "ann", True, OWNER, NOW, ()),
        owner=OWNER,
        source=SourceFacts("host=/run/postgresql port=5432 user=postgres", "db1", True, of, None),
        programs=Programs(f"/usr/lib/postgresql/{of.major}/bin", f"PostgreSQL {of.version}", None),
        client_major=of.major,
        client_problem=None,
        root=directory(ROOT),
        destination=path(f"{ROOT}/main-20261122T203512Z"),
        partial=path(f"{ROOT}/.main-20261122T203512Z.partial"),
        filesystem=FilesystemFacts(ROOT, "/srv", 100 * GIB),
        writable=True,
        backups=(),
        parent=None,
        unfinished=(),
        mapped={},
        is_catalogued=True,
        cluster_identifier=SYSTEM,
        wal_archive="/srv/wal",
    )
    return replace(usual, **changes)


def backup(name: str = "20261121-2000", **changes: Any) -> Backup:  # noqa: ANN401
    """A good full backup of yesterday."""
    usual = Backup(
        id=name,
        source="basebackup",
        path=f"{ROOT}/{name}",
        format="tar",
        compression="zstd",
        kind="full",
        parent=None,
        label="nightly",
        server_version="17",
        system_identifier=SYSTEM,
        timeline=1,
        start_lsn=Lsn(0x2000028),
        stop_lsn=Lsn(0x2000158),
        started_at=NOW - timedelta(days=1),
        stopped_at=NOW - timedelta(days=1) + timedelta(seconds=40),
        size_bytes=1 * GIB,
        restore_bytes=4 * GIB,
        tablespaces=(),
        has_manifest=True,
        verified_at=None,
        usable=True,
        problems=(),
        window=None,
    )
    return replace(usual, **changes)


def plan_of(of: BackupFacts, **choices: Any) -> BackupPlan:  # noqa: ANN401
    """The plan for these choices."""
    return make_backup_plan(
        of, BackupRequest(**choices), cluster="main", catalog_cache="/var/lib/pgrescue/catalog.json"
    )


def findings(of: BackupFacts, **choices: Any) -> dict[str, Finding]:  # noqa: ANN401
    """What the checks find, by code."""
    return {finding.code: finding for finding in plan_of(of, **choices).preflight}
