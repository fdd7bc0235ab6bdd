"""A plan to fold journals over, made of plain values."""

from __future__ import annotations

from datetime import UTC, datetime

from pgrescue.plan.model import Move, Plan, Stop, Work
from pgrescue.plan.sealed import Step, seal
from pgrescue.plan.settings import recovery_settings
from pgrescue.plan.steps import restore_steps
from pgrescue.plan.target import Target
from pgrescue.postgres.account import current_account
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.service import ServiceSpec


def make_work(data: str, target: Target, moves: tuple[Move, ...]) -> Work:
    """What executors need, for a data directory in a test's own directory."""
    from pgrescue.plan.model import BackupPart

    return Work(
        tag="pgrescue-test",
        data_directory=data,
        owner=current_account(),
        run_as=None,
        mode=0o700,
        bin_directory="/usr/bin",
        major=15,
        service=ServiceSpec("pg_ctl"),
        stop_service=True,
        was_running=True,
        start_again=False,
        config_directory=None,
        chain=(BackupPart("b", f"{data}.backup", "tar", "base.tar", None, "none", True, ()),),
        restore_bytes=None,
        moves=moves,
        wal_link=None,
        old_links=(),
        old_wal=None,
        staging=f"{data}.pgrescue-test-wal",
        wal_archive=None,
        restore_command=None,
        wal_segment_size=16 * 1024 * 1024,
        system_identifier=None,
        start_lsn=Lsn(0x3000028),
        wal_end=None,
        settings=recovery_settings(target, 1, "fetch", 15, {}, standby=False),
        lasting_settings={},
        signal_file="recovery.signal",
        added_files={},
        removed_files=(),
        old_data="keep",
        conninfo="",
        log=None,
        port=None,
        stop_timeout=10.0,
        start_timeout=10.0,
    )


def make_plan(data: str, moves: tuple[Move, ...] = (), steps: tuple[Step, ...] = ()) -> Plan:
    """A sealed plan without findings."""
    target = Target("xid", False, "pause", 1, xid=700)
    work = make_work(data, target, moves)
    plan = Plan(
        id="",
        created_at=datetime(2026, 11, 22, 12, tzinfo=UTC),
        host="db1",
        operator="anna",
        cluster="main",
        mode="in_place",
        backup="b",
        target=target,
        stop=Stop("before_commit", 700, None, None, None, 1),
        preflight=(),
        steps=steps or restore_steps(work, target, standby=False),
        settings=work.settings,
        settings_diff="",
        space=(),
        reversible=True,
        time_zone=None,
        work=work,
    )
    return seal(plan)
