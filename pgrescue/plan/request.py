"""What somebody asked for: the options of a restore, checked but not yet compared with facts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from pgrescue.plan.target import Target

OldData = Literal["keep", "delete"]


@dataclass(frozen=True, slots=True)
class RestoreRequest:
    """A restore as it was asked for."""

    target: Target
    backup: str = "auto"
    into: str | None = None
    """A directory to make a clone in; None restores in place."""
    port: int | None = None
    tablespaces: dict[str, str] = field(default_factory=dict)
    """Original location to new location."""
    old_data: OldData = "keep"
    standby: bool = False
