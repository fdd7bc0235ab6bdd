"""What the checks look at, and words that they share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from humanize import naturaldelta, naturalsize

from pgrescue.backup.estimate import Estimate
from pgrescue.backup.facts import BackupFacts, ServerFacts
from pgrescue.backup.model import TablespaceCopy
from pgrescue.catalog.model import Backup
from pgrescue.config.backup_request import BackupRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check looks at."""

    facts: BackupFacts
    server: ServerFacts
    request: BackupRequest
    estimate: Estimate
    parent: Backup | None
    tablespaces: tuple[TablespaceCopy, ...]


def ago(moment: datetime | None, now: datetime) -> str:
    """How long ago, in words."""
    return "at an unknown time" if moment is None else f"{naturaldelta(now - moment)} ago"


def size_text(count: int) -> str:
    """Bytes, in words."""
    return naturalsize(count, binary=True)
