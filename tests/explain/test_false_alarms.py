"""Logs of servers that work, or fail otherwise: nothing is told of them that is not so."""

from __future__ import annotations

import pytest

from pgrescue.explain.host import NoHost
from pgrescue.explain.message import Explanation
from pgrescue.explain.translate import explain

STARTING = "x [100] LOG:  starting PostgreSQL 16.3 on x86_64-pc-linux-gnu"
OPEN = "x [100] LOG:  database system is ready to accept connections"


def told(*lines: str) -> tuple[Explanation, ...]:
    return explain("\n".join(lines).splitlines(), NoHost())


def codes(*lines: str) -> list[tuple[str, str]]:
    return [(each.code, each.weight) for each in told(*lines)]


def one(*lines: str) -> Explanation:
    (found,) = told(*lines)
    return found


def test_a_mistyped_database_is_not_half_dropped() -> None:
    assert codes('x [200] a@b FATAL:  database "b" does not exist') == []


def test_a_database_renamed_meanwhile_is_not_half_dropped() -> None:
    assert (
        codes(
            'x [200] a@b FATAL:  database "b" does not exist',
            "x [200] a@b DETAIL:  It seems to have just been dropped or renamed.",
        )
        == []
    )


def test_a_mistyped_database_does_not_displace_the_cause() -> None:
    found = told(
        STARTING,
        "x [103] LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00",
        'x [103] LOG:  restored log file "000000010000000000000009" from archive',
        "x [100] LOG:  database system is ready to accept read-only connections",
        'x [133] mon@mon FATAL:  database "mon" does not exist',
        "x [103] LOG:  redo done at 0/9FFFF00 system usage: CPU: user: 0.00 s",
        "x [103] FATAL:  recovery ended before configured recovery target was reached",
    )
    assert [(each.code, each.weight) for each in found] == [("target_not_reached", "failure")]


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("base/16400", "database_half_dropped"),
        ("pg_tblspc/16401/PG_16_202307071/16400", "tablespace_missing"),
    ],
)
def test_a_database_without_its_files_is_told(path: str, code: str) -> None:
    found = one(
        'x [200] a@b FATAL:  database "b" does not exist',
        f'x [200] a@b DETAIL:  The database subdirectory "{path}" is missing.',
    )
    assert found.code == code


def test_only_the_slot_in_question_is_dropped_and_only_on_a_copy() -> None:
    found = one('x [1] FATAL:  logical replication slot "feed" exists, but "wal_level" < "logical"')
    original, copy = found.next
    assert original.startswith("if this is the original: set wal_level = logical")
    assert copy.startswith("if this is a copy")
    assert "drop" not in original
    assert "where slot_name = 'feed'" in copy


def test_a_tablespace_that_is_not_mounted_is_mounted_first() -> None:
    found = one(
        'x [1] LOG:  could not open directory "pg_tblspc/16400/PG_16_202307071": No such file or '
        "directory"
    )
    assert found.code == "tablespace_missing"
    mounted, mount, restore = found.next
    assert "is its file system mounted?" in mounted
    assert "mount it, start the server again" in mount
    assert restore.startswith("if this is a restored copy")
    assert "worth" not in " ".join(found.next)


def test_a_standbys_recovery_conf_becomes_standby_signal() -> None:
    found = one('x [1] FATAL:  using recovery command file "recovery.conf" is not supported')
    standby, recovery = found.next[1:]
    assert standby.startswith("for a standby (standby_mode = on)")
    assert "/standby.signal" in standby
    assert "/recovery.signal" in recovery


def test_a_key_of_roots_for_a_group_is_right() -> None:
    found = one(
        'x [1] FATAL:  could not load private key file "/etc/ssl/private/ssl-cert-snakeoil.key": '
        "Permission denied"
    )
    assert found.code == "ssl_files"
    told_next = " ".join(found.next)
    assert "chmod" not in told_next
    assert "by root, mode 0640" in told_next


FAILED_START = "x [100] LOG:  database system is shut down"


@pytest.mark.parametrize(
    "line",
    [
        'x [200] a@b FATAL:  invalid value for parameter "TimeZone": "Mars/Base"',
        'x [200] a@b ERROR:  unrecognized configuration parameter "planner_mood"',
        'x [100] LOG:  invalid value for parameter "work_mem": "x"',
        'x [100] LOG:  could not bind IPv6 address "::1": Address already in use',
    ],
)
def test_what_a_running_server_refuses_is_not_its_start(line: str) -> None:
    assert codes(STARTING, OPEN, line) == []


def test_a_start_that_is_refused_is_told() -> None:
    bad = 'x [100] LOG:  invalid value for parameter "work_mem": "x"'
    assert codes(STARTING, bad)[0] == ("invalid_setting", "failure")


