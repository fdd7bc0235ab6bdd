"""The cluster as it stands: files, processes, links, configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from pgrescue.catalog.entries import open_regular
from pgrescue.config.model import ClusterConfig
from pgrescue.errors import UsageError
from pgrescue.plan.facts import ClusterFacts, Links, PathFacts, TablespaceFacts
from pgrescue.plan.layout import STAYS
from pgrescue.postgres.account import Account, account_by_name, account_by_uid, current_account
from pgrescue.postgres.data_directory import (
    collected_logs,
    read_assignments,
    read_control_file,
    read_pg_version,
)
from pgrescue.postgres.postmaster import Postmaster, find_postmaster
from pgrescue.survey.filesystem import existing_ancestor, path_facts
from pgrescue.survey.manager import find_manager
from pgrescue.survey.service_subject import foreign_service, supervising_unit
from pgrescue.wal.page import parse_segment_header
from pgrescue.wal.segment import NAME as SEGMENT

_IN_WAL = STAYS | {"summaries"}
"""Directories in `pg_wal`: the server's (`summaries` since 17), a file system's, pgrescue's."""
_OF_WAL = re.compile(r"[0-9A-F]{24}|[0-9A-F]{8}\.history|xlogtemp\.")
"""How names of files in `pg_wal` begin."""
_HEADERS_TRIED = 64
"""The newest names may be of segments made in advance, which are empty."""


def cluster_facts(config: ClusterConfig) -> ClusterFacts:
    """Look at a configured cluster, whatever state it is in."""
    data = config.data_directory
    directory = path_facts(data)
    real = Path(directory.real_path)
    control, problem = read_control_file(real)
    postmaster = find_postmaster(real)
    config_directory = _config_directory(config, real)
    return ClusterFacts(
        name=config.name,
        directory=directory,
        pg_version=_major_of(real),
        control=control,
        control_problem=problem,
        postmaster=postmaster,
        owner=owner_of(config, directory),
        links=links_of(real),
        wal_link_text=_wal_link_text(real),
        config_directory=config_directory,
        configuration=_outside_settings(config_directory),
        manager=find_manager(real),
        log=_log(config, real, postmaster),
        foreign_service=foreign_service(config.service, real, postmaster),
        supervising_unit=supervising_unit(config.service, postmaster),
    )


def log_of_cluster(config: ClusterConfig) -> str | None:
    """The server's log, if it is known."""
    data = Path(os.path.realpath(config.data_directory))
    return _log(config, data, find_postmaster(data))


def owner_of(config: ClusterConfig, directory: PathFacts) -> Account:
    """The account the server runs as: configured, else the owner of what is there.

    For a data directory that is gone, the owner of the nearest directory above it that is not
    root's; else `postgres`, else whoever we are. Raises `UsageError` for an unknown name.
    """
    if config.owner is not None:
        named = account_by_name(config.owner)
        if named is None:
            raise UsageError(
                f"There is no account '{config.owner}' on this machine.",
                f"The configuration names it as owner of the cluster {config.name}.",
            )
        return named
    if directory.uid is not None and directory.uid != 0:
        return account_by_uid(directory.uid)
    if os.geteuid() != 0:
        return current_account()
    status = existing_ancestor(Path(directory.real_path)).stat()
    if status.st_uid != 0:
        return account_by_uid(status.st_uid)
    return account_by_name("postgres") or current_account()


def links_of(data_directory: Path) -> Links:
    """Where the links of a data directory lead, and what is there."""
    wal = linked_wal_directory(data_directory)
    return Links(
        tablespaces=tablespaces_of(data_directory),
        wal_directory=wal,
        wal_stranger=stranger_in_wal(Path(wal.real_path)) if wal and wal.is_directory else None,
        wal_identifier=_wal_identifier(data_directory / "pg_wal"),
    )


