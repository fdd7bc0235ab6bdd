"""A base backup that is to be taken, as data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.account import Account
from pgrescue.postgres.basebackup_options import BackupFormat, Checkpoint, Compression, WalMethod

BackupStepId = Literal["prepare", "take", "verify", "publish"]


@dataclass(frozen=True, slots=True)
class TablespaceCopy:
    """Where a plain backup puts one tablespace's files."""

    oid: int
    location: str
    destination: str


@dataclass(frozen=True, slots=True)
class BackupWork:
    """What the executors need to know; everything is decided here."""

    tag: str
    root: str
    """The directory for backups."""
    destination: str
    """The backup's own directory in the end."""
    partial: str
    """Its hidden directory until it is whole."""
    owner: Account
    run_as: str | None
    """The owner's name where programs must be started under it, i.e. by root."""
    mode: int
    bin_directory: str
    command: tuple[str, ...]
    """pg_basebackup with all its arguments."""
    conninfo: str
    """Of the same server, for asking it meanwhile; without a password."""
    application: str
    """The name under which pg_basebackup connects, to know it again."""
    major: int
    system_identifier: str
    in_recovery: bool
    format: BackupFormat
    compression: Compression
    wal_method: WalMethod
    checkpoint: Checkpoint
    checkpoint_bound: float
    """Seconds within which a spread checkpoint is over, by the server's settings."""
    tablespaces: tuple[TablespaceCopy, ...]
    parent: str | None
    """The id of the backup that an incremental one builds upon."""
    verify: bool
    has_manifest: bool
    estimated_bytes: int
    """What is to be read from the server: the size of its files."""
    catalog_cache: str
    """Where it is noted that the backup was verified."""
    wal_archive: str | None
    archives: bool
    """Whether the server archives its WAL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BackupPlan(SealedPlan):
    """A whole backup."""

    kind: Literal["backup"] = "backup"
    source: str
    """The server, in words."""
    work: BackupWork
    estimated_size: int
    """Bytes that it will take on disk, judging by earlier ones."""
    estimated_seconds: float | None

    @property
    def place(self) -> str:
        """The backup's own directory."""
        return self.work.destination

    @property
    def subject(self) -> str:
        """What of, and where to."""
        what = "Incremental backup" if self.work.parent else "Base backup"
        source = self.source[:1].lower() + self.source[1:]
        return f"{what} of {source} into {self.work.destination}"

    @property
    def owner(self) -> Account:
        """Who takes it, and to whom its files belong."""
        return self.work.owner

    @property
    def directory_mode(self) -> int:
        """For nobody else's eyes."""
        return self.work.mode
