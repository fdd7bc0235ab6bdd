"""How big a backup will be and how long it will take, judging by earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pgrescue.backup.facts import BackupFacts, ServerFacts
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest
from pgrescue.postgres.basebackup_options import Compression, Method

_USUAL_RATIO: dict[Method, float] = {"none": 1.0, "gzip": 0.35, "lz4": 0.6, "zstd": 0.35}
"""Of data that has not been backed up before; on the careful side."""
_WAL_ALLOWANCE = 64 << 20
_INCREMENTAL_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is to be expected."""

    read_bytes: int
    """Files of the server that are sent."""
    disk_bytes: int
    """What the backup takes on disk in the end, its own WAL included."""
    seconds: float | None
    ratio: float
    from_past: bool
    """Whether the ratio is that of an earlier backup."""


def estimate(facts: BackupFacts, server: ServerFacts, request: BackupRequest) -> Estimate:
    """The estimate; sizes of databases and tablespaces are the server's word."""
    size = server.database_bytes or 0
    past = past_ratio(facts.backups, request.compression)
    ratio = past if past is not None else _USUAL_RATIO[request.compression.method]
    if request.format == "plain":
        ratio = 1.0
    on_disk = int(size * ratio * (_INCREMENTAL_SHARE if request.parent else 1.0))
    if request.wal_method != "none":
        on_disk += max(_WAL_ALLOWANCE, 4 * int(server.number("wal_segment_size")))
    speeds = [speed for speed in (past_speed(facts.backups), request.max_rate) if speed]
    return Estimate(
        read_bytes=size,
        disk_bytes=on_disk,
        seconds=size / min(speeds) if speeds else None,
        ratio=ratio,
        from_past=past is not None and request.format == "tar",
    )


def past_speed(backups: Sequence[Backup]) -> float | None:
    """Bytes of files a second in the newest full backup, the wait for its checkpoint included."""
    timed = [
        (backup.started_at, backup.restore_bytes, backup.stopped_at)
        for backup in backups
        if backup.usable and backup.kind == "full"
    ]
    known = [
        (started, size / seconds)
        for started, size, stopped in timed
        if started and size and stopped and (seconds := (stopped - started).total_seconds()) >= 1
    ]
    return max(known)[1] if known else None


def past_ratio(backups: Sequence[Backup], compression: Compression) -> float | None:
    """Size on disk to size of the files, in the newest full tar backup that was compressed so."""
    alike = [
        backup
        for backup in backups
        if backup.usable
        and backup.kind == "full"
        and backup.format == "tar"
        and backup.compression == compression.method
        and backup.restore_bytes
        and backup.started_at is not None
    ]
    if not alike:
        return None
    newest = max(alike, key=lambda backup: str(backup.started_at))
    return newest.size_bytes / (newest.restore_bytes or 1)
