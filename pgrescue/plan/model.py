"""The plan: a restore as data. Dry runs print it, the runner executes it, reports retell it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePath
from typing import Literal

from pgrescue.plan.sealed import SealedPlan
from pgrescue.plan.target import Target
from pgrescue.postgres.account import Account
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.service import ServiceSpec

Mode = Literal["in_place", "clone", "reseed"]
StopKind = Literal[
    "before_commit", "after_commit", "at_lsn", "at_name", "end_of_wal", "consistency", "at_time"
]


@dataclass(frozen=True, slots=True)
class Transaction:
    """A commit, by its id, its time and the position of its record."""

    xid: int
    time: datetime
    lsn: Lsn


@dataclass(frozen=True, slots=True)
class Stop:
    """Where recovery will stop. What needs the WAL read is null until it has been."""

    kind: StopKind
    xid: int | None
    time: datetime | None
    lsn: Lsn | None
    name: str | None
    timeline: int
    last_kept: Transaction | None = None
    first_discarded: Transaction | None = None
    discarded_transactions: int | None = None
    replayed_to: Lsn | None = None
    """The end of the last record that is replayed: what the server will name as its position."""


@dataclass(frozen=True, slots=True)
class Space:
    """What a filesystem must hold at the worst moment, and what it has free."""

    filesystem: str
    needed_bytes: int
    free_bytes: int
    needed_inodes: int = 0
    free_inodes: int | None = None
    """None where the filesystem makes inodes as they are needed."""
    paths: tuple[str, ...] = ()
    """The directories on it that are filled."""
    quota: str = ""
    """Whose quota leaves less than the filesystem has free; empty if none does."""
    writer: Account | None = None
    """Whose quotas count; None where nobody's do."""

    @property
    def by_quota(self) -> str:
        """What to add to the free space where it is a quota that sets the limit."""
        return f" (by the quota of {self.quota})" if self.quota else ""


@dataclass(frozen=True, slots=True)
class WalTail:
    """The WAL that only the old data directory's `pg_wal` has, and what is in it."""

    segments: tuple[str, ...]
    commits: int | None
    """Transactions that would be lost without it; None if it could not be read."""
    seconds: float | None
    """The time between the last commit that is elsewhere, too, and the last of these."""
    last_commit: datetime | None


@dataclass(frozen=True, slots=True)
class Move:
    """Something of the old cluster that is set aside by rename."""

    path: str
    aside: str
    contents_only: bool
    """A mount point stays; what is in it moves into `aside`, a directory inside it."""


@dataclass(frozen=True, slots=True)
class OldLink:
    """A link of the old data directory to what is set aside with it."""

    name: str
    """`pg_wal`, or `pg_tblspc/OID`."""
    text: str
    """Its text, to be put back word for word."""
    leads_to: str
    """The WAL directory, or the tablespace's version directory (such as `PG_15_202209061`)."""


@dataclass(frozen=True, slots=True)
class TablespaceWork:
    """One tablespace to restore: from which archive or directory, to which location."""

    oid: int
    archive: str
    destination: str


@dataclass(frozen=True, slots=True)
class BackupPart:
    """One backup of the chain and where to read it."""

    id: str
    path: str
    format: Literal["tar", "plain"]
    base_archive: str | None
    wal_archive: str | None
    wal_inside: Literal["tar", "base", "plain", "none"]
    has_manifest: bool
    tablespaces: tuple[TablespaceWork, ...]


