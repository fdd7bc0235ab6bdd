"""Checks of the WAL archive: does it hold this cluster's WAL, and is it kept up?"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import humanize

from pgrescue.compression import ENDINGS
from pgrescue.config.session import CannotAskServer, server_session
from pgrescue.doctor.subject import Subject
from pgrescue.errors import Refused
from pgrescue.findings import Finding
from pgrescue.plan.command_trial import judge
from pgrescue.postgres.account import can_access
from pgrescue.survey.command_trial import trial_of
from pgrescue.wal.archive import ArchivedFile, WalArchive
from pgrescue.wal.headers import identify_archive
from pgrescue.wal.timelines import archive_picture

STALE_AFTER = timedelta(hours=24)
_ASK_ARCHIVER = """
select current_setting('archive_mode'), pg_catalog.pg_is_in_recovery(), last_archived_wal,
       last_archived_time, failed_count, last_failed_wal, last_failed_time
from pg_catalog.pg_stat_archiver
"""


@dataclass(frozen=True, slots=True)
class _Archiver:
    """The running server's word on its archiving (`pg_stat_archiver`)."""

    mode: str
    in_recovery: bool
    last_archived: str | None
    last_archived_at: datetime | None
    failed_count: int
    last_failed: str | None
    last_failed_at: datetime | None

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        if self.last_failed_at is None:
            return False
        return self.last_archived_at is None or self.last_failed_at > self.last_archived_at


def contents(subject: Subject) -> list[Finding]:
    """There is WAL, it is this cluster's, the newest is recent, and the owner can read it."""
    cluster, archive, code = subject.cluster, subject.archive, "archive.newest"
    if cluster.wal_archive is None:
        if cluster.restore_command is not None:
            message = "WAL is fetched by restore_command; there is no directory to look at."
            return [Finding("archive.configured", "ok", message)]
        message = "No WAL archive is configured: only the end of a backup can be recovered."
        fix = f'wal_archive = "/srv/wal/{cluster.name}"'
        return [Finding("archive.configured", "warning", message, fix)]
    if archive is None:
        return []  # a wrong or forbidden path is the path checks' finding
    newest = _newest(archive)
    if newest is None:
        message = f"{archive.path} holds no WAL segment."
        return [Finding(code, "warning", message, "psql -c 'select pg_switch_wal()'")]
    found = [_freshness(newest), *_identity(subject, archive, newest)]
    owner = subject.owner
    if owner is not None and can_access(owner, newest.path) is False:
        message = f"{newest.path} cannot be read by {owner.name}, as whom the server recovers."
        fix = f"setfacl -R -m u:{owner.name}:rX {archive.path}"
        found.append(Finding("archive.readable", "blocker", message, fix))
    return found


def restore_command(subject: Subject) -> list[Finding]:
    """The configured restore_command, tried as recovery would call it, gives what it should."""
    backup, owner = subject.newest_usable, subject.owner
    if subject.cluster.restore_command is None or backup is None or owner is None:
        return []
    pg_wal = subject.cluster.data_directory / "pg_wal"
    control = subject.control
    own = control is not None and control.system_identifier == backup.system_identifier
    try:
        trial = trial_of(subject.cluster, owner, backup, pg_wal if own else None)
    except Refused as error:
        message = f"{error.title} {error.cause}"
        return [Finding("wal.restore_command", "warning", message, error.next_steps[0])]
    return [] if trial is None else list(judge(trial, needed=True))


def whole(subject: Subject) -> list[Finding]:
    """No segment is missing between others, and each timeline begins with its own."""
    archive = subject.archive
    identity = identify_archive(archive) if archive is not None else None
    if archive is None or identity is None:
        return []
    picture = archive_picture(archive, identity.segment_size)
    look = "pgrescue timeline --headers"
    found = [Finding("archive.files", "warning", p.message, look) for p in picture.problems]
    for gap in picture.gaps:
        span = gap.first if gap.count == 1 else f"{gap.first} to {gap.last}, {gap.count} segments"
        message = f"Missing in the archive: {span}. No backup from before can be recovered past it."
        fix = f"look for {gap.first} on the primary and its standbys, or take a new base backup"
        found.append(Finding("archive.gap", "warning", message, fix))
    return found or [Finding("archive.whole", "ok", "The archive has no gap.")]


