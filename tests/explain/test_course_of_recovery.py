"""What explain must not say: logs that only look like a failure, and what it cannot know."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from pgrescue.explain.course import course_of
from pgrescue.explain.host import FileSeen, Host, NoHost
from pgrescue.explain.message import Explanation
from pgrescue.explain.read_log import read_messages, split_starts
from pgrescue.explain.translate import explain
from pgrescue.postgres.backup_label import BackupLabel
from pgrescue.postgres.control_file import ControlFile, StandbyLimits
from pgrescue.postgres.history_file import Ancestor, TimelineHistory
from pgrescue.postgres.lsn import Lsn


def log(*lines: str) -> list[str]:
    """Each with the prefix of a server, unless it is what a command printed."""
    return [line if line.startswith(("cp:", "pg_ctl:")) else f"x [1] {line}" for line in lines]


def told(lines: list[str], host: Host | None = None) -> dict[str, Explanation]:
    """The explanations by their codes; none comes twice."""
    found = explain(lines, host or NoHost())
    by_code = {each.code: each for each in found}
    assert len(by_code) == len(found)
    return by_code


START = "LOG:  starting PostgreSQL 15.8 on x86_64-pc-linux-gnu, compiled by gcc, 64-bit"
UP = "LOG:  database system was interrupted; last known up at 2026-10-31 02:00:00 UTC"
RECOVERY = "LOG:  starting archive recovery"
CRASHED = "LOG:  database system was not properly shut down; automatic recovery in progress"
OPENED = (
    "LOG:  selected new timeline ID: 2",
    "LOG:  archive recovery complete",
    "LOG:  database system is ready to accept connections",
)
RECOVERED = log(
    START,
    UP,
    RECOVERY,
    'LOG:  restored log file "000000010000000000000005" from archive',
    "LOG:  redo starts at 0/5000028",
    "LOG:  consistent recovery state reached at 0/5000100",
    "cp: cannot stat '/archive/000000010000000000000006': No such file or directory",
    "LOG:  redo done at 0/5FFFFA0",
    "LOG:  last completed transaction was at log time 2026-10-31 23:00:00.1+00",
    *OPENED,
)
CRASH = log(
    UP,
    CRASHED,
    "LOG:  redo starts at 0/9000028",
    "LOG:  invalid record length at 0/9000100: wanted 24, got 0",
    "LOG:  redo done at 0/90000D8",
    "LOG:  database system is ready to accept connections",
)
REINITIALIZING = log(
    "LOG:  terminating any other active server processes",
    "LOG:  all server processes terminated; reinitializing",
)


def test_a_crash_long_after_a_recovery_says_nothing_about_the_backup() -> None:
    assert told([*RECOVERED, *REINITIALIZING, *CRASH]) == {}
    # Nor where the line between the two was not logged.
    assert told([*RECOVERED, *CRASH]) == {}


def test_a_start_that_refuses_its_configuration_is_not_the_one_before() -> None:
    lines = log(
        START,
        RECOVERY,
        'FATAL:  could not restore file "000000010000000000000005" from archive: command not found',
        "LOG:  database system is shut down",
        "pg_ctl: could not start server",
        'LOG:  syntax error in file "/d/postgresql.auto.conf" line 3, near token "x"',
        'FATAL:  configuration file "/d/postgresql.auto.conf" contains errors',
    )
    assert {each.start for each in explain(lines[:5], NoHost())} == {1}
    now, *before = explain(lines, NoHost())
    assert (now.code, now.start) == ("configuration_syntax", 2)
    # What pg_ctl says about the end of a server belongs to that server.
    assert [(each.code, each.start) for each in before] == [("restore_command_not_executable", 1)]


def test_words_before_a_start_belong_to_it() -> None:
    lines = log(
        START,
        "LOG:  database system is shut down",
        "LOG:  a library was loaded",
        START,
        "FATAL:  multiple recovery targets specified",
    )
    (found,) = explain(lines, NoHost())
    assert found.start == 2


MISSED = log(
    "LOG:  starting PostgreSQL 12.3 on x86_64-pc-linux-gnu",
    UP,
    "LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00",
    'LOG:  restored log file "000000010000000000000009" from archive',
    "LOG:  redo starts at 0/9000028",
    "LOG:  redo done at 0/9FFFF00",
)


def test_a_server_that_opened_may_have_written_to_the_archive() -> None:
    found = told([*MISSED, *log(*OPENED)])["ended_without_target"]
    assert "may have archived WAL of its own" in found.unchanged
    assert found.next[0].startswith("stop it, and look into the archive for files newer")
    assert "archive are as they were" not in found.unchanged


def test_a_server_that_never_opened_has_written_nothing_to_the_archive() -> None:
    fatal = "FATAL:  recovery ended before configured recovery target was reached"
    found = told([*MISSED, *log(fatal)])["target_not_reached"]
    assert "the archive are as they were" in found.unchanged
    assert not found.next[0].startswith("stop it")


class Machine:
    """One that has some files, archived segments, a pg_control and histories."""

    def __init__(
        self,
        *files: str,
        archived: Collection[str] = (),
        control: ControlFile | None = None,
        histories: Mapping[int, TimelineHistory] | None = None,
    ) -> None:
        self.places: Mapping[str, str] = {"data": "/srv/d", "archive": "/srv/wal"}
        self._files, self._archived = files, archived
        self._control, self._histories = control, histories or {}

    def file(self, path: str) -> FileSeen | None:
        return _seen(path) if path in self._files else None

    def archived(self, name: str) -> FileSeen | None:
        return _seen(name) if name in self._archived else None

    def control(self) -> ControlFile | None:
        return self._control

    def next_archived(self, name: str) -> str | None:
        return min((other for other in self._archived if other > name), default=None)

    def settings(self, name: str) -> tuple[tuple[str, str], ...]:
        return ()

    def process(self, pid: int) -> str | None:
        return None

    def free(self, path: str) -> tuple[int, int | None, str] | None:
        return None

    def label(self) -> BackupLabel | None:
        return None

    def histories(self) -> Mapping[int, TimelineHistory]:
        return self._histories


def _seen(path: str) -> FileSeen:
    return FileSeen(path, 1 << 24, 0o600, "postgres", is_directory=False, kind="")


SNAPSHOT = log(
    START,
    UP,
    RECOVERY,
    CRASHED,
    "LOG:  redo starts at 0/9000028",
    'LOG:  restored log file "00000001000000000000000A" from archive',
    "LOG:  consistent recovery state reached at 0/9FFFFF0",
    "LOG:  redo done at 0/A000100",
    *OPENED,
)


def test_without_a_label_it_may_be_a_snapshot_and_both_are_told() -> None:
    (found,) = told(SNAPSHOT).values()
    assert found.code == "recovered_without_label"
    assert "atomic snapshot" in found.title
    assert "its backup_label was lost" in found.cause
    assert any("nothing to do" in step for step in found.next)


def test_what_has_not_opened_has_not_archived() -> None:
    for recovery in (SNAPSHOT, [*alone(), *log(*OPENED)]):
        (found,) = told(recovery).values()
        assert "may have archived WAL of its own" in found.unchanged
        (found,) = told(recovery[: -len(OPENED)]).values()
        assert "the archive are as they were" in found.unchanged


def test_a_base_backup_whose_label_no_server_has_read_is_no_snapshot() -> None:
    (found,) = told(SNAPSHOT, Machine("backup_manifest")).values()
    assert found.code == "backup_label_missing"
    assert "backup_manifest is there" in found.evidence
    # One that was restored long ago, and is a snapshot of that server now, has both.
    (found,) = told(SNAPSHOT, Machine("backup_manifest", "backup_label.old")).values()
    assert found.code == "recovered_without_label"


def test_an_ignored_tablespace_map_is_proof_that_there_was_a_label() -> None:
    ignored = 'LOG:  ignoring file "tablespace_map" because no file "backup_label" exists'
    (found,) = told([*SNAPSHOT[:3], *log(ignored), *SNAPSHOT[3:]]).values()
    assert found.code == "backup_label_missing"


def from_label(version: str) -> list[str]:
    return log(
        f"LOG:  starting PostgreSQL {version} on x86_64-pc-linux-gnu",
        UP,
        "LOG:  redo starts at 0/9000028",
        "LOG:  redo done at 0/90000D8",
        OPENED[-1],
    )


@pytest.mark.parametrize("version", ["12.22", "13.14", "14.1"])
def test_a_live_primary_may_have_a_label_up_to_version_14(version: str) -> None:
    (found,) = told(from_label(version)).values()
    assert found.code == "started_from_label"
    assert found.next[0].startswith("if this is the live primary: nothing to do")
    assert "stop it, and look into the archive" in found.next[1]


def test_only_a_backup_has_a_label_since_version_15() -> None:
    (found,) = told(from_label("15.8")).values()
    assert found.code == "started_without_recovery"
    assert found.next[0].startswith("stop it, and look into the archive")


def test_a_server_that_lost_a_process_while_it_was_backed_up_is_live() -> None:
    running = log("LOG:  starting PostgreSQL 13.14 on x86_64-pc-linux-gnu", OPENED[-1])
    assert told([*running, *REINITIALIZING, *from_label("13.14")[1:]]) == {}


CONTROL = ControlFile(
    system_identifier="7711096547980037623",
    major=15,
    catalog_version=202209061,
    state="in archive recovery",
    written_at=datetime(2026, 11, 20, tzinfo=UTC),
    checkpoint_lsn=Lsn.parse("0/9000060"),
    redo_lsn=Lsn.parse("0/9000028"),
    timeline=1,
    next_xid=7,
    checkpoint_time=datetime(2026, 11, 20, tzinfo=UTC),
    min_recovery_lsn=Lsn.parse("0/9000028"),
    min_recovery_timeline=1,
    wal_segment_size=1 << 24,
    data_checksums=False,
    limits=StandbyLimits(100, 8, 10, 0, 64),
)
SECOND = TimelineHistory(2, (Ancestor(1, Lsn.parse("0/A000000"), "x"),))
BAD = "LOG:  incorrect resource manager data checksum in record at 0/B123450"
MISSED_TARGET = "FATAL:  recovery ended before configured recovery target was reached"


def damaged(*before: str, host: Host) -> str:
    """What is shown for a damaged record."""
    return told(log(START, UP, RECOVERY, *before, BAD, MISSED_TARGET), host)["wal_damaged"].evidence


def test_a_record_lies_in_the_segment_of_the_timeline_that_was_restored() -> None:
    base = "LOG:  starting backup recovery with redo LSN 0/9000028, checkpoint LSN 0/9000060, on "
    shown = damaged(
        f"{base}timeline ID 1",
        'LOG:  restored log file "00000002000000000000000B" from archive',
        host=Machine(control=CONTROL),
    )
    assert "0/B123450 lies in 00000002000000000000000B" in shown


def test_where_nothing_was_restored_the_histories_say_whose_segment_it_is() -> None:
    followed = 'LOG:  restored log file "00000002.history" from archive'
    known = Machine(control=CONTROL, histories={2: SECOND})
    assert "lies in 00000002000000000000000B" in damaged(followed, host=known)
    assert "lies in 00000001000000000000000B" in damaged(host=Machine(control=CONTROL))


def test_a_segment_whose_timeline_is_not_known_is_not_named() -> None:
    followed = 'LOG:  restored log file "00000002.history" from archive'
    assert "lies in" not in damaged(followed, host=Machine(control=CONTROL))
    assert "lies in" not in damaged(host=Machine(control=CONTROL, histories={2: SECOND}))
    later = replace(CONTROL, timeline=2)
    assert "lies in" not in damaged(host=Machine(control=later))


def alone(recovery: str = RECOVERY) -> list[str]:
    """A backup that is started with the WAL that it brought along."""
    return log(
        START,
        UP,
        recovery,
        "LOG:  redo starts at 0/9000028",
        "LOG:  consistent recovery state reached at 0/9000138",
        "LOG:  redo done at 0/9000138",
    )


def test_a_backup_with_its_own_wal_needs_no_archive() -> None:
    for host in (NoHost(), Machine(control=CONTROL), Machine(control=CONTROL, archived=["x"])):
        (found,) = told([*alone(), *log(*OPENED)], host).values()
        assert (found.code, found.weight) == ("archive_gave_nothing", "note")
        assert "right only if" in found.title


def test_what_the_archive_has_and_recovery_did_not_get_is_a_failure() -> None:
    segment = "000000010000000000000009"
    (found,) = told(
        [*alone(), *log(*OPENED)], Machine(control=CONTROL, archived=[segment])
    ).values()
    assert (found.code, found.weight) == ("restore_command_fetched_nothing", "failure")
    assert f"the archive has {segment}" in found.evidence
    # Or the one that the command itself names.
    asked = "cp: cannot stat '/mnt/00000001000000000000000A': No such file or directory"
    host = Machine(archived=["00000001000000000000000A"])
    (found,) = told([*alone(), *log(asked, *OPENED)], host).values()
    assert found.code == "restore_command_fetched_nothing"


def test_a_target_needs_the_archive() -> None:
    recovery = "LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00"
    found = told([*alone(recovery), *log(MISSED_TARGET)])
    assert found["restore_command_fetched_nothing"].weight == "failure"


TORN = (
    "LOG:  incorrect resource manager data checksum in record at 0/9123450",
    "LOG:  invalid resource manager ID 77 at 0/9123450",
    "LOG:  record length 4000000 at 0/9123450 too long",
)
STANDBY = log(
    START,
    "LOG:  database system was shut down in recovery at 2026-11-20 02:59:00 UTC",
    "LOG:  entering standby mode",
    "LOG:  redo starts at 0/9000028",
)
STREAMING = "LOG:  started streaming WAL from primary at 0/9000000 on timeline 1"
NINTH = 'LOG:  restored log file "000000010000000000000009" from archive'


@pytest.mark.parametrize("torn", TORN)
def test_a_torn_record_ends_the_recovery_from_a_crash_as_it_should(torn: str) -> None:
    assert told([*log(START), *CRASH[:-3], *log(torn), *CRASH[-2:]]) == {}
    # In a segment, too, from which the server itself was once restored.
    later = [*REINITIALIZING, *CRASH[:-3], *log(torn), *CRASH[-2:]]
    assert told([*RECOVERED, *(line.replace("0/9", "0/5") for line in later)]) == {}


@pytest.mark.parametrize("torn", TORN)
def test_a_standby_streams_again_what_is_torn_in_its_own_wal(torn: str) -> None:
    assert told([*STANDBY, *log(torn, STREAMING)]) == {}
    assert told([*STANDBY, *log(torn, torn, STREAMING)]) == {}
    assert told([*STANDBY, *log(NINTH, torn, STREAMING)]) == {}
    assert told([*STANDBY, *log(NINTH, torn, NINTH.replace("9", "A"))]) == {}
    # While the primary is away it waits there.
    assert told([*STANDBY, *log(torn)]) == {}
    assert "wal_damaged" in told([*STANDBY, *log(torn, STREAMING, torn, STREAMING)])
    assert "wal_damaged" in told([*STANDBY, *log(NINTH, torn, NINTH, torn, NINTH)])


@pytest.mark.parametrize("torn", TORN)
def test_what_was_archived_broken_is_damage(torn: str) -> None:
    recovery = log(START, UP, RECOVERY, NINTH, "LOG:  redo starts at 0/9000028", torn)
    end = log("LOG:  redo done at 0/9123400", NINTH, *OPENED)
    (found,) = told([*recovery, *end]).values()
    assert (found.code, found.weight) == ("wal_damaged", "failure")
    assert found.next[0].startswith("stop it")
    # Another copy of it, in pg_wal, was whole.
    tenth = NINTH.replace("9", "A")
    assert told([*recovery, *log(tenth, "LOG:  redo done at 0/A000100", *OPENED)]) == {}
    assert told([*recovery, *log("LOG:  redo done at 0/9FFFFA0", *OPENED)]) == {}


@pytest.mark.parametrize("torn", TORN)
def test_what_lay_in_pg_wal_only_ends_an_archive_recovery_as_it_should(torn: str) -> None:
    recovery = log(START, UP, RECOVERY, NINTH.replace("9", "8"), torn)
    assert told([*recovery, *log("LOG:  redo done at 0/9123400", *OPENED)]) == {}
    # It is why a target was not met.
    assert "wal_damaged" in told([*recovery, *log(MISSED_TARGET)])


@pytest.mark.parametrize("torn", TORN)
def test_of_a_log_that_was_cut_damage_is_told(torn: str) -> None:
    assert "wal_damaged" in told(log(torn))


REFUSED = log(
    START,
    RECOVERY,
    'FATAL:  could not restore file "000000010000000000000005" from archive: command not found',
    "LOG:  startup process (PID 103) exited with exit code 1",
    "LOG:  aborting startup due to startup process failure",
    "LOG:  database system is shut down",
)
WELL = log(
    START,
    "LOG:  database system was shut down at 2026-11-20 02:59:00 UTC",
    "LOG:  database system is ready to accept connections",
)


def test_a_start_after_which_the_server_came_up_is_no_present_failure() -> None:
    (found,) = told([*REFUSED, *WELL]).values()
    assert (found.code, found.weight) == ("restore_command_not_executable", "note")
    assert "the server has started since, at line 9" in found.title
    # Nor where a configuration was refused before anything started.
    refused = log('FATAL:  configuration file "/d/postgresql.conf" contains errors')
    assert all(each.weight == "note" for each in explain([*refused, *WELL], NoHost()))


def test_a_running_server_whose_log_was_cut_is_no_failed_start() -> None:
    cut = [
        "x [1] LOG:  archive command failed with exit code 1",
        'x [2] FATAL:  role "nobody" does not exist',
    ]
    (found,) = told([*cut, *WELL]).values()
    assert (found.code, found.weight) == ("archiving_fails", "failure")
    assert found.cause.endswith("The server has started since, at line 5.")


def test_a_present_failure_comes_before_one_that_is_over() -> None:
    now = log('FATAL:  data directory "/d" has invalid permissions')
    later = [*REFUSED, *WELL, *log("LOG:  database system is shut down"), *now]
    present, past = explain(later, NoHost())
    assert (present.code, present.weight) == ("data_directory_permissions", "failure")
    assert (past.code, past.weight) == ("restore_command_not_executable", "note")


def test_until_the_server_has_started_a_failed_start_stays_one() -> None:
    found = explain([*REFUSED, *REFUSED], NoHost())
    assert [each.weight for each in found] == ["failure", "failure"]
    # It answered, and gave up then.
    read_only = log("LOG:  database system is ready to accept read-only connections")
    found = explain([*REFUSED, *REFUSED[:2], *read_only, *REFUSED[2:]], NoHost())
    assert [each.weight for each in found] == ["failure", "failure"]


def test_another_start_does_not_mend_what_recovery_left_out() -> None:
    (found,) = told([*MISSED, *log(*OPENED), *WELL]).values()
    assert (found.code, found.weight) == ("ended_without_target", "failure")
    assert "has started since, at line 12; that alone mends nothing" in found.cause


def test_a_start_that_may_have_been_forced_leaves_the_failure() -> None:
    missing = log(START, "FATAL:  could not locate required checkpoint record")
    (found,) = told([*missing, *WELL]).values()
    assert (found.code, found.weight) == ("checkpoint_wal_missing", "failure")
    assert "has started since, at line 5" in found.cause
    assert "make sure that nobody forced it" in found.cause


PAUSED = log(
    START,
    UP,
    "LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00",
    NINTH,
    "LOG:  redo starts at 0/9000028",
    "LOG:  consistent recovery state reached at 0/9000138",
    "LOG:  database system is ready to accept read-only connections",
    "LOG:  recovery stopping before commit of transaction 7, time 2026-11-19 10:00:01+00",
    "LOG:  pausing at the end of recovery",
)


def test_a_recovery_waits_until_it_is_told_to_go_on() -> None:
    assert "paused_at_target" in told(PAUSED)
    assert told([*PAUSED, *log("LOG:  redo done at 0/9000138", *OPENED)]) == {}
    assert told([*PAUSED, *log("LOG:  received fast shutdown request")]) == {}
    assert told([*PAUSED, *WELL]) == {}


def test_of_a_long_log_only_the_course_is_gone_through_for_each_record() -> None:
    lines = list(STANDBY)
    for number in range(1, 100):
        lines += log(
            f"LOG:  incorrect resource manager data checksum in record at 0/9{number:06X}",
            STREAMING,
            *["LOG:  checkpoint complete"] * 100,
        )
    assert told(lines) == {}
    (start,) = split_starts(read_messages(lines))
    assert len(course_of(start).messages) < len(lines) / 40


SIXTH = 'LOG:  restored log file "000000010000000000000006" from archive'
DONE = "LOG:  redo done at 0/6FFFF00 system usage: CPU: user: 0.00 s"


def cut_short(said: str, *rest: str, recovery: str = RECOVERY) -> list[str]:
    """A recovery from an archive, of which a command says something before it goes on."""
    begun = (
        START,
        recovery,
        SIXTH.replace("6", "5"),
        "LOG:  redo starts at 0/5000028",
        "LOG:  consistent recovery state reached at 0/5000100",
        SIXTH,
    )
    return [*log(*begun), said, *log(*rest)]


OUT_OF_REACH = [
    "ssh: connect to host backup port 22: Connection refused",
    "cp: cannot open '/a/000000010000000000000007' for reading: Permission denied",
    "cp: error reading '/a/000000010000000000000007': Input/output error",
    "cp: cannot stat '/a/000000010000000000000007': Transport endpoint is not connected",
    "fatal error: An error occurred (403) when calling the HeadObject operation: Forbidden",
    "fatal error: An error occurred (NoSuchBucket) when calling the GetObject operation: none",
    "fatal error: Unable to locate credentials",
    "2026-11-22 21:19:08.142 P00  ERROR: [103]: unable to find a valid repository",
]


@pytest.mark.parametrize("said", OUT_OF_REACH)
def test_a_recovery_that_could_not_reach_its_archive_has_ended_too_early(said: str) -> None:
    # After its end it asks for its last segment and for histories, in vain, too.
    (found,) = told([*cut_short(said, DONE), said, *log(*OPENED)]).values()
    assert (found.code, found.weight) == ("archive_out_of_reach", "failure")
    assert found.next[0].startswith("stop it, and look into the archive")
    assert "may have archived WAL of its own" in found.unchanged


@pytest.mark.parametrize("said", OUT_OF_REACH)
def test_it_is_why_a_target_was_not_reached(said: str) -> None:
    recovery = "LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00"
    found = told(cut_short(said, DONE, MISSED_TARGET, recovery=recovery))
    assert found["archive_out_of_reach"].weight == "failure"
    assert found["target_not_reached"].weight == "consequence"
    # Or a recovery that ends before it has begun.
    missing = log(START, RECOVERY)
    fatal = log("FATAL:  could not locate required checkpoint record")
    assert "archive_out_of_reach" in told([*missing, said, *fatal])


@pytest.mark.parametrize("said", OUT_OF_REACH)
def test_an_archive_that_is_reached_again_has_cut_nothing_short(said: str) -> None:
    seventh = SIXTH.replace("6", "7")
    assert told(cut_short(said, seventh, DONE.replace("6", "7", 1), *OPENED)) == {}
    stop = "LOG:  recovery stopping before commit of transaction 7, time 2026-11-19 10:00:01+00"
    assert told(cut_short(said, stop, DONE, *OPENED)) == {}
    standby = "LOG:  entering standby mode"
    ready = "LOG:  database system is ready to accept read-only connections"
    assert told(cut_short(said, ready, recovery=standby)) == {}
    promoted = ("LOG:  received promote request", DONE, *OPENED)
    assert told(cut_short(said, *promoted, recovery=standby)) == {}


def test_a_file_that_is_not_there_is_the_end_of_the_archive() -> None:
    said = "fatal error: An error occurred (404) when calling the HeadObject operation: Not Found"
    assert told(cut_short(said, DONE, *OPENED)) == {}


@pytest.mark.parametrize(
    "said",
    [
        "gzip: /a/000000010000000000000007.gz: unexpected end of file",
        "/a/000000010000000000000007.zst : Read error (39) : premature end",
    ],
)
def test_what_cannot_be_unpacked_in_a_recovery_is_the_archives(said: str) -> None:
    recovery = "LOG:  starting point-in-time recovery to 2026-11-19 10:00:00+00"
    found = told(cut_short(said, DONE, MISSED_TARGET, recovery=recovery))
    assert [each.weight for each in found.values()] == ["failure", "consequence"]
    assert "copy of 000000010000000000000007" in found["archived_copy_damaged"].title
    assert any("another copy" in step for step in found["archived_copy_damaged"].next)
    assert "archived_copy_damaged" in told(cut_short(said, DONE, *OPENED))
    assert told(cut_short(said, SIXTH.replace("6", "7"), DONE, *OPENED)) == {}
    # Without a server beside it a backup was unpacked.
    (found_alone,) = told([said]).values()
    assert found_alone.code == "tar_damaged"


REMOVED = (
    "FATAL:  could not receive data from WAL stream: ERROR:  requested WAL segment "
    "000000010000000000000009 has already been removed"
)
NO_SLOT = 'FATAL:  could not start WAL streaming: ERROR:  replication slot "s1" does not exist'


def test_a_standby_that_streams_again_lacks_nothing() -> None:
    for said in (REMOVED, NO_SLOT):
        assert told([*STANDBY, *log(said, NINTH, STREAMING)]) == {}
        assert len(told([*STANDBY, *log(said)])) == 1
        assert len(told([*STANDBY, *log(said, STREAMING, said)])) == 1
    # What the primary has removed may come from the archive; a slot does not.
    assert told([*STANDBY, *log(REMOVED, NINTH)]) == {}
    assert "wal_removed" in told([*STANDBY, *log(NINTH, REMOVED, NINTH)])
    assert "slot_missing" in told([*STANDBY, *log(NO_SLOT, NINTH)])


def test_a_full_disk_of_a_running_server_needs_no_start() -> None:
    full = 'x [7] ERROR:  could not extend file "base/5/16384": No space left on device'
    (found,) = told([*WELL, full]).values()
    assert found.code == "disk_full"
    assert not any("start the server again" in step for step in found.next)
    (found,) = told([*WELL, full.replace("ERROR", "PANIC")]).values()
    assert "start the server again: recovery goes on where it was" in found.next
    # One that was killed has recovered by itself.
    killed = log("LOG:  server process (PID 7) was terminated by signal 9: Killed")
    (found,) = told([*WELL, *killed, *REINITIALIZING, *CRASH]).values()
    assert found.next == ("dmesg | grep -i 'out of memory'",)
    (found,) = told([*WELL, *killed, REINITIALIZING[0]]).values()
    assert "start the server again: recovery goes on where it was" in found.next


def test_what_fails_after_a_crash_recovery_says_nothing_about_its_end() -> None:
    end = (
        "LOG:  unexpected pageaddr 0/1000000 in log segment 00000001000000000000000A, offset 0",
        "LOG:  redo done at 0/9FFFF00",
        OPENED[-1],
    )
    session = 'x [300] FATAL:  could not open file "base/5/123": No such file or directory'
    begun = log(START, UP, CRASHED, "LOG:  redo starts at 0/9000028")
    assert list(told([*begun, *log(*end), session])) == ["directory_missing"]
    # Where recovery itself has failed, it may be why.
    found = told([*begun, *log(end[0], "FATAL:  something else")])
    assert "00000001000000000000000A" in found["wal_does_not_fit"].title
