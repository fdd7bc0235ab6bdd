"""What was found before planning: observations only, no decisions.

`survey/` fills these; the runner fills them again under its lock and compares.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from pgrescue.catalog.model import Backup
from pgrescue.plan.command_trial import Trial
from pgrescue.plan.foretold import Foretold
from pgrescue.plan.model import WalTail
from pgrescue.plan.surroundings import Surroundings
from pgrescue.postgres.account import Account
from pgrescue.postgres.control_file import SHUT_DOWN_CLEANLY, ControlFile
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import Postmaster


@dataclass(frozen=True, slots=True)
class PathFacts:
    """A directory, or the place where one would be."""

    path: str
    real_path: str
    exists: bool
    is_directory: bool
    is_mount_point: bool
    is_empty: bool
    device: int | None
    inode: int | None
    uid: int | None
    gid: int | None
    mode: int | None
    parent_writable: bool
    """Whether entries of the parent directory can be renamed by us."""


@dataclass(frozen=True, slots=True)
class TablespaceFacts:
    """A tablespace of the cluster: its link in `pg_tblspc` and where that leads."""

    oid: int
    path: str
    """The link's target: the tablespace's location as PostgreSQL knows it."""
    link_text: str
    """That link's text, word for word."""
    version_directory: PathFacts
    """`PG_15_202209061` below it: the only part that belongs to this cluster."""
    is_link: bool
    """Whether that is a link, which PostgreSQL never makes."""


@dataclass(frozen=True, slots=True)
class Links:
    """Where the links of a data directory lead, and what is there."""

    tablespaces: tuple[TablespaceFacts, ...]
    wal_directory: PathFacts | None
    """Where `pg_wal` leads, if it is a link out of the data directory."""
    wal_stranger: str | None
    """What shows that no WAL directory is there, in words such as "it holds ssh"."""
    wal_identifier: str | None
    """The system identifier in the newest readable segment of `pg_wal`, linked or not."""


ManagerName = Literal[
    "Patroni", "repmgrd", "pg_auto_failover", "Stolon", "Pacemaker", "CloudNativePG", "Kubernetes"
]


@dataclass(frozen=True, slots=True)
class Manager:
    """A program that starts, stops and replaces a cluster's server by itself."""

    name: ManagerName
    state: Literal["in charge", "paused", "gone", "perhaps"]
    """Of one that is gone only its traces are left in the data directory; whether Kubernetes
    looks after a server cannot be told from within a pod."""
    evidence: str
    """What gave it away: its process, its unit, or its file."""
    configuration: str | None = None
    """The file that it was started with."""
    subject: str | None = None
    """What it calls the cluster: Patroni's scope, Pacemaker's resource."""
    unit: str | None = None
    """The systemd unit that it runs in, without `.service`."""


@dataclass(frozen=True, slots=True)
class ForeignService:
    """The configured service is not, or not only, that of the cluster's server."""

    evidence: str
    forbids: bool
    """Whether it would stop another server that runs, or cannot stop this one."""


@dataclass(frozen=True, slots=True)
class ClusterFacts:
    """The cluster as it stands, running, stopped, damaged or gone."""

    name: str
    directory: PathFacts
    pg_version: int | None
    """From PG_VERSION; None if there is none: no data directory, or a destroyed one."""
    control: ControlFile | None
    control_problem: str | None
    postmaster: Postmaster | None
    owner: Account
    links: Links
    wal_link_text: str | None
    """The text of the link `pg_wal`, if it is one."""
    config_directory: str | None
    """Where `postgresql.conf` is, if not in the data directory."""
    configuration: dict[str, str]
    """Settings of that outside `postgresql.conf`; empty if it is in the data directory."""
    manager: Manager | None
    """The high-availability manager that the server belongs to, such as Patroni."""
    log: str | None
    """The server's log file, where it could be found."""
    foreign_service: ForeignService | None = None
    supervising_unit: str | None = None
    """The systemd unit that runs the server, although its configured service is another kind."""

    @property
    def identifier(self) -> str | None:
        """Its system identifier: by `pg_control`, else by what is left of its WAL."""
        if self.control is not None:
            return self.control.system_identifier
        return self.links.wal_identifier

    @property
    def tablespaces(self) -> tuple[TablespaceFacts, ...]:
        """Its tablespaces."""
        return self.links.tablespaces

    @property
    def wal_directory(self) -> PathFacts | None:
        """Where `pg_wal` leads, if it is a link."""
        return self.links.wal_directory

    @property
    def was_meant_to_run(self) -> bool:
        """Whether its server runs, or went down without having been stopped."""
        crashed = self.control is not None and self.control.state not in SHUT_DOWN_CLEANLY
        return self.postmaster is not None or crashed


