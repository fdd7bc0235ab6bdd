"""What pg_basebackup says is understood line by line; the samples are its own words."""

from __future__ import annotations

import pytest

from pgrescue.backup.progress import Taken, after_line
from pgrescue.errors import ExitCode
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.explained import tool_failed

TAR = """\
pg_basebackup: initiating base backup, waiting for checkpoint to complete
pg_basebackup: checkpoint completed
pg_basebackup: write-ahead log start point: 0/2400BD38 on timeline 1
pg_basebackup: starting background WAL receiver
pg_basebackup: created temporary replication slot "pg_basebackup_7103"
  3522/372863 kB (0%), 0/2 tablespaces (...pg/bk_pipe_tar_Pv_rate/16384.tar)
 33347/372863 kB (8%), 1/2 tablespaces (...pg/bk_pipe_tar_Pv_rate/16384.tar)
276481/372863 kB (74%), 1/2 tablespaces (.../pg/bk_pipe_tar_Pv_rate/base.tar)
372923/372923 kB (100%), 1/2 tablespaces (.../pg/bk_pipe_tar_Pv_rate/base.tar)
372923/372923 kB (100%), 2/2 tablespaces                                         
pg_basebackup: write-ahead log end point: 0/27C441F0
pg_basebackup: waiting for background process to finish streaming ...
pg_basebackup: syncing data to disk ...
pg_basebackup: renaming backup_manifest.tmp to backup_manifest
pg_basebackup: base backup completed
"""  # noqa: W291 - it says so
PHASES = [
    "waiting for checkpoint",
    "streaming database files",
    "transferring WAL",
    "syncing to disk",
    "done",
]
CLASH = """\
pg_basebackup: initiating base backup, waiting for checkpoint to complete
pg_basebackup: checkpoint completed
pg_basebackup: write-ahead log start point: 0/2B002668 on timeline 1
pg_basebackup: error: directory "/srv/pg/ts1" exists but is not empty
pg_basebackup: removing data directory "/srv/pg/bk_pipe_plain_clash"
"""


def after(text: str, taken: Taken | None = None) -> Taken:
    """How far it is after these lines."""
    taken = taken or Taken()
    for line in text.splitlines():
        taken = after_line(taken, line)
    return taken


def test_whole_run() -> None:
    taken = Taken()
    phases: list[str] = []
    for line in TAR.splitlines():
        taken = after_line(taken, line)
        phases += [taken.phase] if taken.phase not in phases[-1:] else []
    assert phases == PHASES
    assert (taken.start_lsn, taken.stop_lsn) == (Lsn.parse("0/2400BD38"), Lsn.parse("0/27C441F0"))
    assert taken.timeline == 1
    assert taken.done_bytes == taken.total_bytes == 372923 * 1024
    assert taken.tablespaces == (2, 2)


def test_amid_the_files() -> None:
    taken = after("\n".join(TAR.splitlines()[:8]))
    assert (taken.done_bytes, taken.total_bytes) == (276481 * 1024, 372863 * 1024)
    assert taken.tablespaces == (1, 2)
    assert taken.file == ".../pg/bk_pipe_tar_Pv_rate/base.tar"


@pytest.mark.parametrize(
    "line",
    [
        " 33347/370295 kB (9%), 1/2 tablespaces",
        "370787/370787 kB (100%), 1/1 tablespace",
        " 33388/373192 kB (8%), 1/2 tablespaces (.../PG_15_202209061/16385/16408_fsm)",
        "33388/373192 kB (8%), 1/2 tablespaces (a (strange) name)   ",
    ],
)
def test_counts_in_every_form(line: str) -> None:
    taken = after_line(Taken(), line)
    assert taken.phase == "streaming database files"
    assert taken.done_bytes > 0


def test_estimate_that_was_exceeded_grows() -> None:
    taken = after_line(Taken(), "389846/373416 kB (100%), 1/2 tablespaces")
    assert taken.total_bytes == taken.done_bytes == 389846 * 1024


def test_last_count_behind_the_files_is_no_way_back() -> None:
    """The WAL is waited for while the count is told once more."""
    waiting = after("pg_basebackup: waiting for background process to finish streaming ...")
    assert after_line(waiting, "9/9 kB (100%), 1/1 tablespace").phase == "transferring WAL"


@pytest.mark.parametrize(
    "line", ["", "WARNING:  skipping special file", "12/x kB", "pg_basebackup: something new"]
)
def test_what_means_nothing_changes_nothing(line: str) -> None:
    known = after("\n".join(TAR.splitlines()[:7]))
    assert after_line(known, line) == known


