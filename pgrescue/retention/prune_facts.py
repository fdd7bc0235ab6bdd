"""What was found before a removal is planned: observations only, no decisions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pgrescue.plan.facts import HostFacts, UnfinishedRun
from pgrescue.postgres.account import Account
from pgrescue.retention.facts import RetentionFacts


@dataclass(frozen=True, slots=True)
class BackupPlace:
    """A backup's directory, and those of its tablespaces, as they are on disk."""

    real_path: str
    movable: bool
    """Whether we may rename it into another directory beside it."""
    tablespaces: tuple[str, ...]
    """Copies of tablespaces outside of it, in the directories for backups."""
    left: tuple[str, ...]
    """Places of tablespaces elsewhere: whose they are cannot be told."""
    served: str | None = None
    """The data directory of a running server that uses any of it: the backup's own, or another's.
    """


@dataclass(frozen=True, slots=True)
class PruneFacts:
    """Everything that the plan of a removal is made from."""

    host: HostFacts
    owner: Account
    roots: tuple[str, ...]
    """The configured directories for backups."""
    retention: RetentionFacts
    places: Mapping[str, BackupPlace]
    """By a backup's id."""
    writable: Mapping[str, bool]
    """By a directory of the archive: whether files can be renamed out of it."""
    used_by: Mapping[str, tuple[UnfinishedRun, ...]]
    """By a backup's id: runs that have not ended and read it, or build upon it."""
    unfinished: tuple[UnfinishedRun, ...]
    """Removals from these directories that have not ended."""
    elsewhere: tuple[str, ...] = ()
    """Where backups outside the catalog are that may need the archive's WAL."""
