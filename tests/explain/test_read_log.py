"""Logs in every format that a server writes, and logs that mean harm."""

from __future__ import annotations

import csv
import io
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgrescue.explain.host import NoHost
from pgrescue.explain.read_log import read_messages, split_starts
from pgrescue.explain.translate import explain
from pgrescue.postgres.server_log import RecoveryLog

TEXT = "recovery aborted because of insufficient parameter settings"
DETAIL = (
    "max_connections = 50 is a lower setting than on the primary server, where its value was 120."
)


def as_csv(level: str, text: str, detail: str = "") -> str:
    row = [
        "2026-11-22 21:08:02.295 UTC",
        "",
        "",
        "13494",
        "",
        "x",
        "1",
        "",
        "",
        "",
        "0",
        level,
        "22023",
    ]
    buffer = io.StringIO()
    csv.writer(buffer).writerow(
        [*row, text, detail, "", "", "", "", "", "", "", "", "startup", "", "0"]
    )
    return buffer.getvalue()


def as_json(level: str, text: str, detail: str = "") -> str:
    entry = {"timestamp": "x", "pid": 13494, "error_severity": level, "message": text}
    return json.dumps(entry | ({"detail": detail} if detail else {})) + "\n"


def as_text(prefix: str, level: str, text: str, detail: str = "") -> str:
    more = f"{prefix}DETAIL:  {detail}\n" if detail else ""
    return f"{prefix}{level}:  {text}\n{more}"


@pytest.mark.parametrize(
    "log",
    [
        as_text("2026-11-22 21:08:02.295 UTC [13494] ", "FATAL", TEXT, DETAIL),
        as_text("", "FATAL", TEXT, DETAIL),
        as_text(
            "2026-11-22 21:08:02 CET [13494]: [3-1] user=,db=,app=,client= ", "FATAL", TEXT, DETAIL
        ),
        as_text("Nov 22 21:08:02 db1 postgres[13494]: [5-1] 2026-11-22 ", "FATAL", TEXT, DETAIL),
        as_csv("LOG", 'statement: select "x"\nFATAL:  multiple recovery targets specified')
        + as_csv("FATAL", TEXT, DETAIL),
        as_json("LOG", "starting PostgreSQL 15.18") + as_json("FATAL", TEXT, DETAIL),
        as_text("2026-11-22 [1] ", "FATAL", TEXT, DETAIL).replace("\n", "\r\n"),
    ],
    ids=["default prefix", "no prefix", "long prefix", "syslog", "csv", "json", "crlf"],
)
def test_every_format_tells_the_same(log: str) -> None:
    (found,) = explain(io.StringIO(log, newline=""), NoHost())
    assert found.code == "setting_lower_than_primary"
    assert found.title == (
        "max_connections is lower here than it was on the primary: 50 instead of 120."
    )


def test_a_detail_may_have_several_lines() -> None:
    log = "x [7] FATAL:  no\nx [7] DETAIL:  first\n\tsecond\nx [7] HINT:  third\nx [8] LOG:  next\n"
    fatal, after = read_messages(log.splitlines())
    assert (fatal.detail, fatal.pid) == ("first\nsecond", 7)
    assert (after.text, after.number) == ("next", 5)


def test_what_users_write_is_no_failure_of_the_server() -> None:
    """A statement may hold what looks like a failure, and is logged as it came."""
    log = [
        "x [7] LOG:  statement: select 'FATAL:  multiple recovery targets specified'",
        "\tPANIC:  WAL contains references to invalid pages",
        "x [7] LOG:  duration: 3 ms  statement: select 'database files are incompatible with "
        "server'",
        'x [7] ERROR:  relation "incorrect checksum in control file" does not exist at character '
        "15",
        "x [7] STATEMENT:  select 'multiple recovery targets specified'",
    ]
    assert explain(log, NoHost()) == ()


