"""What a re-seed's checks look at."""

from __future__ import annotations

from dataclasses import dataclass

from pgrescue.backup.facts import ServerFacts
from pgrescue.plan.model import Space, Work
from pgrescue.reseed.model import ReseedFacts, ReseedRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check looks at."""

    facts: ReseedFacts
    server: ServerFacts
    request: ReseedRequest
    work: Work
    space: tuple[Space, ...]
    """What the copy takes, by file system."""
