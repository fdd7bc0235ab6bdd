"""Whether archiving works, by trying: a switch of WAL, and the segment must arrive."""

from __future__ import annotations

import time
from pathlib import Path

from pgrescue.compression import ENDINGS
from pgrescue.config.session import CannotAskServer, server_session
from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.wal.archive import scan_archive
from pgrescue.wal.headers import check_segment

_CODE = "archive.test"
_POLL_SECONDS = 0.5
_SWITCH = """
select pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal() - 1),
       (select system_identifier::text from pg_catalog.pg_control_system()),
       (select setting::int from pg_catalog.pg_settings where name = 'wal_segment_size')
"""
_SOMETHING = "select pg_catalog.pg_create_restore_point('pgrescue: test of archiving')"
_FAILURE = "select last_failed_wal, failed_count from pg_catalog.pg_stat_archiver"


def try_archiving(subject: Subject, patience: float = 60.0) -> Finding:
    """Write a restore point, switch, and wait; changes nothing but that a segment ends early.

    A test that cannot be made proves nothing, and so is a blocker: somebody asked for a proof.
    """
    archive = subject.cluster.wal_archive
    if archive is None:
        fix = f'wal_archive = "/srv/wal/{subject.cluster.name}"'
        return _untried("No WAL archive is configured to look into.", fix)
    if subject.server is None or subject.owner is None:
        return _untried("The server does not run: nothing can be tried.", "start it")
    began = time.monotonic()
    try:
        before = set(scan_archive(archive).segments)
        with server_session(subject.server, subject.owner, subject.cluster.conninfo) as connection:
            if connection.execute("select pg_catalog.pg_is_in_recovery()").fetchone() == (True,):
                fix = "run this on the primary"
                return _untried("This is a standby; WAL is switched on its primary only.", fix)
            connection.execute(_SOMETHING)
            row = connection.execute(_SWITCH).fetchone()
            assert row is not None
            name, identifier = str(row[0]), str(row[1])
            if name in before:
                return _was_there(name, archive)
            problem = None
            while time.monotonic() - began < patience:
                file = scan_archive(archive).segments.get(name)
                # One that is copied under its own name is too short for a while.
                problem = check_segment(file, row[2], identifier) if file is not None else None
                if file is not None and problem is None:
                    seconds = time.monotonic() - began
                    message = f"{name} arrived in {archive} {seconds:.1f} s after the switch."
                    return Finding(_CODE, "ok", message)
                time.sleep(_POLL_SECONDS)
            if problem is not None:
                message = f"What arrived in {archive} is not the segment: {problem.message}"
                return Finding(_CODE, "blocker", message, "look at what archive_command does")
            failure = connection.execute(_FAILURE).fetchone() or (None, 0)
    except CannotAskServer as error:
        return _untried(f"{error.title} {error.cause}", "conninfo in the configuration")
    except OSError as error:
        return Finding(_CODE, "blocker", f"{archive} cannot be read: {error.strerror}.", None)
    why = f" The server's command has failed {failure[1]} times, last for {failure[0]}."
    endings = ", ".join(ENDINGS)
    return Finding(
        _CODE,
        "blocker",
        f"{name} did not arrive in {archive} within {patience:.0f} s (plain, or with {endings})."
        + (why if failure[0] else ""),
        "look for 'archive command failed' in the server's log; pgrescue init --archive",
    )


def _was_there(name: str, archive: Path) -> Finding:
    return Finding(
        _CODE,
        "blocker",
        f"{name} was in {archive} before the server had finished it: it is another cluster's, or "
        "somebody's copy of pg_wal, and keeps the real one from being archived.",
        f"compare it with the server's pg_wal/{name}, move it away, and try again",
    )


def _untried(message: str, fix: str) -> Finding:
    return Finding(_CODE, "blocker", message, fix)
