"""Backups that cannot be used at first sight, and things that are none: they are listed too."""

from __future__ import annotations

from pathlib import Path

from pgrescue.catalog.backup_id import nameless_id
from pgrescue.catalog.layout import Layout, compression_of
from pgrescue.catalog.look import printable
from pgrescue.catalog.model import Backup, Format, Problem
from pgrescue.postgres.manifest import UNFINISHED_NAME


def not_a_backup(
    path: Path, *problems: Problem, format: Format | None = None, size_bytes: int = 0
) -> Backup:
    """A line of the catalog for something that cannot be read as a backup."""
    return Backup(
        id=nameless_id(path),
        source="basebackup",
        path=printable(path),
        format=format,
        compression=None,
        kind=None,
        parent=None,
        label=None,
        server_version=None,
        system_identifier=None,
        timeline=None,
        start_lsn=None,
        stop_lsn=None,
        started_at=None,
        stopped_at=None,
        size_bytes=size_bytes,
        restore_bytes=None,
        tablespaces=(),
        has_manifest=False,
        verified_at=None,
        usable=False,
        problems=problems,
        window=None,
    )


def layout_problems(layout: Layout) -> list[Problem]:
    """What the names alone show to be wrong."""
    problems = []
    if layout.unfinished:
        problems.append(
            Problem("incomplete", f"{UNFINISHED_NAME} is there: the backup was never finished.")
        )
    elif layout.kind == "tar" and not layout.bases:
        problems.append(Problem("base_missing", "The archive base.tar is missing."))
    if layout.doubled:
        names = " and ".join(layout.doubled)
        problems.append(Problem("ambiguous", f"{names}: which of them counts cannot be told."))
    for name in layout.archives:
        if layout.kind == "tar" and compression_of(name) is None:
            problems.append(
                Problem(
                    "compression_unknown", f"{name}: PostgreSQL does not compress archives like so."
                )
            )
    if layout.kind == "plain" and "postmaster.pid" in layout.files:
        problems.append(
            Problem("postmaster_pid", "postmaster.pid is inside: a server ran here.", fatal=False)
        )
    return problems
