"""Whose the backups of a catalog are."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.catalog.model import Backup


def own_identifier(known: Sequence[str | None], backups: Sequence[Backup]) -> str | None:
    """The cluster's system identifier: the first that is known, else that of all usable backups.

    `known`: the control file's, the archive's. None where the backups are of several clusters: to
    take the newest one's would be a guess.
    """
    for identifier in known:
        if identifier is not None:
            return identifier
    found = {backup.system_identifier for backup in backups if backup.usable} - {None}
    return found.pop() if len(found) == 1 else None
