"""What was found before a backup is planned: observations only, no decisions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from pgrescue.catalog.model import Backup
from pgrescue.plan.facts import FilesystemFacts, HostFacts, PathFacts, Programs, UnfinishedRun
from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn


@dataclass(frozen=True, slots=True)
class SourceTablespace:
    """A tablespace of the server, beside `pg_default` and `pg_global`."""

    oid: int
    name: str
    location: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ArchiverFacts:
    """The server's word on its archiving (`pg_stat_archiver`)."""

    last_archived: str | None
    last_archived_at: datetime | None
    last_failed: str | None
    last_failed_at: datetime | None
    failed_count: int

    @property
    def is_failing(self) -> bool:
        """Whether the last attempt failed."""
        if self.last_failed_at is None:
            return False
        return self.last_archived_at is None or self.last_failed_at > self.last_archived_at


@dataclass(frozen=True, slots=True)
class SlotFacts:
    """A replication slot (`pg_replication_slots`)."""

    name: str
    kind: str
    """`physical` or `logical`."""
    active: bool


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The server that is to be backed up, asked over a connection."""

    version_number: int
    """`server_version_num`, such as 150018."""
    version: str
    in_recovery: bool
    role: str
    is_superuser: bool
    may_replicate: bool
    settings: dict[str, str]
    """By name; sizes and times in the unit that `pg_settings` gives, turned into base units."""
    wal_compressions: tuple[str, ...]
    """What `wal_compression` may be: shows with which libraries the server was built."""
    senders: int
    """WAL senders at work now."""
    replication_slots: tuple[SlotFacts, ...]
    archiver: ArchiverFacts | None
    system_identifier: str
    timeline: int
    lsn: Lsn | None
    """How far it has written WAL or, as a standby, replayed it."""
    started_at: datetime | None
    """When its postmaster started, to the microsecond."""
    last_checkpoint_at: datetime | None
    wal_since_checkpoint: int | None
    """Bytes of WAL since then: about as much as another checkpoint has to write at most."""
    database_bytes: int | None
    """Of all databases; None where the role may not know."""
    tablespaces: tuple[SourceTablespace, ...]
    wal_bytes: int | None
    """In pg_wal now; None where the role may not know."""
    replication_problem: str | None
    """Why no replication connection could be opened, in the server's words."""

    @property
    def slots(self) -> int:
        """How many replication slots it has."""
        return len(self.replication_slots)

    @property
    def major(self) -> int:
        """The major version."""
        return self.version_number // 10000

    def number(self, name: str) -> float:
        """A setting as a number; 0 for one that is not there."""
        try:
            return float(self.settings.get(name, "") or 0)
        except ValueError:
            return 0.0


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """How the server was reached, and what it said."""

    conninfo: str
    """For pg_basebackup and for further questions; without a password."""
    words: str
    """The server, for people."""
    is_local: bool
    server: ServerFacts | None
    problem: str | None
    """Why it could not be asked."""


@dataclass(frozen=True, slots=True)
class BackupFacts:
    """Everything a backup's plan is made from."""

    host: HostFacts
    owner: Account
    source: SourceFacts
    programs: Programs
    client_major: int | None
    client_problem: str | None
    """Why this pg_basebackup cannot handle the compression that is asked for."""
    root: PathFacts
    """The directory for backups."""
    destination: PathFacts
    partial: PathFacts
    """Its hidden directory until it is whole."""
    filesystem: FilesystemFacts
    writable: bool | None
    """Whether the account may write there; None if we cannot tell."""
    backups: tuple[Backup, ...]
    """The catalog."""
    parent: Backup | None
    """What an incremental backup would build upon."""
    unfinished: tuple[UnfinishedRun, ...]
    mapped: dict[str, PathFacts]
    """The directories that are made for tablespaces."""
    is_catalogued: bool
    """Whether the catalog looks for backups in `root`."""
    cluster_identifier: str | None
    """System identifier of the cluster that the configuration means, as far as it is known."""
    wal_archive: str | None
