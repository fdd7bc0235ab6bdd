"""Checks of the configured paths."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.postgres.account import can_access


def configured(subject: Subject) -> list[Finding]:
    """Every configured path leads where it should."""
    prefix = f"clusters.{subject.cluster.name}."
    file = subject.config.path
    found = [
        Finding(
            f"paths.{problem.key.removeprefix(prefix)}",
            "blocker",
            f"{problem.key}: {problem.message}.",
            f"correct {problem.key.removeprefix(prefix)} in {file}",
        )
        for problem in subject.wrong_paths
    ]
    return found or [Finding("paths.configured", "ok", "Every configured path exists.")]


def readable(subject: Subject) -> list[Finding]:
    """We can read the backups, and the owner can read the archive while its server recovers."""
    found = []
    for path in subject.cluster.backups:
        if _is_there(path) and not os.access(path, os.R_OK | os.X_OK, effective_ids=True):
            message = f"{path} cannot be read: permission denied."
            found.append(Finding("paths.backups", "blocker", message, "run it as root"))
    owner, archive = subject.owner, subject.cluster.wal_archive
    if owner is None or archive is None or not _is_there(archive):
        return found
    if can_access(owner, archive) is False:
        message = f"{archive} cannot be read by {owner.name}, as whom the server recovers."
        fix = f"setfacl -R -m u:{owner.name}:rX {archive}"
        found.append(Finding("paths.wal_archive", "blocker", message, fix))
    return found


def _is_there(path: Path) -> bool:
    """Whether something is there, as far as we may look."""
    try:
        path.stat()
    except PermissionError:
        return True
    except OSError:
        return False
    return True
