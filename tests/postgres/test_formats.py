"""Small formats: LSN, backup_label, tablespace_map, history files, postmaster.pid, server log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from pgrescue.errors import InvalidFormat, UsageError
from pgrescue.postgres.backup_label import LabelTime, parse_backup_label
from pgrescue.postgres.data_directory import collected_logs
from pgrescue.postgres.history_file import parse_history_file
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import parse_pid_file
from pgrescue.postgres.server_log import LogFollower, RecoveryLog, earlier_starts
from pgrescue.postgres.tablespace_map import format_tablespace_map, parse_tablespace_map
from pgrescue.wal.archive import WalArchive, history_of, newest_timeline
from pgrescue.wal.segment import SegmentId

LABEL = """\
START WAL LOCATION: 0/3000028 (file 000000010000000000000003)
CHECKPOINT LOCATION: 0/3000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 15:35:54 {zone}
LABEL: it's: a "label"
START TIMELINE: 1
"""


@pytest.mark.parametrize("text", ["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"])
def test_an_lsn_is_written_as_it_was_read(text: str) -> None:
    assert str(Lsn.parse(text)) == text


@pytest.mark.parametrize("text", ["", "16", "0x16/1", "1/2/3", "123456789/0", "-1/0"])
def test_what_is_no_lsn_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        Lsn.parse(text)


def test_a_backup_label_is_read_whole() -> None:
    label = parse_backup_label(LABEL.format(zone="UTC"))
    assert label.start_lsn == Lsn.parse("0/3000028")
    assert label.label == 'it\'s: a "label"'
    assert label.timeline == 1
    assert label.incremental_from_lsn is None
    assert label.started is not None
    assert label.started.in_utc() == datetime(2026, 11, 22, 15, 35, 54, tzinfo=UTC)


@pytest.mark.parametrize(("zone", "hour"), [("CST", 21), ("CST", 7), ("IST", 10), ("+0545", 9)])
def test_an_ambiguous_zone_is_resolved_by_a_known_moment(zone: str, hour: int) -> None:
    near = datetime(2026, 11, 22, hour, 35 if zone == "CST" else 5, 50, tzinfo=UTC)
    label = parse_backup_label(LABEL.format(zone=zone))
    assert label.started is not None
    resolved = label.started.in_utc(near)
    assert resolved is not None
    assert abs((resolved - near).total_seconds()) < 15 * 60


def test_a_moment_far_off_resolves_nothing() -> None:
    time = LabelTime(datetime(2026, 11, 22, 15, 0), "CST")  # noqa: DTZ001 - naive as in the file
    assert time.in_utc(datetime(2026, 11, 25, tzinfo=UTC)) is None


def test_a_cut_label_is_refused() -> None:
    with pytest.raises(InvalidFormat):
        parse_backup_label(LABEL.split("CHECKPOINT")[0])


@pytest.mark.parametrize("major", [12, 13, 14, 18])
@pytest.mark.parametrize("path", ["/srv/ts", "/srv/a b'c", "/srv/new\nline", "/srv/back\\slash"])
def test_a_tablespace_map_is_read_as_it_was_written(major: int, path: str) -> None:
    if major < 14 and "\\" in path:
        pytest.skip("before 14 a backslash is not escaped, and the server reads it as it stands")
    entries = {16385: path, 16384: "/srv/other"}
    assert parse_tablespace_map(format_tablespace_map(entries, major), major) == entries


HISTORY = "1\t0/3000000\tno recovery target specified\n\n2\t0/5000000\tbefore 2026-11-22\n\n"


def test_a_history_tells_whose_wal_a_position_is() -> None:
    history = parse_history_file(3, HISTORY)
    assert [history.timeline_at(Lsn(n)) for n in (0x2FFFFFF, 0x3000000, 0x5000000)] == [1, 2, 3]
    assert history.left_at(2) == Lsn(0x5000000)
    assert history.left_at(7) is None


@pytest.mark.parametrize("text", ["x", "2\t0/3000000\ta\n1\t0/4000000\tb\n", "3\t0/1\tself\n"])
def test_a_history_that_the_server_would_refuse_is_refused(text: str) -> None:
    with pytest.raises(InvalidFormat):
        parse_history_file(3, text)


def test_latest_stops_at_the_first_missing_history_file() -> None:
    histories = {n: parse_history_file(n, "1\t0/3000000\tx\n") for n in (2, 3, 5)}
    assert newest_timeline(1, histories) == 3
    assert newest_timeline(5, histories) == 5


@pytest.mark.parametrize("size", [1 << 20, 16 << 20, 64 << 20, 1 << 30])
def test_segment_names_follow_the_segment_size(size: int) -> None:
    for number in (0, 1, 0x1_0000_0000 // size - 1, 0x1_0000_0000 // size, 12345):
        segment = SegmentId(number, 0x2A)
        assert SegmentId.parse(segment.name(size), size) == segment
        assert SegmentId.at(segment.start(size), 0x2A, size) == segment
        assert SegmentId.before(segment.end(size), 0x2A, size) == segment


def _archive(*names: str) -> WalArchive:
    from pgrescue.wal.archive import ArchivedFile

    files = {name: ArchivedFile(name, Path(name), 0) for name in names}
    histories = {2: parse_history_file(2, "1\t0/3800000\tx\n")}
    return WalArchive(Path("a"), files, histories, {}, ())


def test_at_a_fork_the_childs_segment_is_needed() -> None:
    one, two, three = (f"0000000100000000{n:08X}" for n in (2, 3, 4))
    child = "000000020000000000000003"
    size, start = 16 << 20, Lsn(0x2000000)
    parent_only = _archive(one, two, three)
    end, missing = parent_only.continuous_end(start, history_of(2, parent_only.histories), size)
    assert (end, missing.name(size)) == (Lsn(0x3000000), child)
    with_child = _archive(one, two, child)
    end, missing = with_child.continuous_end(start, history_of(2, with_child.histories), size)
    assert end == Lsn(0x4000000)


def test_a_pid_file_that_is_still_being_written() -> None:
    text = "4711\n/srv/main\n1700000000\n"
    found = parse_pid_file(text)
    assert found is not None
    assert (found.pid, found.port, found.status) == (4711, None, None)
    assert parse_pid_file("") is None
    assert parse_pid_file("-12\n/srv/main\n") is not None


LOG = """\
2026-11-22 20:50:18.671 UTC [1] LOG:  starting PostgreSQL 15.18
cp: cannot stat '/x/00000002.history': No such file or directory
2026-11-22 20:50:20.000 UTC [9] FATAL:  the database system is starting up
2026-11-22 20:50:21.790 UTC [2] LOG:  restored log file "000000010000000000000046" from archive
2026-11-22 20:50:23.172 UTC [2] LOG:  recovery stopping after commit of transaction 63886, \
time 2026-11-22 20:36:46.771317+00
2026-11-22 20:50:23.172 UTC [2] LOG:  redo done at 0/45A59B98 system usage: CPU: user: 0.17 s
2026-11-22 20:50:23.172 UTC [2] LOG:  last completed transaction was at log time \
2026-11-22 20:36:43.95729+00
2026-11-22 20:50:23.248 UTC [2] LOG:  selected new timeline ID: 2
"""


def test_the_log_tells_where_recovery_stopped(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    follower = LogFollower(path, 4)
    with path.open("a") as file:
        file.write(LOG)
    log = follower.poll()
    assert log.stopped_after_xid == 63886
    assert log.redo_done == Lsn.parse("0/45A59B98")
    assert log.last_commit_time == datetime(2026, 11, 22, 20, 36, 43, 957290, tzinfo=UTC)
    assert log.new_timeline == 2
    assert log.failures == ()


def test_a_failure_is_kept_with_its_detail_and_hint() -> None:
    log = RecoveryLog()
    log.read_line("x FATAL:  recovery aborted because of insufficient parameter settings")
    log.read_line("x DETAIL:  max_connections = 50 is a lower setting than on the primary")
    log.read_line("x LOG:  startup process exited")
    log.read_line("x DETAIL:  of something else")
    assert len(log.failures) == 2


def test_a_recovery_that_has_ended_is_not_forgotten_at_the_next_start(tmp_path: Path) -> None:
    """A server that is killed once it has opened recovers from its crash only."""
    recovery = (
        "x LOG:  starting PostgreSQL 15.8\n"
        "x LOG:  redo done at 0/D00028 system usage: CPU: user: 0.00 s\n"
        "x LOG:  selected new timeline ID: 2\n"
    )
    path = tmp_path / "log"
    path.write_text(recovery)
    before = earlier_starts(path, 0, len(recovery))
    assert before.ended is None, "it would recover once more"
    assert before.new_timeline == 2, "and may not be on it"
    opened = f"{recovery}x LOG:  archive recovery complete\nx FATAL:  something\n"
    path.write_text(opened)
    assert earlier_starts(path, 0, len(recovery)).ended is None
    ended = earlier_starts(path, 0, len(opened)).ended
    assert ended is not None
    assert ended.failures == ()
    with path.open("a") as file:
        file.write("x LOG:  starting PostgreSQL 15.8\nx LOG:  redo done at 0/D00118 system\n")
        file.write("x FATAL:  something else\n")
    said = LogFollower(path, len(opened), ended).poll()
    assert (said.redo_done, said.new_timeline) == (Lsn.parse("0/D00028"), 2)
    assert said.failures == ("FATAL: something else",)


def test_a_line_that_is_not_finished_is_read_later(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("x LOG:  shutdown at")
    follower = LogFollower(path)
    assert not follower.poll().shut_down_at_target
    with path.open("a") as file:
        file.write(" recovery target\n")
    assert follower.poll().shut_down_at_target


def test_a_log_whose_name_is_not_text(tmp_path: Path) -> None:
    (tmp_path / "current_logfiles").write_bytes(b"stderr log/caf\xe9.log\n")
    assert collected_logs(tmp_path) == {"stderr": f"{tmp_path}/log/caf\udce9.log"}