def tablespaces_of(data_directory: Path) -> tuple[TablespaceFacts, ...]:
    """The links in `pg_tblspc`, each with the version directory that is this cluster's own."""
    found: list[TablespaceFacts] = []
    root = data_directory / "pg_tblspc"
    major = _major_of(data_directory)
    try:
        names = sorted(os.listdir(root))
    except OSError:
        return ()
    for name in names:
        link = root / name
        if not name.isdigit() or not link.is_symlink():
            continue
        text = os.readlink(link)
        location = root / text
        for version in sorted(location.glob(f"PG_{major}_[0-9]*")):
            if "." not in version.name:
                found.append(
                    TablespaceFacts(
                        int(name), str(location), text, path_facts(version), version.is_symlink()
                    )
                )
    return tuple(found)


def linked_wal_directory(data_directory: Path) -> PathFacts | None:
    """Where `pg_wal` leads, if it is a link."""
    link = data_directory / "pg_wal"
    return path_facts(link) if os.path.islink(link) else None


def outside_of(data_directory: Path) -> tuple[str, ...]:
    """What a cluster has outside its data directory."""
    return ends_of(tablespaces_of(data_directory), linked_wal_directory(data_directory))


def ends_of(
    tablespaces: Sequence[TablespaceFacts], wal_directory: PathFacts | None
) -> tuple[str, ...]:
    """Where the links of a data directory end, as far as that is the cluster's own."""
    wal = () if wal_directory is None else (wal_directory.real_path,)
    return (*(item.version_directory.real_path for item in tablespaces), *wal)


def stranger_in_wal(directory: Path) -> str | None:
    """What shows that a directory is none for WAL, in words; None for one that may be.

    A server makes `archive_status` there; what else is in it then is an archiver's, as `.wal-g` is.
    """
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        return f"it cannot be listed ({error.strerror})"
    if (directory / "archive_status").is_dir():
        return None
    others = [entry for entry in entries if entry.name not in _IN_WAL]
    for entry in others:
        if entry.is_dir() or entry.is_symlink():
            return f"it holds {entry.name}"
    if not others or any(_OF_WAL.match(entry.name) for entry in others):
        return None
    return f"it holds {others[0].name} and no WAL"


def _wal_identifier(pg_wal: Path) -> str | None:
    try:
        names = sorted(name for name in os.listdir(pg_wal) if SEGMENT.fullmatch(name))
    except OSError:
        return None
    for name in names[: -_HEADERS_TRIED - 1 : -1]:
        try:
            with open_regular(pg_wal / name) as stream:
                header = parse_segment_header(stream.read(64))
        except OSError:
            continue
        if header is not None:
            return header.system_identifier
    return None


def _wal_link_text(data_directory: Path) -> str | None:
    link = data_directory / "pg_wal"
    return os.readlink(link) if os.path.islink(link) else None


def _config_directory(config: ClusterConfig, data_directory: Path) -> str | None:
    configured = config.config_directory
    if configured is None or os.path.realpath(configured) == str(data_directory):
        return None
    return str(configured)


def _log(config: ClusterConfig, data_directory: Path, postmaster: Postmaster | None) -> str | None:
    """The server's log: configured, else what a running server writes to, else Debian's."""
    if config.log is not None:
        return str(config.log)
    if postmaster is not None:
        for collected in collected_logs(data_directory).values():
            return collected
        try:
            target = os.readlink(f"/proc/{postmaster.pid}/fd/1")
        except OSError:
            target = ""
        if target.startswith("/") and os.path.isfile(target):
            return target
    service = config.service
    if service.kind == "pg_ctlcluster" or (service.unit or "").startswith("postgresql@"):
        name = f"{service.version}-{service.cluster}" if service.version else _unit_instance(config)
        return f"/var/log/postgresql/postgresql-{name}.log"
    return None


def _unit_instance(config: ClusterConfig) -> str:
    return (config.service.unit or "").removeprefix("postgresql@").removesuffix(".service")


def _outside_settings(config_directory: str | None) -> dict[str, str]:
    """What an outside `postgresql.conf` and its includes set; nothing if we may not read them."""
    if config_directory is None:
        return {}
    try:
        return dict(read_assignments(Path(config_directory, "postgresql.conf")))
    except PermissionError:
        return {}


def _major_of(data_directory: Path) -> int | None:
    try:
        return read_pg_version(data_directory)
    except PermissionError:
        return None
