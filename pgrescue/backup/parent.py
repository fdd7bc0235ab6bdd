"""Which backup an incremental one builds upon."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.backup.facts import ServerFacts
from pgrescue.catalog.model import Backup


def newest_parent(backups: Sequence[Backup], server: ServerFacts) -> Backup | None:
    """The newest whole backup of this server, on its timeline, that has a manifest."""
    fitting = [
        backup
        for backup in backups
        if backup.usable
        and backup.has_manifest
        and backup.start_lsn is not None
        and backup.system_identifier == server.system_identifier
        and backup.timeline == server.timeline
    ]
    return max(fitting, key=lambda backup: backup.start_lsn or 0, default=None)
