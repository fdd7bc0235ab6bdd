"""Whether archiving works, by trying: a switch of WAL, and the segment must arrive."""

from __future__ import annotations

import time

from pgrescue.compression import ENDINGS
from pgrescue.config.session import CannotAskServer, server_session
from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.wal.archive import scan_archive

_CODE = "archive.test"
_POLL_SECONDS = 0.5
_SWITCH = """
select pg_catalog.pg_walfile_name(pg_catalog.pg_switch_wal() - 1),
       pg_catalog.current_setting('archive_mode')
"""
_SOMETHING = "select pg_catalog.pg_create_restore_point('pgrescue: test of archiving')"
_FAILURE = "select last_failed_wal, failed_count from pg_catalog.pg_stat_archiver"


def try_archiving(subject: Subject, patience: float = 60.0) -> Finding:
    """Write a restore point, switch, and wait; changes nothing but that a segment ends early."""
    archive = subject.cluster.wal_archive
    if archive is None:
        fix = f'wal_archive = "/srv/wal/{subject.cluster.name}"'
        return Finding(_CODE, "warning", "No WAL archive is configured to look into.", fix)
    if subject.server is None or subject.owner is None:
        return Finding(_CODE, "warning", "The server does not run: nothing can be tried.", None)
    began = time.monotonic()
    try:
        with server_session(subject.server, subject.owner, subject.cluster.conninfo) as connection:
            if connection.execute("select pg_catalog.pg_is_in_recovery()").fetchone() == (True,):
                message = "This is a standby; WAL is switched on its primary only."
                return Finding(_CODE, "ok", message)
            connection.execute(_SOMETHING)
            row = connection.execute(_SWITCH).fetchone()
            assert row is not None
            name = str(row[0])
            while time.monotonic() - began < patience:
                if name in scan_archive(archive).segments:
                    seconds = time.monotonic() - began
                    message = f"{name} arrived in {archive} {seconds:.1f} s after the switch."
                    return Finding(_CODE, "ok", message)
                time.sleep(_POLL_SECONDS)
            failure = connection.execute(_FAILURE).fetchone() or (None, 0)
    except CannotAskServer as error:
        return Finding(_CODE, "warning", f"{error.title} {error.cause}", None)
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
