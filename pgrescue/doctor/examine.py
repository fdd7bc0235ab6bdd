"""All of the doctor's checks of one cluster."""

from __future__ import annotations

from collections.abc import Callable

from pgrescue.config.model import ClusterConfig, Config
from pgrescue.doctor import archive, backups, leftovers, paths, privileges, server, tools
from pgrescue.doctor.subject import Subject, look_at
from pgrescue.findings import Finding

CHECKS: tuple[Callable[[Subject], list[Finding]], ...] = (
    paths.configured,
    paths.readable,
    privileges.owner,
    privileges.rights,
    tools.server_programs,
    tools.decompressors,
    server.data_directory,
    server.server,
    server.service,
    backups.usable,
    backups.verified,
    backups.of_this_cluster,
    backups.unusable,
    archive.contents,
    archive.whole,
    archive.archiver,
    leftovers.state,
    leftovers.set_aside,
)


def examine(config: Config, cluster: ClusterConfig) -> list[Finding]:
    """Look at everything a rescue of this cluster would need; changes nothing."""
    subject = look_at(config, cluster)
    return [finding for check in CHECKS for finding in check(subject)]
