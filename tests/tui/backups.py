"""Hand-made backups: chains in the catalog, a plan, stages of a run that takes one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from pgrescue.backup.build import name_of
from pgrescue.backup.command import basebackup_command
from pgrescue.backup.model import BackupPlan, BackupWork
from pgrescue.backup.places import partial_path
from pgrescue.backup.steps import backup_steps
from pgrescue.catalog.model import BackupDetails
from pgrescue.config.backup_request import BackupRequest
from pgrescue.findings import Finding
from pgrescue.plan.facts import HostFacts
from pgrescue.postgres.account import Account
from pgrescue.postgres.basebackup_options import Compression
from pgrescue.postgres.lsn import Lsn
from pgrescue.run import records
from pgrescue.run.fold import fold
from pgrescue.run.records import AnyRecord, Failure
from pgrescue.tui.view import BackupSetting, RunView
from pgrescue.verify.model import FileProblem, Verification
from tests.tui.snapshots import GIB, GLANCE, GOOD, NOON, OLD, RUN

ROOT = "/srv/backups/main"
POSTGRES = Account(101, 104, "postgres", "/var/lib/postgresql")
CONFIGURED = BackupRequest(compression=Compression("zstd", 3), max_rate=50 << 20)
HOST = HostFacts("db1", "anna", True, POSTGRES, NOON, ())
SETTING = BackupSetting(
    configured=CONFIGURED,
    host=HOST,
    root=ROOT,
    program="/usr/lib/postgresql/17/bin/pg_basebackup",
    major=17,
    conninfo="host=/run/postgresql port=5432 user=postgres",
    run_as="postgres",
)
NAME = name_of("{cluster}-{time}", HOST, CONFIGURED, "main")
TAKEN_ID = "20261122-120004F-5ad1"
DETAILS = BackupDetails(
    checkpoint_lsn=Lsn.parse("1A/5000060"),
    wal_inside="tar",
    wal_segment_size=16 << 20,
    from_standby=False,
    incremental_from_lsn=None,
    base_archive="base.tar.zst",
    wal_archive="pg_wal.tar.zst",
)
FULL = replace(GOOD, details=DETAILS)
SUNDAY = replace(
    GOOD,
    id="20261122-020003I-11aa",
    path=f"{ROOT}/sunday",
    label="sunday",
    kind="incremental",
    parent=FULL.id,
    started_at=NOON - timedelta(hours=10),
    stopped_at=NOON - timedelta(hours=9, minutes=58),
    size_bytes=3 * GIB,
    verified_at=None,
    details=DETAILS,
)
NOONTIME = replace(
    SUNDAY,
    id="20261122-100003I-22bb",
    path=f"{ROOT}/noontime",
    label="noontime",
    parent=SUNDAY.id,
    started_at=NOON - timedelta(hours=2),
)
CHAINS = replace(GLANCE, version="17", backups=(OLD, FULL, SUNDAY, NOONTIME))
"""A plain backup, and a full one with two incremental ones after it."""

WHOLE = Verification(FULL.id, True, 1234, 412 * GIB, 600.0, ())
DAMAGED = replace(
    WHOLE,
    ok=False,
    problems=(
        FileProblem("base/5/[1259]", "checksum", "base/5/[1259] is damaged: its checksum differs."),
    ),
)


def _work(request: BackupRequest) -> BackupWork:
    partial = partial_path(f"{ROOT}/{NAME}")
    conninfo = SETTING.conninfo or ""
    return BackupWork(
        tag="pgrescue-20261122T120000Z",
        root=ROOT,
        destination=f"{ROOT}/{NAME}",
        partial=partial,
        owner=POSTGRES,
        run_as="postgres",
        mode=0o700,
        bin_directory="/usr/lib/postgresql/17/bin",
        command=basebackup_command(
            request,
            program=SETTING.program,
            conninfo=conninfo,
            directory=partial,
            label=NAME,
            server_major=17,
        ),
        conninfo=conninfo,
        application="pgrescue-20261122T120000Z",
        major=17,
        system_identifier=GOOD.system_identifier or "",
        in_recovery=False,
        format=request.format,
        compression=request.compression,
        wal_method=request.wal_method,
        checkpoint=request.checkpoint,
        checkpoint_bound=270.0,
        tablespaces=(),
        parent=None,
        verify=request.verify,
        has_manifest=True,
        estimated_bytes=412 * GIB,
        catalog_cache="/var/lib/pgrescue/catalog.json",
        wal_archive="/srv/wal/main",
        archives=True,
    )


def plan() -> BackupPlan:
    """A backup's plan with a warning and nothing that forbids it."""
    work = _work(replace(CONFIGURED, checkpoint="spread"))
    return BackupPlan(
        id="b7d2c0ffee12",
        created_at=NOON,
        host="db1",
        operator="anna",
        cluster="main",
        preflight=(
            Finding("client.version", "ok", "/usr/lib/postgresql/17/bin/pg_basebackup, 17."),
            Finding(
                "destination.space",
                "warning",
                "98.0 GiB are needed in /srv [nas], 100.2 GiB are free.",
                "df -h /srv",
            ),
        ),
        steps=tuple(
            replace(step, estimate=2400.0) if step.id == "take" else step
            for step in backup_steps(work)
        ),
        source="The server at /run/postgresql, port 5432",
        work=work,
        estimated_size=98 * GIB,
        estimated_seconds=2400.0,
    )