def archiver(subject: Subject) -> list[Finding]:
    """The running server archives, without failing, into the configured archive."""
    if subject.server is None or subject.owner is None:
        return []
    try:
        with server_session(subject.server, subject.owner, subject.cluster.conninfo) as connection:
            row = connection.execute(_ASK_ARCHIVER).fetchone()
    except CannotAskServer as error:
        message = f"{error.title} {error.cause}"
        fix = 'conninfo = "user=ROLE dbname=DATABASE"'
        return [Finding("server.connection", "warning", message, fix)]
    return [] if row is None else _judge(_Archiver(*row), subject.archive)


def _judge(state: _Archiver, archive: WalArchive | None) -> list[Finding]:
    code = "archive.archiver"
    if state.mode == "off" or (state.in_recovery and state.mode != "always"):
        why = "archive_mode is off" if state.mode == "off" else "it is a standby"
        message = f"The running server does not archive its WAL: {why}."
        fix = "pgrescue init --archive   shows what has to change, and asks"
        return [Finding(code, "warning", message, fix if state.mode == "off" else None)]
    if state.is_failing:
        message = (
            f"The server's archive_command fails: {state.failed_count} times, last for "
            f"{state.last_failed} {_ago(state.last_failed_at)}."
        )
        return [
            Finding(
                code,
                "warning",
                message,
                "look for 'archive command failed' in its log; pgrescue init --archive",
            )
        ]
    if state.last_archived is None:
        message = "The server has archived nothing yet."
        return [Finding(code, "warning", message, "psql -c 'select pg_switch_wal()'")]
    last = f"{state.last_archived} {_ago(state.last_archived_at)}"
    if archive is not None and not _holds(archive, state.last_archived):
        message = f"The server archived {last}, but {archive.path} does not hold that file."
        fix = "set wal_archive to where archive_command writes"
        return [Finding("archive.place", "blocker", message, fix)]
    return [Finding(code, "ok", f"The server last archived {last}.")]


def _newest(archive: WalArchive) -> ArchivedFile | None:
    """The segment that is farthest in the log, on the newest timeline."""
    return archive.segments[max(archive.segments)] if archive.segments else None


def _freshness(newest: ArchivedFile) -> Finding:
    written = _modified(newest.path)
    age = datetime.now(UTC) - written
    message = f"The archive's newest segment is {newest.name}, written {_ago(written)}."
    if age > STALE_AFTER:
        fix = "set archive_timeout = 5min, and look at the server's log for archiving errors"
        return Finding("archive.newest", "warning", message, fix)
    return Finding("archive.newest", "ok", message)


def _identity(subject: Subject, archive: WalArchive, newest: ArchivedFile) -> list[Finding]:
    header, control = archive.header(newest.name), subject.control
    if header is None:
        message = f"{newest.path} is not WAL that can be read: damaged, or still being written."
        return [Finding("archive.segment", "warning", message, f"file {newest.path}")]
    if control is None or header.system_identifier == control.system_identifier:
        return []
    message = (
        f"The archive's WAL is of another cluster: system identifier {header.system_identifier}, "
        f"the data directory has {control.system_identifier}."
    )
    return [Finding("archive.cluster", "blocker", message, "correct wal_archive")]


def _holds(archive: WalArchive, name: str) -> bool:
    """Whether the archive has the file that `pg_stat_archiver` names, of any kind.

    Looked up now: the listing may be older than the server's word. A file that has been removed
    as obsolete since is older than all that is left.
    """
    if any((archive.path / (name + ending)).exists() for ending in ("", *ENDINGS)):
        return True
    return bool(archive.segments) and name[:24] < min(archive.segments)


def _modified(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


def _ago(moment: datetime | None) -> str:
    if moment is None:
        return "at an unknown time"
    return f"{humanize.naturaldelta(datetime.now(UTC) - moment)} ago"
