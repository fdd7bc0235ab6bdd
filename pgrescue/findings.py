"""What a check found: the shape shared by `doctor` and the planner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was checked.

    `code` is a stable, dotted name for scripts. A "blocker" means a recovery
    cannot succeed until it is fixed; a "warning" does not stop one. `fix` is a
    shell command or a configuration line, or None when there is nothing to do.
    """

    code: str
    status: Literal["ok", "warning", "blocker"]
    message: str
    fix: str | None = None
