"""What the doctor's checks look at, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.discover import list_backups
from pgrescue.catalog.model import Backup
from pgrescue.config.binaries import find_programs, program_of
from pgrescue.config.errors import ConfigError, ConfigProblem
from pgrescue.config.model import ClusterConfig, Config
from pgrescue.config.paths import check_paths
from pgrescue.config.state import catalog_cache_file
from pgrescue.postgres.account import Account, account_by_name, account_by_uid
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.data_directory import read_control_file, read_pg_version
from pgrescue.postgres.postmaster import Postmaster, find_postmaster
from pgrescue.wal.archive import WalArchive, scan_archive


@dataclass(frozen=True, slots=True)
class Subject:
    """One cluster as it was found."""

    config: Config
    cluster: ClusterConfig
    wrong_paths: tuple[ConfigProblem, ...]
    owner: Account | None
    """The configured owner's account, else the data directory's; None if there is none."""
    server: Postmaster | None
    control: ControlFile | None
    archive: WalArchive | None
    backups: tuple[Backup, ...]
    major: int | None
    """The cluster's major version; its backups' if the data directory is gone."""
    bin_directory: Path | None

    @property
    def newest_usable(self) -> Backup | None:
        """The usable backup that ended last."""
        usable = [backup for backup in self.backups if backup.usable and backup.stopped_at]
        return max(usable, key=lambda backup: (backup.stopped_at, backup.id), default=None)


def look_at(config: Config, cluster: ClusterConfig) -> Subject:
    """Gather what there is; what cannot be read is left out, and its check says so."""
    server = find_postmaster(cluster.data_directory)
    control, _ = read_control_file(cluster.data_directory)
    archive = _archive(cluster.wal_archive)
    backups = _backups(cluster, archive)
    major = _major(cluster.data_directory, control, backups)
    return Subject(
        config=config,
        cluster=cluster,
        wrong_paths=_wrong_paths(config, cluster),
        owner=_owner(cluster),
        server=server,
        control=control,
        archive=archive,
        backups=backups,
        major=major,
        bin_directory=_bin_directory(cluster, server, major),
    )


def _wrong_paths(config: Config, cluster: ClusterConfig) -> tuple[ConfigProblem, ...]:
    try:
        check_paths(cluster, config.path)
    except ConfigError as error:
        return error.problems
    return ()


def _owner(cluster: ClusterConfig) -> Account | None:
    if cluster.owner is not None:
        return account_by_name(cluster.owner)
    try:
        return account_by_uid(cluster.data_directory.stat().st_uid)
    except OSError:
        return account_by_name("postgres")


def _archive(path: Path | None) -> WalArchive | None:
    try:
        return None if path is None else scan_archive(path)
    except OSError:
        return None


def _backups(cluster: ClusterConfig, archive: WalArchive | None) -> tuple[Backup, ...]:
    file = catalog_cache_file()
    # Looking does not make the state directory: it would not be known who may read it.
    cache = CatalogCache(file) if file.parent.is_dir() else None
    return tuple(list_backups(cluster.backups, cache, archive))


def _major(
    data_directory: Path, control: ControlFile | None, backups: tuple[Backup, ...]
) -> int | None:
    if control is not None and control.major is not None:
        return control.major
    try:
        stated = read_pg_version(data_directory)
    except PermissionError:
        stated = None
    if stated is not None:
        return stated
    return max((backup.major for backup in backups if backup.major), default=None)


def _bin_directory(
    cluster: ClusterConfig, server: Postmaster | None, major: int | None
) -> Path | None:
    if cluster.bin_directory is not None:
        return cluster.bin_directory
    program = program_of(server.pid) if server is not None else None
    if program is not None:
        return program.parent
    programs = find_programs(major) if major is not None else None
    return programs.directory if programs is not None else None