def test_a_reload_with_an_error_leaves_the_server_running() -> None:
    found = one(
        STARTING,
        OPEN,
        "x [100] LOG:  received SIGHUP, reloading configuration files",
        'x [100] LOG:  configuration file "/c/postgresql.conf" contains errors; unaffected changes '
        "were applied",
    )
    assert (found.code, found.weight) == ("reload_refused", "note")
    assert "runs on" in found.cause


@pytest.mark.parametrize(
    ("line", "address"),
    [
        (
            'x [100] LOG:  could not bind IPv4 address "10.9.8.7": Cannot assign requested address',
            "10.9.8.7",
        ),
        (
            'x [100] FATAL:  could not create lock file "/run/gone/.s.PGSQL.5432.lock": No such '
            "file or directory",
            "/run/gone",
        ),
    ],
)
def test_an_address_of_another_machine_is_no_other_server(line: str, address: str) -> None:
    found = one(
        STARTING,
        line,
        "x [100] FATAL:  could not create any TCP/IP sockets",
        FAILED_START,
    )
    assert found.code == "address_not_here"
    assert address in found.title


def test_another_server_on_the_port_is_told() -> None:
    found = one(
        STARTING,
        'x [100] LOG:  could not bind IPv4 address "127.0.0.1": Address already in use',
        "x [100] FATAL:  could not create any TCP/IP sockets",
    )
    assert found.code == "port_in_use"


@pytest.mark.parametrize(
    ("process", "signal", "code"),
    [
        ("server process", "11: Segmentation fault", "crashed"),
        ("startup process", "11: Segmentation fault", "crashed"),
        ("autovacuum worker", "9: Killed", "killed"),
        ("archiver process", "7: Bus error", "crashed"),
        ('background worker "logical replication worker"', "6: Aborted", "aborted"),
    ],
)
def test_a_process_that_a_signal_ended_is_seen(process: str, signal: str, code: str) -> None:
    found = one(
        STARTING, OPEN, f"x [100] LOG:  {process} (PID 4711) was terminated by signal {signal}"
    )
    assert found.code == code
    assert process in found.title


def test_a_panic_is_the_failure_and_the_signal_follows_from_it() -> None:
    found = told(
        STARTING,
        OPEN,
        "x [200] PANIC:  could not write to log file: something new",
        "x [100] LOG:  server process (PID 200) was terminated by signal 6: Aborted",
    )
    assert [each.weight for each in found] == ["failure"]
    assert "something new" in found[0].evidence


@pytest.mark.parametrize(
    "line",
    [
        "x [300] FATAL:  terminating walreceiver process due to administrator command",
        "x [300] FATAL:  terminating autovacuum process due to administrator command",
        "x [300] FATAL:  could not connect to the primary server: connection refused",
        "x [300] FATAL:  could not receive data from WAL stream: server closed the connection",
        "x [300] FATAL:  unsupported frontend protocol 0.0: server supports 3.0 to 3.0",
        'x [300] FATAL:  too many connections for role "app"',
        'x [300] FATAL:  Ident authentication failed for user "app"',
        'x [300] FATAL:  no pg_hba.conf entry for host "203.0.113.9", user "a", database "b"',
    ],
)
def test_a_healthy_day_has_no_failures(line: str) -> None:
    assert codes(STARTING, OPEN, line) == []


def test_a_strange_end_of_a_session_is_a_note_once_the_server_answers() -> None:
    line = "x [300] a@b FATAL:  a word of next year"
    assert codes(STARTING, OPEN, line) == [("unknown", "note")]
    assert codes(STARTING, line) == [("unknown", "failure")]


def test_a_standby_that_lost_its_wal_is_no_backup() -> None:
    found = one(
        STARTING,
        "x [300] FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment "
        "000000010000000000000007 has already been removed",
    )
    assert found.code == "wal_removed"
    assert any("pgrescue reseed" in step for step in found.next)
    assert "000000010000000000000007" in found.title


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (
            "pg_basebackup: error: could not receive data from WAL stream: ERROR:  requested WAL "
            "segment 000000010000000000000007 has already been removed",
            "wal_lost_during_backup",
        ),
        (
            "pg_basebackup: error: could not receive data from WAL stream: server closed the "
            "connection unexpectedly",
            "connection_lost",
        ),
        ("pg_basebackup: error: background process terminated unexpectedly", "wal_stream_ended"),
    ],
)
def test_a_lost_connection_is_no_recycled_wal(said: str, code: str) -> None:
    assert one(said).code == code


