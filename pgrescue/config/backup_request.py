"""The choices of a backup: configured, and given on the way."""

from __future__ import annotations

from dataclasses import dataclass, field

from pgrescue.postgres.basebackup_options import (
    BackupFormat,
    Checkpoint,
    Compression,
    ManifestChecksums,
    WalMethod,
)

NEWEST = "newest"
"""As a parent: the newest backup that an incremental one can be taken against."""


@dataclass(frozen=True, slots=True)
class BackupRequest:
    """What was asked for: one value for each choice."""

    destination: str | None = None
    """The directory for backups; None: the first that is configured."""
    name: str | None = None
    """Pattern of the backup's own directory in it; None: the configured or the usual one."""
    source: str | None = None
    """Connection string of the server; None: the cluster's own, over its socket."""
    format: BackupFormat = "tar"
    compression: Compression = field(default_factory=Compression)
    wal_method: WalMethod = "stream"
    checkpoint: Checkpoint = "auto"
    max_rate: int | None = None
    """Bytes a second; None: as fast as it goes."""
    label: str | None = None
    tablespaces: dict[str, str] = field(default_factory=dict)
    """For plain backups: where each tablespace's files go, by the tablespace's location."""
    parent: str | None = None
    """For an incremental backup: the id of the backup it builds upon, or `NEWEST`."""
    manifest_checksums: ManifestChecksums = "CRC32C"
    verify: bool = True
