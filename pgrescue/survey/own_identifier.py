"""Which cluster it is, by its system identifier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from pgrescue.catalog.model import Backup
from pgrescue.catalog.owner import own_identifier
from pgrescue.config.model import ClusterConfig
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.wal.archive import WalArchive
from pgrescue.wal.headers import identify_archive


def identifier_of(
    cluster: ClusterConfig, archive: WalArchive | None, backups: Sequence[Backup]
) -> str | None:
    """The data directory's, else the archive's, else the backups' if they have one only."""
    control, _ = read_control_file(Path(os.path.realpath(cluster.data_directory)))
    if control is not None:
        return control.system_identifier
    identity = identify_archive(archive) if archive is not None else None
    return own_identifier((identity.system_identifier if identity else None,), backups)
