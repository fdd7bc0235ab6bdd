"""The removal of backups and WAL, as data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pgrescue.config.retention_policy import RetentionPolicy
from pgrescue.plan.model import Move
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.account import Account
from pgrescue.retention.model import RemovableBackup, WalCut
from pgrescue.retention.words import number_of

PruneStepId = Literal["set_aside_backups", "set_aside_wal", "delete_old"]


@dataclass(frozen=True, slots=True)
class PruneRequest:
    """What was asked for: the backups that a policy does not keep, or some that were named."""

    policy: RetentionPolicy = field(default_factory=RetentionPolicy)
    named: tuple[str, ...] = ()
    """Ids of backups, or unique beginnings of them; empty: those that the policy does not keep."""
    keep_wal: bool = False
    delete: bool = False
    """Whether what was set aside is deleted at once."""


@dataclass(frozen=True, slots=True)
class SomeEntries:
    """Files of one directory that are set aside together."""

    directory: str
    aside: str
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PruneWork:
    """What the executors need to know; everything is decided here."""

    roots: tuple[str, ...]
    """The directories for backups, to look into them again."""
    backups: tuple[str, ...]
    """Ids of the backups that are removed."""
    paths: tuple[str, ...]
    """Their directories, resolved."""
    moves: tuple[Move, ...]
    """Their directories and those of their tablespaces; whatever builds on others comes first."""
    archive: str | None
    wal: tuple[SomeEntries, ...]
    delete: bool
    owner: Account
    mode: int
    catalog_cache: str
    elsewhere: tuple[str, ...] = ()
    """Where other backups are that may need the archive's WAL, to look there again."""
    system_identifier: str | None = None
    """The cluster's, as far as it is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrunePlan(SealedPlan):
    """A whole removal."""

    kind: Literal["prune"] = "prune"
    policy: RetentionPolicy
    named: bool
    """Whether the backups were named; otherwise they are what the policy does not keep."""
    removed: tuple[RemovableBackup, ...]
    kept: tuple[str, ...]
    """Ids of the usable backups that stay, the newest first."""
    cuts: tuple[WalCut, ...]
    frees_bytes: int
    work: PruneWork

    @property
    def place(self) -> str:
        """The first directory for backups."""
        return self.work.roots[0]

    @property
    def subject(self) -> str:
        """What goes."""
        files = sum(len(group.names) for group in self.work.wal)
        wal = f" and {number_of(files, 'WAL file')}" if files else ""
        return f"Removal of {number_of(len(self.removed), 'backup')}{wal} of {self.cluster}"

    @property
    def owner(self) -> Account:
        """Whose the directories are."""
        return self.work.owner

    @property
    def directory_mode(self) -> int:
        """For nobody else's eyes."""
        return self.work.mode

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to be removed."""
        return not self.work.moves and not self.work.wal
