"""What the catalog knows of a base backup, whatever tool made it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Literal

from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.lsn import Lsn

Source = Literal["basebackup"]
Format = Literal["tar", "plain"]
Compression = Literal["none", "gzip", "lz4", "zstd"]
Kind = Literal["full", "incremental"]
WalInside = Literal["tar", "base", "plain", "none"]
"""Where a backup's own WAL is: in `pg_wal.tar*`, inside `base.tar*`, in `pg_wal/`, nowhere."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a backup cannot be used, or should be looked at."""

    code: str
    message: str
    fatal: bool = True


@dataclass(frozen=True, slots=True)
class BackupTablespace:
    """A tablespace of the backed-up cluster, where it was, and how big."""

    oid: int
    path: str
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of the WAL can be recovered to, starting from one backup."""

    from_lsn: Lsn | None
    from_time: datetime | None
    to_lsn: Lsn | None
    to_time: datetime | None
    timeline: int


@dataclass(frozen=True, slots=True)
class Backup:
    """One base backup; the fields are those of `catalog --json`."""

    id: str
    source: Source
    path: str
    format: Format | None
    compression: Compression | None
    kind: Kind | None
    parent: str | None
    label: str | None
    server_version: str | None
    system_identifier: str | None
    timeline: int | None
    start_lsn: Lsn | None
    stop_lsn: Lsn | None
    started_at: datetime | None
    stopped_at: datetime | None
    size_bytes: int
    restore_bytes: int | None
    tablespaces: tuple[BackupTablespace, ...]
    has_manifest: bool
    verified_at: datetime | None
    usable: bool
    problems: tuple[Problem, ...]
    window: Window | None
    details: BackupDetails | None = None
    """Left out of `catalog --json`; None for what is no backup at all."""

    @property
    def major(self) -> int | None:
        """The server's major version as a number."""
        return int(self.server_version) if self.server_version else None

    @property
    def duration_seconds(self) -> float | None:
        """How long it took, the wait for its checkpoint left out."""
        if self.started_at is None or self.stopped_at is None:
            return None
        return (self.stopped_at - self.started_at).total_seconds()

    @property
    def ratio(self) -> float | None:
        """Its size to the size of what it restores to: what compression (or a chain) saves."""
        return round(self.size_bytes / self.restore_bytes, 3) if self.restore_bytes else None

    def with_problem(self, problem: Problem) -> Backup:
        """The same backup with one more problem."""
        return replace(
            self,
            problems=(*self.problems, problem),
            usable=self.usable and not problem.fatal,
        )


@dataclass(frozen=True, slots=True)
class BackupDetails:
    """What a plan needs of a backup beyond the catalog's line."""

    checkpoint_lsn: Lsn
    wal_inside: WalInside
    wal_segment_size: int | None
    from_standby: bool
    incremental_from_lsn: Lsn | None
    base_archive: str | None
    """File name of `base.tar*`, None for a plain backup."""
    wal_archive: str | None
    """File name of `pg_wal.tar*`, if there is one."""
    tablespace_archives: dict[int, str] = field(default_factory=dict)
    """Tablespace OID to the file name of its tar, or (plain) to the directory that holds it."""
    read_whole: bool = False
    """Whether every archive was read to its end; `control` and `configuration` come from that."""
    control: ControlFile | None = None
    configuration: dict[str, str] = field(default_factory=dict)
    """Text of the backup's own configuration and signal files, by relative path; passwords in it
    are hidden, since it is kept and shown."""
    wal_segments: tuple[str, ...] = ()
    """Names of the WAL segments inside; empty if there are none or not all were seen."""
    incremental_from_timeline: int | None = None
