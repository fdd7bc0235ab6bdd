"""How much the copy takes, and where: tablespaces and WAL may have disks of their own."""

from __future__ import annotations

from pgrescue.backup.facts import ServerFacts
from pgrescue.plan.facts import FilesystemFacts
from pgrescue.plan.model import Space
from pgrescue.reseed.model import ReseedFacts, ReseedRequest, place_of

_SEGMENTS = 4
"""Of WAL, that are written at the source while little else happens there."""


def space_of(facts: ReseedFacts, server: ServerFacts, request: ReseedRequest) -> tuple[Space, ...]:
    """What is needed by file system, the data directory's first.

    A tablespace whose size the role may not know counts where the data directory is.
    """
    needed: dict[str, int] = {}
    known: dict[str, FilesystemFacts] = {}

    def count(filesystem: FilesystemFacts, size: int) -> None:
        known[filesystem.mount_point] = filesystem
        needed[filesystem.mount_point] = needed.get(filesystem.mount_point, 0) + size

    apart = {
        place_of(item, request, facts.cluster): item.size_bytes or 0 for item in server.tablespaces
    }
    count(facts.filesystem, max(0, (server.database_bytes or 0) - sum(apart.values())))
    for place, size in apart.items():
        count(facts.filesystems[place], size)
    if facts.cluster.wal_directory is not None:
        filesystem = facts.filesystems[facts.cluster.wal_directory.real_path]
        count(filesystem, _SEGMENTS * int(server.number("wal_segment_size")))
    return tuple(Space(name, size, known[name].free_bytes) for name, size in needed.items())
