"""One base backup, put together from what its files say; directory names count for nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from pgrescue.catalog.backup_id import backup_id
from pgrescue.catalog.extent import find_shortfall
from pgrescue.catalog.identity import Identity, identify, segment_size_of
from pgrescue.catalog.layout import Layout, compression_of, read_layout
from pgrescue.catalog.look import DIFFERENT, LABEL, Look, is_configuration, printable, unreadable
from pgrescue.catalog.manifest_look import ManifestLook, find_mismatch, look_into_manifest
from pgrescue.catalog.model import (
    Backup,
    BackupDetails,
    Problem,
    WalInside,
)
from pgrescue.catalog.plain_look import look_into_plain
from pgrescue.catalog.tablespaces import locate_tablespaces
from pgrescue.catalog.tar_look import look_into_tar
from pgrescue.catalog.unusable import layout_problems, not_a_backup
from pgrescue.errors import InvalidFormat, UsageError
from pgrescue.postgres.backup_label import BackupLabel, parse_backup_label
from pgrescue.postgres.manifest import NAME
from pgrescue.postgres.secrets import configuration_without_passwords

_LONGEST_BACKUP = timedelta(days=60)


def read_backup(path: Path, whole: bool = False) -> Backup:
    """Everything the files of one backup tell; whatever is wrong is among its problems.

    With `whole`, compressed archives of any size are read to their end. Parent and window are
    left open: they depend on other backups and on the WAL archive.
    """
    path = Path(os.path.abspath(path))
    if printable(path) != str(path):
        message = "Its path has bytes that are no UTF-8, or odd characters: rename it."
        return not_a_backup(path, Problem("path_not_utf8", message))
    try:
        layout = read_layout(path)
        if layout.kind in ("tar", "plain"):
            return _read_candidate(layout, whole)
    except OSError as error:
        return not_a_backup(path, unreadable(path, error))
    if layout.kind == "no_label":
        return not_a_backup(
            path,
            Problem(
                "no_label",
                f"A data directory without {LABEL}: of a server, or a copy that is no backup.",
            ),
        )
    names = ", ".join(map(printable, layout.files[:3])) + (", …" if len(layout.files) > 3 else "")
    return not_a_backup(path, Problem("foreign", f"No backup is here, only {names or 'nothing'}."))


@dataclass(frozen=True, slots=True)
class _Parts:
    """What a backup is made from."""

    layout: Layout
    look: Look
    label: BackupLabel
    manifest: ManifestLook | None
    identity: Identity


def _read_candidate(layout: Layout, whole: bool) -> Backup:
    problems = layout_problems(layout)
    if layout.kind == "tar" and any(compression_of(name) is None for name in layout.archives):
        return not_a_backup(layout.path, *problems, format="tar")
    manifest = look_into_manifest(layout.path) if layout.has_manifest else None
    listed = manifest.manifest if isinstance(manifest, ManifestLook) else None
    is_tar = layout.kind == "tar"
    look = look_into_tar(layout, whole, listed) if is_tar else look_into_plain(layout)
    # What is unfinished is cut off by nature: saying so twice helps nobody.
    problems += [problem for problem in look.problems if not layout.unfinished]
    label = _label(look, problems)
    if label is None:
        return not_a_backup(
            layout.path,
            *problems,
            format="tar" if layout.kind == "tar" else "plain",
            size_bytes=look.size_bytes,
        )
    if isinstance(manifest, Problem):
        problems.append(manifest)
        manifest = None
    identity = identify(look, manifest.system_identifier if manifest else None)
    problems += identity.problems
    if manifest is not None:
        mismatch = find_mismatch(manifest, label, look, identity.of_files)
        if mismatch is None and look.differing:
            mismatch = Problem(DIFFERENT, f"A file is not what {NAME} says: {look.differing}.")
        problems += [mismatch] if mismatch else []
        if layout.kind == "plain" and not problems:
            short = find_shortfall(layout.path, manifest.manifest)
            problems += [short] if short else []
    return _assemble(_Parts(layout, look, label, manifest, identity), problems)


def _label(look: Look, problems: list[Problem]) -> BackupLabel | None:
    found = look.files.get(LABEL)
    if found is None:
        if not problems:
            problems.append(Problem("no_label", f"{LABEL} is missing in {look.base_archive}."))
        return None
    try:
        return parse_backup_label(found.data.decode(errors="replace"))
    except (InvalidFormat, UsageError) as error:
        problems.append(Problem("label_damaged", f"{error.title} {error.cause}".strip()))
        return None


def _assemble(parts: _Parts, problems: list[Problem]) -> Backup:
    layout, look, label, manifest = parts.layout, parts.look, parts.label, parts.manifest
    tablespaces = locate_tablespaces(
        look, parts.identity.major, manifest.tablespace_bytes if manifest else None
    )
    problems += tablespaces.problems
    started = _started_at(look, label, manifest)
    incremental = label.incremental_from_lsn is not None
    return Backup(
        id=backup_id(layout.path, started, incremental),
        source="basebackup",
        path=str(layout.path),
        format="tar" if layout.kind == "tar" else "plain",
        compression=compression_of(look.base_archive) if look.base_archive else "none",
        kind="incremental" if incremental else "full",
        parent=None,
        label=label.label,
        server_version=None if parts.identity.major is None else str(parts.identity.major),
        system_identifier=parts.identity.system_identifier,
        timeline=label.timeline,
        start_lsn=label.start_lsn,
        stop_lsn=manifest.stop_lsn if manifest else None,
        started_at=started,
        stopped_at=_stopped_at(started, manifest),
        size_bytes=look.size_bytes + (manifest.size_bytes if manifest and look.base_archive else 0),
        restore_bytes=manifest.total_bytes if manifest else look.data_bytes,
        tablespaces=tablespaces.found,
        has_manifest=layout.has_manifest,
        verified_at=None,
        usable=not any(problem.fatal for problem in problems),
        problems=tuple(problems),
        window=None,
        details=_details(parts, tablespaces.sources),
    )


def _details(parts: _Parts, sources: dict[int, str]) -> BackupDetails:
    look, label, manifest = parts.look, parts.label, parts.manifest
    wal_inside: WalInside = look.wal_inside
    segments = look.wal_segments
    if wal_inside == "none" and not look.read_whole and manifest and manifest.wal_segments:
        wal_inside, segments = "base", manifest.wal_segments
    control = parts.identity.control
    return BackupDetails(
        checkpoint_lsn=label.checkpoint_lsn,
        wal_inside=wal_inside,
        wal_segment_size=parts.identity.wal_segment_size or segment_size_of(label),
        from_standby=label.from_standby,
        incremental_from_lsn=label.incremental_from_lsn,
        base_archive=look.base_archive,
        wal_archive=look.wal_archive,
        tablespace_archives=sources,
        read_whole=look.read_whole,
        control=control,
        configuration={
            name: configuration_without_passwords(file.data.decode(errors="replace"))
            for name, file in sorted(look.files.items())
            if is_configuration(name)
        },
        wal_segments=segments,
        incremental_from_timeline=label.incremental_from_timeline,
    )


def _started_at(look: Look, label: BackupLabel, manifest: ManifestLook | None) -> datetime | None:
    if label.started is None:
        return None
    listed = manifest.label_file if manifest else None
    near = listed.modified_at if listed and listed.modified_at else look.files[LABEL].modified_at
    return label.started.in_utc(near)


def _stopped_at(started: datetime | None, manifest: ManifestLook | None) -> datetime | None:
    """The manifest is written at the end; a copy that lost its time stamp is not believed."""
    written = manifest.written_at if manifest else None
    if started is None or written is None or not started <= written < started + _LONGEST_BACKUP:
        return None
    return written.replace(microsecond=0)