@dataclass(frozen=True, slots=True)
class HostFacts:
    """The machine and the person at it."""

    name: str
    operator: str
    is_root: bool
    account: Account
    now: datetime
    ports_in_use: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class FilesystemFacts:
    """Free space where a path is or would be."""

    path: str
    mount_point: str
    free_bytes: int
    device: str = ""
    """What tells it from others: bind mounts of one file system share its space."""
    free_inodes: int | None = None
    """None where the file system makes inodes as they are needed."""
    quota: str = ""
    """Whose quota leaves less than the file system has free; empty if none does."""
    writer: Account | None = None
    """Whose quotas count; None where nobody's do."""


@dataclass(frozen=True, slots=True)
class ArchiveFacts:
    """The WAL archive, as far as names tell."""

    path: str | None
    restore_command: str | None
    listed: bool
    problem: str | None
    segment_count: int
    histories: dict[int, TimelineHistory]
    system_identifier: str | None
    """From the header of the newest readable segment."""
    owner_can_read: bool | None
    """Whether the server's account may read it: recovery does, not we."""
    missing_programs: tuple[str, ...]
    """Programs that recovery needs to decompress what is there, and that are not installed."""


@dataclass(frozen=True, slots=True)
class WalReach:
    """How far WAL goes without a hole from the backup's start along the chosen timeline."""

    timeline: int
    end: Lsn | None
    """End of the last segment that is there; None if the first is missing already."""
    missing: str
    """Name of the first segment that is not there."""
    from_tail: tuple[str, ...]
    """Segments that only the old data directory's `pg_wal` has."""
    resumes_at: str | None
    """A later segment of the same line that is there again: the hole is a gap, not the end."""
    fork_missing: bool
    """The missing one is a timeline's first, and an ancestor's of that number is there: PostgreSQL
    would read that instead and go on in the wrong history."""
    only_partial: bool
    """Of the missing one there is a `.partial` in the archive."""
    first: str | None = None
    """The first file on the way, and the last before the missing one."""
    last: str | None = None


@dataclass(frozen=True, slots=True)
class UnfinishedRun:
    """Another run on the same data directory that has not come to an end."""

    run: str
    state: str
    has_begun_to_fill: bool = False
    """Whether it has made the data directory that is there."""


@dataclass(frozen=True, slots=True)
class Programs:
    """The server binaries of the backup's major version."""

    bin_directory: str | None
    version: str | None
    problem: str | None


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything a plan is made from."""

    host: HostFacts
    cluster: ClusterFacts
    destination: PathFacts
    """The directory to restore into: the cluster's own, or the clone's."""
    backup: Backup
    chain: tuple[Backup, ...]
    """For an incremental backup: the full one first, the chosen one last; otherwise just it."""
    archive: ArchiveFacts
    reach: WalReach
    programs: Programs
    filesystems: dict[str, FilesystemFacts]
    """By the path that was asked about."""
    tablespace_destinations: dict[int, PathFacts]
    unfinished: tuple[UnfinishedRun, ...]
    surroundings: Surroundings
    foretold: Foretold | None
    """What the WAL itself says; None where it could not be read beforehand."""
    unreadable: tuple[str, ...]
    """Plain backups of a chain that the server's account, which combines them, may not read."""
    history_to_rescue: bool = False
    """Whether only the old `pg_wal` has the history file of the timeline to follow."""
    wal_tail: WalTail | None = None
    """None where the old cluster has no WAL that is not archived."""
    takes_own_wal: bool = True
    """Whether the old `pg_wal` is at rest, and of the cluster that the archive is of."""
    rescued: tuple[str, ...] = ()
    """Files that earlier runs have rescued from this cluster, and that recovery needs."""
    doubted_wal: tuple[str, ...] = ()
    """Segments of the tail of which the archive's copies are damaged."""
    removable_wal: tuple[str, ...] = ()
    """Segments of the tail in the `pg_wal` of a running server, which its stop may remove."""
    unreadable_wal: dict[str, str] = field(default_factory=dict)
    """Segments of the old `pg_wal` that cannot be read, each with the reason."""
    trial: Trial | None = None
    """What the configured `restore_command` does when it is asked; None if there is none."""
    files_to_restore: int | None = None
    """How many files the backup's manifest lists."""
    bytes_now: dict[int, int] = field(default_factory=dict)
    """What the cluster's tablespaces hold now, by OID, and its data directory (0) without WAL:
    what the backup grows to while WAL is replayed."""
    state_directory: str = ""
    """Where this run's journal and log are kept."""