@dataclass(frozen=True, slots=True)
class Seed:
    """A live server from which a standby is filled, instead of a backup."""

    command: tuple[str, ...]
    """pg_basebackup with all its arguments."""
    place: str
    """Where it writes, until all of it is there."""
    conninfo: str
    """Of the server, for asking it; without a password."""
    application: str
    """The name under which pg_basebackup connects."""
    checkpoint: Literal["auto", "fast", "spread"]
    checkpoint_bound: float
    estimated_bytes: int
    tablespaces: tuple[TablespaceWork, ...]
    """`archive` is where pg_basebackup puts the files of one."""
    creates_slot: str | None
    """The replication slot that is made at the source for the standby."""
    keeps_configuration: bool
    """Whether the configuration files of the old data directory are taken over."""
    own_files: tuple[str, ...]
    """Those, relative to it: what its configuration consists of, and what that names."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the executors need to know; everything is decided here, nothing while running."""

    tag: str
    """Tells the names this restore sets aside and makes from those of others."""
    data_directory: str
    owner: Account
    run_as: str | None
    """The owner's name where server programs must be started under it, i.e. by root."""
    mode: int
    """Permissions of the data directory: 0700, or 0750 where group access is on."""
    bin_directory: str
    major: int
    service: ServiceSpec
    """The service to start; for a clone always pg_ctl."""
    stop_service: bool
    was_running: bool
    start_again: bool
    """Whether undo should start the old cluster: it was running, or had crashed."""
    config_directory: str | None
    chain: tuple[BackupPart, ...]
    restore_bytes: int | None
    moves: tuple[Move, ...]
    wal_link: str | None
    """Where the new `pg_wal` link leads, if the old one led out of the data directory."""
    old_links: tuple[OldLink, ...]
    old_wal: str | None
    """The old cluster's `pg_wal`, before anything moves."""
    staging: str
    """Directory of the run's own: the backup's WAL, the rescued tail, fetch-wal."""
    wal_archive: str | None
    restore_command: str | None
    """The configured command that fetches WAL, where the archive is no directory."""
    wal_segment_size: int
    system_identifier: str | None
    start_lsn: Lsn
    wal_end: Lsn | None
    """Where the WAL that can be seen ends: what replay's progress is measured against."""
    settings: dict[str, str]
    lasting_settings: dict[str, str]
    """The part of `settings` that stays after the recovery has ended (a clone's isolation)."""
    signal_file: Literal["recovery.signal", "standby.signal"]
    added_files: dict[str, str]
    """Configuration files that the backup lacks and the server needs, by relative path."""
    removed_files: tuple[str, ...]
    old_data: Literal["keep", "delete"]
    conninfo: str
    log: str | None
    port: int | None
    stop_timeout: float
    start_timeout: float
    seed: Seed | None = None
    """Set where the data comes from a live server; then `chain` is empty."""
    neighbours: tuple[str, ...] = ()
    """Data directories of other clusters of this machine that need not be running: what they use
    is looked at again before anything is moved."""
    first_wal: str | None = None
    """The segment that recovery asks for first, where it is known to be there."""
    last_wal: str | None = None
    """The last one that is known to be there."""
    proven_wal: str | None = None
    """A segment that the configured `restore_command` has fetched when it was tried."""
    archive_has_wal: bool = False
    """Whether there was WAL in the archive's directory."""
    rescued: tuple[str, ...] = ()
    """Files that earlier runs have rescued from this cluster, and that recovery needs."""
    doubted_wal: tuple[str, ...] = ()
    """Segments that are rescued although the archive has a copy, as that is damaged."""
    removable_wal: tuple[str, ...] = ()
    """Segments that get a second name before the stop, as its checkpoint may remove them."""
    ends_with_the_plan: bool = False
    """Whether recovery gets nothing behind `last_wal`: a clone's, of which all has been read."""
    backup_roots: tuple[str, ...] = ()
    """The directories in which there are, or will be, the cluster's backups."""

    @property
    def rescues(self) -> bool:
        """Whether there may be WAL that the archive lacks."""
        return self.old_wal is not None or bool(self.rescued)

    @property
    def replaces(self) -> bool:
        """Whether there is anything in the place of the new data, which is set aside."""
        return bool(self.moves)

    @property
    def tablespaces(self) -> tuple[TablespaceWork, ...]:
        """The tablespaces that are restored."""
        return self.seed.tablespaces if self.seed is not None else self.chain[-1].tablespaces

    @property
    def at_the_end(self) -> str:
        """`recovery_target_action`; nothing where the server just goes on following."""
        return self.settings.get("recovery_target_action", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan(SealedPlan):
    """A whole restore."""

    mode: Mode
    backup: str
    target: Target
    stop: Stop
    settings: dict[str, str]
    settings_diff: str
    space: tuple[Space, ...]
    reversible: bool
    time_zone: str | None
    """The operator's zone, as configured; times are echoed in it."""
    work: Work
    wal_tail: WalTail | None = None
    """Null where the old cluster has no WAL that is not archived."""

    @property
    def place(self) -> str:
        """The data directory."""
        return self.work.data_directory

    @property
    def places(self) -> tuple[str, ...]:
        """The data directory, a linked pg_wal, and the tablespaces that it had or will have."""
        work = self.work
        wal = () if work.wal_link is None else (work.wal_link,)
        moved = (move.path for move in work.moves if move.path not in (self.place, *wal))
        old = (str(PurePath(path).parent) for path in moved)
        return (self.place, *wal, *old, *(item.destination for item in work.tablespaces))

    @property
    def subject(self) -> str:
        """Where to and what from."""
        if self.mode == "reseed":
            return f"Standby in {self.place}, filled from {self.backup}"
        return f"Restore to {self.target} from {self.backup}"

    @property
    def end(self) -> str:
        """What becomes of the server when recovery ends."""
        is_standby = self.work.signal_file == "standby.signal"
        return "stay a standby" if is_standby else self.target.end

    @property
    def owner(self) -> Account:
        """The server's."""
        return self.work.owner

    @property
    def directory_mode(self) -> int:
        """As PostgreSQL demands it."""
        return self.work.mode