def blocked_plan() -> BackupPlan:
    """The same, forbidden by a check."""
    blocker = Finding(
        "role.replication",
        "blocker",
        "The role backup may not replicate.",
        'alter role "backup" replication',
    )
    whole = plan()
    return replace(whole, preflight=(*whole.preflight, blocker))


def journal(until: str, at: datetime = NOON) -> list[AnyRecord]:
    """A backup up to and into the step `until`; to its end for "end"."""
    planned = plan()
    told: list[AnyRecord] = [
        records.Created(
            run=RUN,
            plan=planned.id,
            cluster="main",
            data_directory=planned.place,
            host="db1",
            operator="anna",
            at=NOON,
        ),
        records.Started(purpose="backup", pid=4242, process_start=1, boot_id="x", at=NOON),
    ]
    for step in planned.steps:
        told.append(records.StepBegan(step=step.id, title=step.title, at=at))
        if step.id == until:
            return told
        if step.id == "prepare":
            told.append(records.MakingDirectory(path=planned.work.partial, at=at))
        seconds = 2411.0 if step.id == "take" else 0.2
        told.append(records.StepEnded(step=step.id, seconds=seconds, result="done", at=at))
    return told


def view(told: list[AnyRecord]) -> RunView:
    """A run with that journal."""
    planned = plan()
    state = fold(planned, told)
    return RunView(
        plan=planned,
        state=state,
        directory=f"/var/lib/pgrescue/runs/{RUN}",
        log=(
            "$ pg_basebackup --format=tar ...",
            "pg_basebackup: initiating base backup, waiting for checkpoint to complete",
            "pg_basebackup: checkpoint completed",
            "pg_basebackup: write-ahead log start point: 1B/3F000028 on timeline 3",
            "pg_basebackup: [background] WAL receiver started",
        ),
        server="unknown",
        discardable=(),
        kept_wal="",
        report=f"/var/lib/pgrescue/runs/{RUN}/report.md" if state.state != "running" else None,
    )


def progress(detail: str, at: datetime = NOON, **changes: object) -> records.Progress:
    """281 of 412 GiB, unless changed."""
    return records.Progress(
        **{
            "step": "take",
            "done_bytes": 281 * GIB,
            "total_bytes": 412 * GIB,
            "rate": 186.0 * (1 << 20),
            "eta_seconds": 721.0,
            "detail": detail,
            "disk_bytes": 66 * GIB,
            "wal_bytes": 3 * GIB,
            "at": at,
            **changes,
        }  # type: ignore[arg-type]  # a test's shorthand
    )


def taking(at: datetime = NOON) -> RunView:
    """The files are on their way."""
    said = progress("streaming database files, 1 of 1 tablespaces", at)
    return view([*journal("take", at), said])


def waiting_for_checkpoint(at: datetime = NOON) -> RunView:
    """A spread checkpoint has not come to its end."""
    said = progress(
        "waiting for a gentle checkpoint: 42 s of 270",
        at,
        done_bytes=0,
        rate=0.0,
        eta_seconds=None,
        disk_bytes=0,
        wal_bytes=0,
    )
    return view([*journal("take", at), said])


def stalled() -> RunView:
    """Nothing arrives any more."""
    said = progress("streaming database files, 1 of 1 tablespaces", rate=0.0, eta_seconds=None)
    return view([*journal("take"), said])


def taken(*, verified: bool = True) -> RunView:
    """It has become a backup."""
    entered = records.Entered(
        backup=TAKEN_ID,
        path=f"{ROOT}/{NAME}",
        size_bytes=97 * GIB,
        verified=verified,
        at=NOON,
    )
    return view([*journal("end"), entered, records.Finished(state="succeeded", at=NOON)])


def failed() -> RunView:
    """pg_basebackup gave up; what it had taken is gone."""
    failure = Failure(
        title="There is no room left for the backup.",
        cause='could not write to file "[base].tar": No space left on device.',
        evidence=f"Nothing of it is left; {ROOT} has no half backup.",
        next=("make room, or choose another --destination", "then take it again: pgrescue resume"),
        exit_code=4,
    )
    gone = records.Deleted(path=plan().work.partial, at=NOON)
    return view([*journal("take"), gone, records.Finished(state="failed", error=failure, at=NOON)])


def aborted() -> RunView:
    """Stopped on request."""
    gone = records.Deleted(path=plan().work.partial, at=NOON)
    return view([*journal("take"), gone, records.Finished(state="aborted", at=NOON)])


def interrupted() -> RunView:
    """The runner was killed in the middle."""
    dead = taking()
    return replace(dead, state=dead.state.with_state("interrupted"))


def removed() -> RunView:
    """What an interrupted one had left is gone."""
    return view(
        [
            *journal("take"),
            records.Started(purpose="undo", pid=4243, process_start=2, boot_id="x", at=NOON),
            records.Deleted(path=plan().work.partial, at=NOON),
            records.Finished(state="undone", at=NOON),
        ]
    )
