"""Typed settings, as read from the TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.config.backup_request import BackupRequest
from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.errors import UsageError
from pgrescue.postgres.service import ServiceSpec


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """One cluster: where it lives, where its backups and WAL are, how its server is run."""

    name: str
    data_directory: Path
    service: ServiceSpec
    backups: tuple[Path, ...] = ()
    wal_archive: Path | None = None
    restore_command: str | None = None
    """Fetches a WAL file (`%f` to `%p`) where the archive is not a directory here."""
    bin_directory: Path | None = None
    """Where `postgres` and its tools are; found by the backup's version if not given."""
    config_directory: Path | None = None
    """Where `postgresql.conf` is, if outside the data directory (Debian)."""
    owner: str | None = None
    """The account that runs the server; taken from the data directory if not given."""
    conninfo: str = ""
    """Extra connection parameters for looking into the server, in libpq's form."""
    log: Path | None = None
    """The server's log file, if pgrescue cannot find it by itself."""
    backup: BackupRequest = field(default_factory=BackupRequest)
    """The choices of backups that are taken without others."""
    retention: RetentionPolicy = field(default_factory=RetentionPolicy)
    """Which backups are to be kept."""
    notify: str | None = None
    """As the whole configuration's, for this cluster."""
    sudo: bool = False
    """Whether an ordinary user's pgrescue runs itself again through sudo for this cluster."""


@dataclass(frozen=True, slots=True)
class Config:
    """A whole configuration file."""

    path: Path | None
    clusters: dict[str, ClusterConfig]
    time_zone: str | None = None
    """The operator's zone for times without an offset; the system's if not given."""
    notify: str | None = None
    """A command that gets the result of each backup and restore on its standard input."""
    stop_timeout: float = 300.0
    """Seconds that a server may take to go down before the run gives up."""
    start_timeout: float = 300.0
    """Seconds without any sign of progress before a starting server is given up."""

    def cluster(self, name: str | None) -> ClusterConfig:
        """The cluster of that name, or the only one; raises `UsageError` otherwise."""
        known = ", ".join(sorted(self.clusters))
        if name is None:
            if len(self.clusters) == 1:
                return next(iter(self.clusters.values()))
            raise UsageError(
                "Which cluster?",
                f"The configuration has {len(self.clusters)}: {known}.",
                next_steps=("name one with --cluster NAME",),
            )
        if name not in self.clusters:
            raise UsageError(f"There is no cluster '{name}'.", f"The configuration has: {known}.")
        return self.clusters[name]
