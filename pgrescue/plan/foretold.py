"""What reading the WAL says of a recovery before it is begun."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from pgrescue.findings import Finding
from pgrescue.plan.model import Stop
from pgrescue.postgres.control_file import StandbyLimits
from pgrescue.postgres.lsn import Lsn

BEFORE_BACKUP = "target.before_backup"
"""The code for targets that lie before the backup's end."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Another target, as ready options of a restore."""

    arguments: tuple[str, ...]
    words: str
    """What it would keep."""

    def __str__(self) -> str:
        return f"{shlex.join(self.arguments)}   {self.words}"


@dataclass(frozen=True, slots=True)
class Unreachable:
    """Why recovery would end with an error instead of stopping at the target."""

    code: str
    why: str
    alternatives: tuple[Alternative, ...]
    """The nearest targets that can be reached."""
    try_earlier_backup: bool = False
    """Whether the target may be reached from an earlier backup."""


@dataclass(frozen=True, slots=True)
class Foretold:
    """Where recovery will stop, and what happens on the way."""

    stop: Stop
    unreachable: Unreachable | None
    traps: tuple[Finding, ...]
    limits: StandbyLimits | None
    """The highest settings that the WAL up to the stop asks of a hot standby."""
    end: Lsn
    """Where the WAL that can be replayed ends."""
    end_reason: str
    """Why, where it is not simply the end of the files."""
    end_segment: str
    is_damage: bool
    """Whether it ends at WAL that cannot be replayed, rather than where nothing was written."""
