"""What else is on the machine: what a restore must neither move nor delete nor write into."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another data directory of this machine: a cluster's, or a plain backup."""

    directory: str
    is_running: bool
    places: tuple[str, ...]
    """What it has outside: where its `pg_wal` leads, and its tablespaces' version directories."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Everything around the places of one run; all paths with their links resolved."""

    homes: dict[str, str] = field(default_factory=dict)
    """Home directories, each with its account's name."""
    neighbours: tuple[Neighbour, ...] = ()
    known: tuple[str, ...] = ()
    """Data directories that configurations name, whether or not a server runs there."""
    backups: dict[str, str] = field(default_factory=dict)
    """Every directory of the catalog's backups, each with words for it."""
    kept: dict[str, str] = field(default_factory=dict)
    """Directories that hold what must be kept, too: archives, other clusters' backups, journals."""
    mounts: tuple[str, ...] = ()
    """Where something is mounted inside what would be moved."""
