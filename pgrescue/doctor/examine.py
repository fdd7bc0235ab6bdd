"""All of the doctor's checks of one cluster."""

from __future__ import annotations

from collections.abc import Callable

from pgrescue.doctor import archive, backups, leftovers, paths, privileges, server, tools
from pgrescue.doctor.subject import Subject
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
    server.manager,
    server.service,
    backups.usable,
    backups.verified,
    backups.of_this_cluster,
    backups.unusable,
    archive.contents,
    archive.restore_command,
    archive.whole,
    archive.archiver,
    leftovers.state,
    leftovers.set_aside,
)


def examine(subject: Subject) -> list[Finding]:
    """Judge everything a rescue of this cluster would need; changes nothing."""
    return [finding for check in CHECKS for finding in check(subject)]
