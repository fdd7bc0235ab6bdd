"""Reading a backup's manifest and telling whether it belongs to this backup."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pgrescue.catalog.look import LABEL, Look, file_time, unreadable
from pgrescue.catalog.model import Problem
from pgrescue.errors import InvalidFormat, UsageError
from pgrescue.postgres.backup_label import BackupLabel
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.manifest import NAME, Manifest, ManifestFile, parse_manifest
from pgrescue.wal.segment import NAME as SEGMENT_NAME

_TABLESPACES = "pg_tblspc/"
_ARCHIVE_STATUS = "pg_wal/archive_status/"


@dataclass(frozen=True, slots=True)
class ManifestLook:
    """A manifest, and what the catalog makes of it."""

    manifest: Manifest
    size_bytes: int
    total_bytes: int
    written_at: datetime | None
    system_identifier: str | None
    start_lsn: Lsn | None
    stop_lsn: Lsn | None
    label_file: ManifestFile | None
    tablespace_bytes: dict[int, int]
    wal_segments: tuple[str, ...]
    """Segments that `-X fetch` put inside: each leaves an `archive_status/*.done` in the list."""


def look_into_manifest(directory: Path) -> ManifestLook | Problem:
    """Read `backup_manifest`; a Problem if that cannot be done."""
    path = directory / NAME
    try:
        data = path.read_bytes()
        manifest = parse_manifest(data)
    except OSError as error:
        return unreadable(path, error)
    except (InvalidFormat, UsageError) as error:
        cause = f" {error.cause}" if error.cause else ""
        return Problem("manifest_damaged", f"{error.title}{cause}")
    except ValueError as error:
        return Problem("manifest_damaged", f"{NAME} cannot be read: {error}.")
    ranges = manifest.wal_ranges
    return ManifestLook(
        manifest=manifest,
        size_bytes=len(data),
        total_bytes=manifest.total_bytes,
        written_at=file_time(path),
        system_identifier=manifest.system_identifier,
        start_lsn=min((entry.start_lsn for entry in ranges), default=None),
        stop_lsn=max((entry.end_lsn for entry in ranges), default=None),
        label_file=manifest.files.get(LABEL),
        tablespace_bytes=_tablespace_bytes(manifest),
        wal_segments=_wal_segments(manifest),
    )


def find_mismatch(
    manifest: ManifestLook, label: BackupLabel, look: Look, system_identifier: str | None
) -> Problem | None:
    """Whether the manifest is of another backup than the files beside it.

    `system_identifier` is what the control file or the WAL inside say.
    """
    if manifest.system_identifier and system_identifier not in (None, manifest.system_identifier):
        return _mismatch(
            f"it is of system {manifest.system_identifier}, the files are of {system_identifier}"
        )
    if manifest.start_lsn not in (None, label.start_lsn):
        return _mismatch(
            f"its WAL starts at {manifest.start_lsn}, the backup's at {label.start_lsn}"
        )
    if manifest.label_file is None:
        return _mismatch(f"it lists no {LABEL}")
    data = look.files[LABEL].data
    digest = manifest.label_file.digest()
    if digest is not None:
        digest.update(data)
        if digest.hexdigest() != manifest.label_file.checksum:
            return _mismatch(f"{LABEL} is not the file that it lists")
    elif len(data) != manifest.label_file.size:
        return _mismatch(f"{LABEL} does not have the size that it lists")
    return None


def _mismatch(reason: str) -> Problem:
    return Problem("manifest_mismatch", f"{NAME} does not belong to this backup: {reason}.")


def _wal_segments(manifest: Manifest) -> tuple[str, ...]:
    marks = (
        path.removeprefix(_ARCHIVE_STATUS).removesuffix(".done")
        for path in manifest.files
        if path.startswith(_ARCHIVE_STATUS) and path.endswith(".done")
    )
    return tuple(sorted(name for name in marks if SEGMENT_NAME.fullmatch(name)))


def _tablespace_bytes(manifest: Manifest) -> dict[int, int]:
    sizes: dict[int, int] = {}
    for file in manifest.files.values():
        if file.path.startswith(_TABLESPACES):
            oid = file.path.removeprefix(_TABLESPACES).partition("/")[0]
            if oid.isdigit():
                sizes[int(oid)] = sizes.get(int(oid), 0) + file.size
    return sizes