def test_a_full_shared_memory_is_no_full_disk() -> None:
    found = one(
        STARTING,
        'x [100] FATAL:  could not resize shared memory segment "/PostgreSQL.1234" to 4194304 '
        "bytes: No space left on device",
    )
    assert found.code == "shared_memory_full"
    assert "/dev/shm" in found.title


def test_a_broken_line_of_pg_hba_is_not_a_missing_file() -> None:
    found = one(
        STARTING,
        'x [100] LOG:  invalid authentication method "mdfive"',
        'x [100] CONTEXT:  line 12 of configuration file "/c/pg_hba.conf"',
        "x [100] FATAL:  could not load /c/pg_hba.conf",
    )
    assert found.code == "hba_errors"
    assert "mdfive" in found.evidence


def test_pg_ctl_that_started_the_server_has_found_no_other() -> None:
    other = "pg_ctl: another server might be running; trying to start server anyway"
    assert codes(other, "waiting for server to start.... done", "server started") == []
    assert codes(other, "stopped waiting")[0] == ("pid_file", "failure")


def test_a_lock_timeout_is_recoverys_only_while_that_is_paused() -> None:
    query = "x [300] a@b ERROR:  canceling statement due to lock timeout"
    paused = "x [103] LOG:  pausing at the end of recovery"
    assert codes(STARTING, OPEN, query) == []
    assert ("locked_at_the_target", "note") in codes(STARTING, paused, query)


def test_a_damaged_page_is_named_by_whichever_message_names_it() -> None:
    found = one(
        "x [300] a@b WARNING:  page verification failed, calculated checksum 1 but expected 2",
        "x [300] a@b ERROR:  invalid page in block 7 of relation base/5/16384",
    )
    assert "base/5/16384" in found.title
    assert "block 7" in found.title


@pytest.mark.parametrize(
    "line",
    [
        "2026-11-20 03:00:00 UTC [100] PANIK:  konnte Datei nicht schreiben",
        "2026-11-20 03:00:00 UTC [100] ВАЖНО:  восстановление окончилось",
        "2026-11-20 03:00:00 UTC [100] 致命错误:  无法打开文件",
    ],
)
def test_another_language_is_said_not_to_be_understood(line: str) -> None:
    found = one("x [100] LOG:  in German, too, that is its name", line)
    assert found.code == "not_understood"
    assert "nothing is known" in found.title


def test_a_record_that_somebody_has_wrapped_is_read() -> None:
    wrapped = (
        '{"level":"info","logger":"postgres","record":{"process_id":"100","error_severity":"PANIC",'
        '"message":"could not locate a valid checkpoint record"}}'
    )
    assert one(wrapped).code == "no_valid_checkpoint"


@pytest.mark.parametrize("part", ["a", "x (PID ", '"', "a:"])
def test_a_line_without_end_holds_nothing_up(part: str) -> None:
    """Looked at whole, it would take hours."""
    assert codes(f"[12] {part * 1_000_000}") == []


def test_the_end_of_pg_basebackups_child_is_no_failure_of_its_own() -> None:
    removed = (
        'pg_basebackup: error: could not send replication command "START_REPLICATION": ERROR:  '
        "requested WAL segment 000000010000000000000005 has already been removed"
    )
    for end in (
        "child process exited with exit code 1",
        "background process terminated unexpectedly",
    ):
        assert one(removed, f"pg_basebackup: error: {end}").code == "wal_lost_during_backup"


def test_a_tablespace_without_a_mapping_breaks_no_chain() -> None:
    found = one('pg_combinebackup: error: tablespace at "/ts" has no tablespace mapping')
    assert found.code == "tablespace_not_mapped"
    assert "--tablespace-mapping /ts=NEW_DIRECTORY" in found.next[0]


def test_nothing_is_left_to_fill_in_where_the_server_has_said_it() -> None:
    child = one(
        "x [1] FATAL:  requested timeline 2 is not a child of this server's history",
        'x [1] DETAIL:  Latest checkpoint in file "backup_label" is at 0/5000060 on timeline 1, '
        "but in the history of the requested timeline, the server forked off from that timeline "
        "at 0/40000A0.",
    )
    assert "0/5000060 is on timeline 1" in child.cause
    assert "at 0/40000A0" in child.cause
    assert child.next[0].endswith("--timeline 1")
    running = one(
        'x [1] FATAL:  lock file "postmaster.pid" already exists',
        'x [1] HINT:  Is another postmaster (PID 3747) running in data directory "/srv/pg/f"?',
    )
    assert running.next[0].endswith("ps -fp 3747")
    older = one(
        "x [1] FATAL:  database files are incompatible with server",
        "x [1] DETAIL:  The data directory was initialized by PostgreSQL version 15, which is not "
        "compatible with this version 17.11.",
    )
    assert older.title.endswith("this server is 17.11.")
    assert ".." not in older.title