def test_the_newest_start_comes_first_and_each_is_told_apart() -> None:
    log = [
        "x [1] LOG:  starting PostgreSQL 15.18",
        "x [1] FATAL:  multiple recovery targets specified",
        "x [2] LOG:  starting PostgreSQL 15.18",
        'x [2] FATAL:  data directory "/d" has invalid permissions',
        "x [3] LOG:  starting PostgreSQL 15.18",
        "x [3] LOG:  database system is ready to accept connections",
    ]
    found = explain(log, NoHost())
    assert [(each.code, each.start, each.line) for each in found] == [
        ("data_directory_permissions", 2, 4),
        ("several_targets", 1, 2),
    ]


def test_a_cause_comes_before_what_follows_from_it() -> None:
    log = [
        "x [1] LOG:  starting PostgreSQL 15.18",
        "x [2] LOG:  starting point-in-time recovery to 2026-11-22 20:36:45+00",
        'x [2] LOG:  restored log file "00000001000000000000003A" from archive',
        "x [2] LOG:  incorrect resource manager data checksum in record at 0/3B4C2ED8",
        "x [2] LOG:  redo done at 0/3B4C2EB0",
        "x [2] FATAL:  recovery ended before configured recovery target was reached",
    ]
    cause, symptom = explain(log, NoHost())
    assert (cause.code, cause.weight) == ("wal_damaged", "failure")
    assert (symptom.code, symptom.weight) == ("target_not_reached", "consequence")
    assert "2026-11-22 20:36:45+00" in symptom.title


def test_a_repeated_failure_is_told_once() -> None:
    line = "x [1] LOG:  archive command failed with exit code 1"
    (found,) = explain([line] * 500, NoHost())
    assert "500 times, at last in line 500" in found.evidence


def test_a_quiet_log_has_no_failure() -> None:
    log = [
        "x [1] LOG:  starting PostgreSQL 15.18",
        "x [2] LOG:  database system was shut down at 2026-11-22 20:35:51 UTC",
        "x [1] LOG:  database system is ready to accept connections",
        "x [2] LOG:  invalid record length at 0/3000060: wanted 24, got 0",
        "x [2] LOG:  unexpected pageaddr 0/1000000 in log segment 000000010000000000000003, "
        "offset 0",
    ]
    assert explain(log, NoHost()) == ()


START = "x [1] LOG:  starting PostgreSQL 15.18"
STOP = "x [2] LOG:  recovery stopping before commit of transaction 7, time 2026-11-22 20:36:03+00"


@pytest.mark.parametrize(
    ("target", "known_up", "is_before"),
    [
        ("2026-11-22 20:30:00+00", "2026-11-22 20:35:51 UTC", True),
        ("2026-11-22 21:30:00+01", "2026-11-22 20:35:51 UTC", True),
        ("2026-11-22 15:40:00-05", "2026-11-22 20:35:51 UTC", False),
        ("2026-11-22 20:30:00+00", "2026-11-22 21:25:51 CET", False),
    ],
)
def test_times_are_compared_across_zones(target: str, known_up: str, is_before: bool) -> None:
    log = [
        START,
        f"x [2] LOG:  database system was interrupted; last known up at {known_up}",
        f"x [2] LOG:  starting point-in-time recovery to {target}",
        'x [2] LOG:  restored log file "00000001000000000000003A" from archive',
        STOP,
    ]
    assert ("target_before_backup" in [each.code for each in explain(log, NoHost())]) is is_before


def test_a_target_within_the_backups_own_wal_needs_no_archive() -> None:
    log = [
        START,
        "x [2] LOG:  starting point-in-time recovery to earliest consistent point",
        "x [2] LOG:  redo starts at 0/38000028",
        "x [2] LOG:  recovery stopping after reaching consistency",
        "x [2] LOG:  redo done at 0/38000100 system usage: CPU: user: 0.00 s",
    ]
    assert explain(log, NoHost()) == ()


@given(
    st.text()
    | st.lists(
        st.sampled_from(
            [
                "FATAL:  ",
                "\t",
                '"',
                "{",
                '"error_severity"',
                ",",
                "2026-01-01 00:00:00,",
                "LOG:  ",
                "DETAIL:  ",
                "starting PostgreSQL",
                "recovery ended before configured recovery target was reached",
                "\n",
                'restored log file "00000001000000000000003A" from archive',
                "pg_ctl: ",
                "{x!q}",
            ]
        )
    ).map("".join)
)
def test_no_text_breaks_it(text: str) -> None:
    messages = list(read_messages(text.split("\n")))
    assert sum(len(start.messages) for start in split_starts(messages)) == len(messages)
    for found in explain(text.split("\n"), NoHost()):
        assert found.title
        assert found.next


