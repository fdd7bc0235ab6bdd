"""Which backups are to be kept, as configured or given on the way."""

from __future__ import annotations

from dataclasses import astuple, dataclass


@dataclass(frozen=True, slots=True)
class RetentionPolicy:
    """Every rule keeps something; what no rule keeps may be removed. None: no such rule."""

    count: int | None = None
    """The newest full backups, this many, each with the incremental ones upon it."""
    days: int | None = None
    """All that is needed to recover to any moment of the last days."""
    weekly: int | None = None
    """The newest full backup of each of the newest weeks that have one, Monday to Sunday."""
    monthly: int | None = None
    """The newest full backup of each of the newest months that have one."""

    @property
    def keeps_everything(self) -> bool:
        """Whether there is no rule at all: then nothing is ever proposed to be removed."""
        return all(number is None for number in astuple(self))
