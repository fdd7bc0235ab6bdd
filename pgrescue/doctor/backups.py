"""Checks of the backups: is there a usable one, how old, and of this cluster?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import humanize

from pgrescue.catalog.model import Backup
from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding

STALE_AFTER = timedelta(days=7)


def usable(subject: Subject) -> list[Finding]:
    """There is a backup that can be restored, and it is recent."""
    code = "backups.newest"
    roots = subject.cluster.backups
    if not roots:
        fix = f'backups = ["/srv/backups/{subject.cluster.name}"]'
        return [Finding(code, "blocker", "No directory of backups is configured.", fix)]
    newest = subject.newest_usable
    if newest is None or newest.stopped_at is None:
        where = ", ".join(map(str, roots))
        count = len(subject.backups)
        message = f"There is no usable backup in {where}"
        message += f"; {count} cannot be used." if count else "."
        return [Finding(code, "blocker", message, "pgrescue backup")]
    age = datetime.now(UTC) - newest.stopped_at
    message = f"The newest usable backup is {newest.id}, taken {humanize.naturaldelta(age)} ago."
    if age > STALE_AFTER:
        return [Finding(code, "warning", message, "pgrescue backup")]
    return [Finding(code, "ok", message)]


def verified(subject: Subject) -> list[Finding]:
    """The newest usable backup has been read once and agreed with its manifest."""
    newest = subject.newest_usable
    if newest is None or newest.verified_at is not None:
        return []
    message = (
        f"Backup {newest.id} has never been checked against its manifest; a restore checks every "
        "file while it writes it."
    )
    fix = f"pgrescue verify {newest.id}"
    return [Finding("backups.verified", "warning", message, fix)]


def unusable(subject: Subject) -> list[Finding]:
    """Each backup that cannot be used, and why."""
    return [
        Finding(
            "backups.unusable",
            "warning",
            f"{backup.path} cannot be used: {_why(backup)}",
            f"pgrescue show {backup.id}",
        )
        for backup in subject.backups
        if not backup.usable
    ]


def of_this_cluster(subject: Subject) -> list[Finding]:
    """The newest usable backup is of the cluster in the data directory."""
    newest, control = subject.newest_usable, subject.control
    if newest is None or control is None or newest.system_identifier is None:
        return []
    if newest.system_identifier == control.system_identifier:
        return []
    message = (
        f"Backup {newest.id} is of another cluster: system identifier "
        f"{newest.system_identifier}, the data directory has {control.system_identifier}."
    )
    return [Finding("backups.cluster", "blocker", message, "correct backups or data_directory")]


def _why(backup: Backup) -> str:
    fatal = [problem.message for problem in backup.problems if problem.fatal]
    return " ".join(fatal) or "no reason is known."