VERBOSE = """\
2026-11-22 20:53:39 UTC [7] LOG:  00000: starting PostgreSQL 15.8
2026-11-22 20:53:39 UTC [7] LOCATION:  PostmasterMain, postmaster.c:1189
2026-11-22 20:53:39 UTC [8] LOG:  00000: starting point-in-time recovery to XID 763
x [8] FATAL:  XX000: recovery ended before configured recovery target was reached
2026-11-22 20:53:40 UTC [8] LOCATION:  FinishWalRecovery, xlogrecovery.c:1480
"""


def test_a_verbose_log_is_read_like_any_other() -> None:
    """With `log_error_verbosity = verbose` the SQLSTATE stands before the text."""
    (found,) = explain(VERBOSE.splitlines(), NoHost())
    assert found.code == "target_not_reached"
    log = RecoveryLog()
    log.read_line("x LOG:  00000: shutdown at recovery target")
    log.read_line("x FATAL:  57P03: the database system is starting up")
    assert log.shut_down_at_target
    assert not log.failures, "that ended a client's connection only"


def test_passwords_in_what_a_log_quotes_are_hidden() -> None:
    log = (
        "2026-11-22 20:53:39 UTC [7] LOG:  archive command failed with exit code 1\n"
        "2026-11-22 20:53:39 UTC [7] DETAIL:  The failed archive command was: "
        "PGPASSWORD=hunter2 send pg_wal/000000010000000000000003\n"
        "2026-11-22 20:53:40 UTC [8] FATAL:  something unheard of with password=hunter2\n"
    )
    found = explain(log.splitlines(), NoHost())
    assert len(found) == 2
    assert "hunter2" not in repr(found)
    assert "***" in repr(found)


FURTHER = [
    (
        "slot_missing",
        'x [7] FATAL:  could not start WAL streaming: ERROR:  replication slot "a" does not exist',
    ),
    (
        "slot_missing",
        "pg_receivewal: error: could not send replication command: ERROR:  replication slot "
        '"a" does not exist',
    ),
    ("wal_of_tar_not_parsed", "pg_verifybackup: error: pg_waldump cannot read tar files"),
    ("source_damaged", "pg_basebackup: error: checksum error occurred"),
    (
        "crash_recovery_changes_timeline",
        "x [7] LOG:  crash recovery starts in timeline 1 and has target timeline 2",
    ),
    (
        "some_setting_lower_than_primary",
        "x [7] FATAL:  recovery aborted because of insufficient parameter settings",
    ),
    (
        "snapshot_not_ready",
        "x [7] FATAL:  the database system is not yet accepting connections\n"
        "x [7] DETAIL:  Recovery snapshot is not yet ready for hot standby.",
    ),
    (
        "still_recovering",
        "x [7] FATAL:  the database system is not yet accepting connections\n"
        "x [7] DETAIL:  Consistent recovery state has not been yet reached.",
    ),
]


@pytest.mark.parametrize(("code", "log"), FURTHER, ids=[log[:50] for _, log in FURTHER])
def test_what_is_said_in_passing_is_known(code: str, log: str) -> None:
    (found,) = explain(log.splitlines(), NoHost())
    assert found.code == code
    assert not re.search(r"\b[A-Z_]{5,}\b(?! on)", found.title), "nothing is left to fill in"


STOP_POINT = "requested recovery stop point is before consistent recovery point"
TORN = as_csv("LOG", "checkpoint starting: time").partition(" starting")[0].replace("point", '"p')


def test_a_torn_row_ends_where_the_next_one_begins() -> None:
    log = f"{TORN}\n{as_csv('LOG', 'starting PostgreSQL 15.18')}{as_csv('FATAL', STOP_POINT)}"
    (found,) = explain(log.splitlines(), NoHost())
    assert (found.code, found.line) == ("target_before_consistency", 3)