@pytest.mark.parametrize(
    ("said", "title", "way_on"),
    [
        (
            "pg_basebackup: error: could not write to file "
            '"/b/.x.partial/base.tar": No space left on device',
            "no room left",
            "make room",
        ),
        (
            'pg_basebackup: error: connection to server at "127.0.0.1", port 5432 failed: '
            'FATAL:  password authentication failed for user "backup"',
            "another password",
            ".pgpass",
        ),
        (
            'pg_basebackup: error: connection to server on socket "/s/.s.PGSQL.5432" failed: '
            'FATAL:  no pg_hba.conf entry for replication connection from host "[local]", '
            'user "backup", no encryption',
            "pg_hba.conf",
            "pg_reload_conf",
        ),
        (
            'pg_basebackup: error: connection to server on socket "/s/.s.PGSQL.5432" failed: '
            "FATAL:  must be superuser or replication role to start walsender",
            "may not replicate",
            "alter role",
        ),
        (
            'pg_basebackup: error: connection to server on socket "/s/.s.PGSQL.5432" failed: '
            "FATAL:  permission denied to start WAL sender\n"
            "DETAIL:  Only roles with the REPLICATION attribute may start a WAL sender process.",
            "may not replicate",
            "alter role",
        ),
        (
            'pg_basebackup: error: connection to server on socket "/s/.s.PGSQL.5432" failed: '
            "FATAL:  number of requested standby connections exceeds max_wal_senders "
            "(currently 2)",
            "No WAL sender is free",
            "max_wal_senders",
        ),
        (
            'pg_basebackup: error: connection to server on socket "/s/.s.PGSQL.5432" failed: '
            'FATAL:  number of requested standby connections exceeds "max_wal_senders" '
            "(currently 2)",
            "No WAL sender is free",
            "max_wal_senders",
        ),
        (
            "pg_basebackup: error: could not send replication command "
            '"CREATE_REPLICATION_SLOT": ERROR:  all replication slots are in use\n'
            "HINT:  Free one or increase max_replication_slots.",
            "No replication slot is free",
            "max_replication_slots",
        ),
        (
            "pg_basebackup: error: could not read COPY data: server closed the connection "
            "unexpectedly",
            "connection to the server was lost",
            "server's log",
        ),
        (
            "pg_basebackup: error: could not get write-ahead log end position from server: "
            "ERROR:  requested WAL segment 000000010000000000000003 has already been removed",
            "was recycled",
            "--wal-method stream",
        ),
        (
            'WARNING:  checksum verification failed in file "./base/5/1259", block 3: '
            "calculated 1B2C but expected 77A1\n"
            "pg_basebackup: error: checksum error occurred",
            "are damaged",
            "checksum",
        ),
        (
            "pg_basebackup: error: could not initiate base backup: ERROR:  incremental backups "
            "cannot be taken unless WAL summarization is enabled",
            "what has changed since",
            "full backup",
        ),
        (
            "pg_basebackup: error: could not initiate base backup: ERROR:  WAL summaries are "
            "required on timeline 1 from 0/2000028 to 0/6000028, but the summaries for that "
            "timeline and LSN range are incomplete",
            "what has changed since",
            "full backup",
        ),
        (
            'pg_basebackup: error: could not fsync file "/b/.main-incremental.partial/base.tar": '
            "Input/output error",
            "cannot read or write /b/.main-incremental.partial/base.tar",
            "dmesg",
        ),
        ("pg_basebackup: error: a word of next year", "pg_basebackup failed", "tool.log"),
        ("", "pg_basebackup failed", "tool.log"),
    ],
)
def test_known_troubles_lead_on(said: str, title: str, way_on: str) -> None:
    failed = tool_failed(
        said,
        1,
        program="pg_basebackup",
        unchanged="Nothing of it is left.",
        for_backup=True,
        next_steps=("then take it again: pgrescue resume",),
    )
    assert failed.exit_code == ExitCode.STEP_FAILED
    assert title in failed.title
    assert failed.unchanged == "Nothing of it is left."
    assert any(way_on in step for step in failed.next_steps)
    assert any("pgrescue resume" in step for step in failed.next_steps)
    if said:
        assert said.splitlines()[0].partition("error: ")[2] in failed.evidence
    else:
        assert "exit code 1" in failed.cause
