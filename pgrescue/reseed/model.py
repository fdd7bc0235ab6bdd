"""A standby that is to be filled from a live server: what was asked for, what was found."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pgrescue.backup.facts import SourceFacts, SourceTablespace
from pgrescue.errors import UsageError
from pgrescue.plan.facts import ClusterFacts, FilesystemFacts, HostFacts, Programs, UnfinishedRun
from pgrescue.plan.surroundings import Surroundings
from pgrescue.postgres.basebackup_options import Checkpoint
from pgrescue.printable import printable

_SLOT = re.compile(r"[a-z0-9_]{1,63}")


@dataclass(frozen=True, slots=True)
class ReseedRequest:
    """A re-seed as it was asked for."""

    source: str
    """Connection string of the live server."""
    slot: str | None = None
    """A physical replication slot for the standby to use."""
    create_slot: bool = False
    checkpoint: Checkpoint = "auto"
    max_rate: int | None = None
    tablespaces: dict[str, str] = field(default_factory=dict)
    """Location at the source to location here."""
    own_configuration: bool = True
    """Whether this server's own configuration files stay in force."""


@dataclass(frozen=True, slots=True)
class OwnConfiguration:
    """What of the server's own configuration is in the old data directory, and what it says."""

    files: tuple[str, ...]
    """Files and directories in the data directory that its configuration consists of and names,
    relative to it; without `postgresql.auto.conf`."""
    settings: dict[str, str]
    """What `postgresql.conf`, wherever it is, and its includes set."""
    altered: dict[str, str]
    """What `postgresql.auto.conf` sets."""


@dataclass(frozen=True, slots=True)
class ReseedFacts:
    """Everything a re-seed's plan is made from."""

    host: HostFacts
    cluster: ClusterFacts
    """What is replaced."""
    source: SourceFacts
    programs: Programs
    client_major: int | None
    filesystem: FilesystemFacts
    """Where the data directory is."""
    filesystems: dict[str, FilesystemFacts]
    """Of places outside it: the tablespaces', and that of a linked `pg_wal`."""
    own: OwnConfiguration
    unfinished: tuple[UnfinishedRun, ...]
    is_itself: bool
    """Whether the source is the very server that would be replaced."""
    has_configuration: bool
    """Whether the old data directory holds a configuration of its own."""
    surroundings: Surroundings
    filled: tuple[str, ...]
    """Where tablespaces go, links resolved."""
    in_places: tuple[str, ...]
    """Directories of this major version's files where tablespaces are to go."""


def checked_slot(name: str) -> str:
    """A replication slot's name as PostgreSQL takes it; raises `UsageError`."""
    if not _SLOT.fullmatch(name):
        raise UsageError(
            f"'{printable(name)}' is no name for a replication slot.",
            "It has lower-case letters, digits and underscores, 63 at most.",
            next_steps=("--slot standby1 --create-slot",),
        )
    return name


def place_of(tablespace: SourceTablespace, request: ReseedRequest, cluster: ClusterFacts) -> str:
    """Where a tablespace goes: as mapped, else where this server has it, else as at the source."""
    if tablespace.location in request.tablespaces:
        return request.tablespaces[tablespace.location]
    own = {item.oid: item.path for item in cluster.tablespaces}
    return own.get(tablespace.oid, tablespace.location)