def test_a_log_that_ends_within_a_row_has_it() -> None:
    whole = as_csv("FATAL", f'{STOP_POINT}\nof "7"')
    (message,) = read_messages(whole[: whole.index('of ""')].splitlines())
    assert (message.level, message.text) == ("FATAL", STOP_POINT)


def test_an_open_quote_is_not_counted_again_for_every_line() -> None:
    log = [TORN, *['more "" and more'] * 200_000]
    assert len(list(read_messages(log))) == 1


@pytest.mark.parametrize("key", ["log", "MESSAGE"])
def test_a_line_that_docker_or_journald_has_wrapped_is_read(key: str) -> None:
    lines = [
        "2026-11-22 20:53:39 UTC [7] LOG:  starting PostgreSQL 15.18",
        '2026-11-22 20:53:39 UTC [7] LOG:  restored log file "000000010000000000000005" from '
        "archive",
        "2026-11-22 20:53:39 UTC [7] FATAL:  WAL ends before end of online backup",
        "2026-11-22 20:53:39 UTC [7] DETAIL:  first",
        "\tsecond",
    ]
    wrapped = [json.dumps({key: f"{line}\n", "stream": "stderr"}) for line in lines]
    _, restored, fatal = read_messages(wrapped)
    assert restored.text == 'restored log file "000000010000000000000005" from archive'
    assert (fatal.level, fatal.detail) == ("FATAL", "first\nsecond")
    # A server that writes JSON itself is wrapped once more.
    (found,) = explain([json.dumps({key: as_json("FATAL", STOP_POINT)})], NoHost())
    assert found.code == "target_before_consistency"


def test_a_collectors_words_stand_before_an_object() -> None:
    log = f"2026-11-22T20:53:39.1Z stderr F {as_json('FATAL', 'the moon is full')}"
    (found,) = explain([log], NoHost())
    assert found.title.endswith(": the moon is full")


def test_an_object_in_a_users_statement_is_none_of_the_servers() -> None:
    entry = as_json("FATAL", STOP_POINT).strip()
    log = [
        f"x [7] LOG:  statement: {entry}",
        "x [7] ERROR:  syntax error",
        f"x [7] STATEMENT:  {entry}",
        f"\t{entry}",
        f"x [7] ANWEISUNG:  {entry}",
    ]
    assert not any(message.is_fatal for message in read_messages(log))
    assert not list(read_messages([as_csv("LOG", f"statement: {entry}")]))


GLUED = (
    "2026-11-22 20:53:39 UTC [7] LOG:  incorrect resource manager data checksum in record at "
    "0/30000602026-11-22 20:59:01.000 UTC [200] LOG:  starting PostgreSQL 15.8"
)


def test_two_lines_run_together_make_no_position() -> None:
    (found,) = explain([GLUED], NoHost())
    assert "at 0/3000060:" in found.title


@pytest.mark.parametrize(
    "line",
    [
        GLUED,
        GLUED.replace("0602026", "060999999999"),
        '{"error_severity":"FATAL","message":"x","pid":"²"}',
        as_csv("FATAL", "x").replace("13494", "²"),
        f"x [{'1' * 5000}] ERROR:  x",
        '{"error_severity":' + "[" * 200_000,
        '{"log":' + "[" * 200_000,
        f"x [1] LOG:  starting PostgreSQL {'1' * 5000}",
        "x [1] LOG:  database system was interrupted; last known up at 2026-99-99 99:99:99 UTC\n"
        "x [1] LOG:  starting point-in-time recovery to 0001-01-01 00:00:00+15\n"
        "x [1] LOG:  recovery stopping before commit of transaction 7, time 2026",
    ],
    ids=lambda line: line[:40],
)
def test_an_odd_line_is_no_end_of_the_log(line: str) -> None:
    log = [START, *line.splitlines(), f"x [2] FATAL:  {STOP_POINT}"]
    assert "target_before_consistency" in [each.code for each in explain(log, NoHost())]
