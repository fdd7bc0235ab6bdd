"""How much the copy takes, and where: tablespaces and WAL may have disks of their own."""

from __future__ import annotations

from pgrescue.backup.facts import ServerFacts
from pgrescue.plan.model import Space
from pgrescue.plan.space import Needs
from pgrescue.reseed.model import ReseedFacts, ReseedRequest, place_of

_SEGMENTS = 4
"""Of WAL, that are written at the source while little else happens there."""


def space_of(facts: ReseedFacts, server: ServerFacts, request: ReseedRequest) -> tuple[Space, ...]:
    """What is needed by file system.

    A tablespace whose size the role may not know counts where the data directory is.
    """
    data = facts.cluster.directory.real_path
    needs = Needs({**facts.filesystems, data: facts.filesystem})
    apart = {
        place_of(item, request, facts.cluster): item.size_bytes or 0 for item in server.tablespaces
    }
    needs.add(data, max(0, (server.database_bytes or 0) - sum(apart.values())))
    for place, size in apart.items():
        needs.add(place, size)
    if facts.cluster.wal_directory is not None:
        wal = facts.cluster.wal_directory.real_path
        needs.add(wal, _SEGMENTS * int(server.number("wal_segment_size")))
    return needs.spaces()
