"""Hand-made facts for planning a restore without a server; tests replace what they are about."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from pgrescue.catalog.model import Backup, BackupDetails
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.findings import Finding
from pgrescue.plan.build import make_plan
from pgrescue.plan.facts import (
    ArchiveFacts,
    ClusterFacts,
    Facts,
    FilesystemFacts,
    HostFacts,
    Links,
    Programs,
    WalReach,
)
from pgrescue.plan.model import Plan
from pgrescue.plan.request import RestoreRequest
from pgrescue.plan.surroundings import Surroundings
from pgrescue.plan.target import TargetOptions, parse_target
from pgrescue.postgres.control_file import ControlFile, StandbyLimits
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.service import ServiceSpec
from tests.support import backup_facts
from tests.support.backup_facts import GIB, NOW, OWNER, SYSTEM, directory, path

DATA, CLONE, ARCHIVE = "/srv/pg/main", "/srv/pg/clone", "/srv/wal"
SIZE = 16 << 20
CONTROL = ControlFile(
    system_identifier=SYSTEM,
    major=17,
    catalog_version=202406281,
    state="shut down",
    written_at=NOW,
    checkpoint_lsn=Lsn(0x5000028),
    redo_lsn=Lsn(0x5000028),
    timeline=1,
    next_xid=1000,
    checkpoint_time=NOW,
    min_recovery_lsn=Lsn(0),
    min_recovery_timeline=0,
    wal_segment_size=SIZE,
    data_checksums=True,
    limits=StandbyLimits(100, 8, 10, 0, 64),
)


def details(**changes: Any) -> BackupDetails:  # noqa: ANN401 - any field of BackupDetails
    """Of a tar backup with WAL of its own."""
    usual = BackupDetails(
        checkpoint_lsn=Lsn(0x2000060),
        wal_inside="tar",
        wal_segment_size=SIZE,
        from_standby=False,
        incremental_from_lsn=None,
        base_archive="base.tar",
        wal_archive="pg_wal.tar",
        read_whole=True,
        control=CONTROL,
    )
    return replace(usual, **changes)


def backup(**changes: Any) -> Backup:  # noqa: ANN401 - any field of Backup
    """A good full backup of yesterday, as far as a restore needs it."""
    return backup_facts.backup(**{"details": details(), **changes})


def cluster(**changes: Any) -> ClusterFacts:  # noqa: ANN401 - any field of ClusterFacts
    """A cluster that was shut down in good order."""
    usual = ClusterFacts(
        name="main",
        directory=directory(DATA, is_empty=False, device=1, inode=2, mode=0o700),
        pg_version=17,
        control=CONTROL,
        control_problem=None,
        postmaster=None,
        owner=OWNER,
        links=Links((), None, None, SYSTEM),
        wal_link_text=None,
        config_directory=None,
        configuration={},
        manager=None,
        log=None,
    )
    return replace(usual, **changes)


def facts(into: str | None = None, **changes: Any) -> Facts:  # noqa: ANN401 - any field of Facts
    """Facts that speak for a restore, in place or into a clone."""
    of = cluster()
    taken = changes.get("backup", backup())
    usual = Facts(
        host=HostFacts("db1", "ann", True, OWNER, NOW, ()),
        cluster=of,
        destination=of.directory if into is None else path(into),
        backup=taken,
        chain=(taken,),
        archive=archive(),
        reach=reach(),
        programs=Programs("/usr/lib/postgresql/17/bin", "PostgreSQL 17.2", None),
        filesystems={DATA: FilesystemFacts(DATA, "/srv", 100 * GIB)},
        tablespace_destinations={},
        unfinished=(),
        surroundings=Surroundings(),
        foretold=None,
        unreadable=(),
    )
    return replace(usual, **changes)


def archive(**changes: Any) -> ArchiveFacts:  # noqa: ANN401 - any field of ArchiveFacts
    """An archive of this cluster that everybody concerned can read."""
    usual = ArchiveFacts(ARCHIVE, None, True, None, 5, {}, SYSTEM, True, ())
    return replace(usual, **changes)


def reach(**changes: Any) -> WalReach:  # noqa: ANN401 - any field of WalReach
    """WAL without a hole, up to segment 5."""
    usual = WalReach(1, Lsn(0x6000000), "000000010000000000000006", (), None, False, False)
    return replace(usual, **changes)


def plan_of(
    of: Facts,
    options: TargetOptions | None = None,
    service: ServiceSpec | None = None,
    **request: Any,  # noqa: ANN401 - any field of RestoreRequest
) -> Plan:
    """The plan for a target and these choices."""
    known = ClusterConfig("main", Path(DATA), service or ServiceSpec("pg_ctl"))
    asked = RestoreRequest(parse_target(options or TargetOptions(), "UTC"), **request)
    return make_plan(of, asked, Config(None, {"main": known}), known, {})


def findings(of: Facts, *arguments: Any, **request: Any) -> dict[str, Finding]:  # noqa: ANN401
    """What the checks find, by code."""
    return {item.code: item for item in plan_of(of, *arguments, **request).preflight}
