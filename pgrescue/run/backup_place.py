"""Whether the directory that a run has filled is a backup already."""

from __future__ import annotations

from pgrescue.backup.model import BackupWork
from pgrescue.run.state import RunState


def was_renamed(work: BackupWork, state: RunState) -> bool:
    """Whether the run's hidden directory bears the backup's name now.

    The journal alone cannot tell: a runner may end between the renaming and its record.
    """
    try:
        return state.has_come_from(work.partial, work.destination)
    except OSError:
        return False
