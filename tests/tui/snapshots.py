"""Hand-made worlds for the screens: a production cluster, its backups, a plan, stages of a run."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pgrescue.catalog.model import Backup, BackupTablespace, Problem, Window
from pgrescue.findings import Finding
from pgrescue.plan.model import (
    BackupPart,
    Move,
    Plan,
    Space,
    Stop,
    Work,
)
from pgrescue.plan.sealed import Step, StepId
from pgrescue.plan.target import Target
from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.service import ServiceSpec
from pgrescue.run import records
from pgrescue.run.deletable import Deletable
from pgrescue.run.fold import fold
from pgrescue.run.records import AnyRecord, Failure
from pgrescue.tui.view import ClusterGlance, RunRow, RunView

GIB = 1 << 30
DATA = "/var/lib/postgresql/16/main"
ASIDE = f"{DATA}.pgrescue-20261122T140210Z"
RUN = "20261122-140502-a3f1"
NOON = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)

GOOD = Backup(
    id="20261121-220003F-8c1e",
    source="basebackup",
    path="/srv/backups/main/saturday",
    format="tar",
    compression="zstd",
    kind="full",
    parent=None,
    label="saturday",
    server_version="16",
    system_identifier="7711282976841818775",
    timeline=3,
    start_lsn=Lsn.parse("1A/5000028"),
    stop_lsn=Lsn.parse("1A/7000100"),
    started_at=NOON - timedelta(hours=14),
    stopped_at=NOON - timedelta(hours=13, minutes=20),
    size_bytes=96 * GIB,
    restore_bytes=412 * GIB,
    tablespaces=(BackupTablespace(16412, "/fast/[hot] data", 20 * GIB),),
    has_manifest=True,
    verified_at=NOON - timedelta(hours=12),
    usable=True,
    problems=(),
    window=Window(
        Lsn.parse("1A/7000100"), NOON - timedelta(hours=13), Lsn.parse("1B/40000000"), NOON, 3
    ),
)
OLD = replace(
    GOOD,
    id="20261120-220003F-77aa",
    path="/srv/backups/main/friday",
    label="friday",
    format="plain",
    compression="none",
    started_at=NOON - timedelta(hours=38),
    stopped_at=NOON - timedelta(hours=37),
    tablespaces=(),
)
BROKEN = replace(
    OLD,
    id="20261119-220004F-01d2",
    path="/srv/backups/main/[thursday]",
    label="thursday",
    usable=False,
    problems=(Problem("tar.truncated", "base.tar.zst ends in the middle of [base/16384/2619]."),),
    window=None,
)
GLANCE = ClusterGlance(
    name="main",
    data_directory=DATA,
    version="16",
    server="running",
    server_detail="pid 4711, port 5432, ready",
    backup_places=("/srv/backups/main",),
    backups=(BROKEN, OLD, GOOD),
    archive="/srv/wal/main",
    segments=5230,
    problem=None,
)
GONE = replace(
    GLANCE,
    name="archive",
    data_directory="/var/lib/postgresql/15/archive",
    version="-",
    server="gone",
    server_detail="the data directory does not exist",
    backups=(),
    segments=0,
    problem="/srv/wal/archive: No such file or directory",
)
ROW = RunRow(RUN, "main", "waiting", "restore", "just before transaction 63886", NOON, ASIDE)

_STEPS: tuple[tuple[StepId, str, str], ...] = (
    ("stop", "Stop the server and see that it is down", "systemctl stop postgresql@16-main"),
    ("rescue_wal", "Rescue WAL that only the old data directory has", "cp -p ..."),
    ("set_aside", "Set the old data aside", f"mv -T {DATA} {ASIDE}"),
    ("extract", f"Extract backup {GOOD.id}", f"tar -C {DATA} -xpf base.tar.zst"),
    ("place_wal", "Place the backup's own WAL beside the data directory", "install -d ..."),
    ("configure", "Write recovery.signal and the recovery settings", "touch recovery.signal"),
    ("complete", "Put pg_control in place and sync to disk", "sync"),
    ("start", "Start the server", "systemctl start postgresql@16-main"),
    ("replay", "Watch the WAL being replayed", "psql -c 'select pg_last_wal_replay_lsn()'"),
    ("verify", "Check the restored server", "psql -c 'select 1'"),
    ("promote", "Promote, when you have looked around and say so", "psql -c 'select pg_promote()'"),
    ("tidy", "Take the recovery settings out again", "sed -i ..."),
)


def steps() -> tuple[Step, ...]:
    """The steps of an in-place restore."""
    return tuple(
        Step(
            id=step_id,
            title=title,
            why=f"Why the step {step_id} is needed.",
            commands=(command,),
            changes=f"What {step_id} changes.",
            undo=f"How {step_id} is undone.",
            destructive=False,
            estimate=None,
        )
        for step_id, title, command in _STEPS
    )


def _work() -> Work:
    return Work(
        tag="20261122T140210Z",
        data_directory=DATA,
        owner=Account(101, 104, "postgres", "/var/lib/postgresql"),
        run_as="postgres",
        mode=0o700,
        bin_directory="/usr/lib/postgresql/16/bin",
        major=16,
        service=ServiceSpec("systemd", unit="postgresql@16-main"),
        stop_service=True,
        was_running=True,
        start_again=True,
        config_directory="/etc/postgresql/16/main",
        chain=(BackupPart(GOOD.id, GOOD.path, "tar", "base.tar.zst", None, "tar", True, ()),),
        restore_bytes=412 * GIB,
        moves=(Move(DATA, ASIDE, False),),
        wal_link=None,
        old_links=(),
        old_wal=f"{DATA}/pg_wal",
        staging=f"{ASIDE}-wal",
        wal_archive="/srv/wal/main",
        restore_command=None,
        wal_segment_size=16 << 20,
        system_identifier=GOOD.system_identifier,
        start_lsn=Lsn.parse("1A/5000028"),
        wal_end=Lsn.parse("1B/40000000"),
        settings={"recovery_target_xid": "63886"},
        lasting_settings={},
        signal_file="recovery.signal",
        added_files={},
        removed_files=(),
        old_data="keep",
        conninfo="",
        log=None,
        port=None,
        stop_timeout=300.0,
        start_timeout=300.0,
    )


def plan() -> Plan:
    """An in-place plan with a warning and nothing that forbids it."""
    return Plan(
        id="a3f19c77e2b0",
        created_at=NOON,
        host="db1",
        operator="anna",
        cluster="main",
        mode="in_place",
        backup=GOOD.id,
        target=Target("xid", False, "pause", 3, xid=63886),
        stop=Stop("before_commit", 63886, None, None, None, 3),
        preflight=(
            Finding("backup.usable", "ok", f"Backup {GOOD.id} is usable."),
            Finding(
                "host.space",
                "warning",
                "/var/lib/postgresql [ssd]: 412.0 GiB needed, 430.1 GiB free.",
                "make room: df -h /var/lib/postgresql",
            ),
        ),
        steps=steps(),
        settings={"recovery_target_xid": "63886"},
        settings_diff=(
            "--- postgresql.auto.conf in the backup\n+++ postgresql.auto.conf restored\n"
            "@@ -1 +1,3 @@\n # Do not edit this file manually!\n"
            "+recovery_target_xid = '63886'\n+recovery_target_inclusive = 'off'"
        ),
        space=(Space("/var/lib/postgresql", 412 * GIB, 430 * GIB),),
        reversible=True,
        time_zone=None,
        work=_work(),
    )


def blocked_plan() -> Plan:
    """The same, forbidden by a check."""
    blocker = Finding("wal.gap", "blocker", "Segment 000000030000001A00000011 is missing.")
    return replace(plan(), preflight=(*plan().preflight, blocker))


def irreversible_plan() -> Plan:
    """The same with --old-data delete."""
    return replace(plan(), reversible=False, work=replace(_work(), old_data="delete"))


def _journal(until: StepId) -> list[AnyRecord]:
    """A restore up to and into the step `until`."""
    journal: list[AnyRecord] = [
        records.Created(
            run=RUN,
            plan="a3f19c77e2b0",
            cluster="main",
            data_directory=DATA,
            host="db1",
            operator="anna",
            at=NOON,
        ),
        records.Started(purpose="restore", pid=4242, process_start=1, boot_id="x", at=NOON),
    ]
    for step_id, title, _ in _STEPS:
        journal.append(records.StepBegan(step=step_id, title=title, at=NOON))
        if step_id == until:
            return journal
        if step_id == "set_aside":
            journal.append(records.Moving(path=DATA, aside=ASIDE, contents_only=False, at=NOON))
            journal.append(records.Moved(path=DATA, aside=ASIDE, at=NOON))
        seconds = 751.0 if step_id == "extract" else 4.2
        journal.append(records.StepEnded(step=step_id, seconds=seconds, result="done", at=NOON))
    return journal


def _view(journal: list[AnyRecord], **changes: object) -> RunView:
    view = RunView(
        plan=plan(),
        state=fold(plan(), journal),
        directory=f"/var/lib/pgrescue/runs/{RUN}",
        log=("$ systemctl stop postgresql@16-main", "[main] stopped"),
        server="stopped",
        discardable=(),
        kept_wal="",
        report=None,
    )
    return replace(view, **changes)  # type: ignore[arg-type]  # a test's shorthand


def extracting(at: datetime = NOON) -> RunView:
    """Copying: 281 of 412 GiB."""
    progress = records.Progress(
        step="extract",
        done_bytes=281 * GIB,
        total_bytes=412 * GIB,
        rate=186.0 * (1 << 20),
        eta_seconds=721.0,
        detail="base/16384/2619",
        at=at,
    )
    return _view([*_journal("extract"), progress])


def replaying(at: datetime = NOON) -> RunView:
    """Replaying WAL."""
    progress = records.Progress(
        step="replay",
        done_bytes=3 * GIB,
        total_bytes=5 * GIB,
        rate=40.0 * (1 << 20),
        eta_seconds=51.0,
        detail="recovering 000000030000001A000000C3",
        lsn=Lsn.parse("1A/C3001240"),
        time=NOON - timedelta(hours=3),
        at=at,
    )
    return _view([*_journal("replay"), progress], server="running")


def waiting() -> RunView:
    """Paused at the target."""
    end: list[AnyRecord] = [
        records.Reached(
            lsn=Lsn.parse("1B/2F7C38"),
            time=NOON - timedelta(minutes=2),
            xid=63885,
            timeline=3,
            at=NOON,
        ),
        records.Finished(state="waiting", at=NOON),
    ]
    journal = [r for r in _journal("promote") if getattr(r, "step", "") != "promote"]
    return _view(
        [*journal, *end], server="running", report=f"/var/lib/pgrescue/runs/{RUN}/report.md"
    )


def succeeded() -> RunView:
    """Done; the old data is still aside."""
    return _view(
        [
            *_journal("tidy"),
            records.StepEnded(step="tidy", seconds=0.1, result="", at=NOON),
            records.Finished(state="succeeded", at=NOON),
        ],
        server="running",
        discardable=(Deletable(ASIDE, NOON, 1204, 281 * GIB),),
        kept_wal="",
        report=f"/var/lib/pgrescue/runs/{RUN}/report.md",
    )


def failed() -> RunView:
    """The copy broke off."""
    failure = Failure(
        title="The step 'extract' failed: No space left on device.",
        cause="The operating system refused at /var/lib/postgresql/16/main/[base].",
        evidence="errno 28",
        next=(f"mend the cause, then: pgrescue resume {RUN}", f"pgrescue undo {RUN}"),
        exit_code=4,
    )
    return _view([*_journal("extract"), records.Finished(state="failed", error=failure, at=NOON)])
