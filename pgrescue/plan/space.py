"""What each filesystem must hold at the worst moment of a restore."""

from __future__ import annotations

from collections.abc import Mapping

from pgrescue.plan.facts import Facts
from pgrescue.plan.model import Space

REPLAY_RESERVE_BYTES = 256 * 1024 * 1024
"""For WAL that recovery keeps in `pg_wal` between restartpoints, and temporary files."""


def space_needed(
    facts: Facts, data_directory: str, destinations: Mapping[int, str], staging: str
) -> tuple[Space, ...]:
    """Needed and free bytes by filesystem; old data is set aside by rename and needs nothing."""
    needed: dict[str, int] = {}
    sizes = {item.oid: item.size_bytes or 0 for item in facts.backup.tablespaces}
    # A combined chain is about as large as the full backup that it starts from.
    total = max(backup.restore_bytes or backup.size_bytes for backup in facts.chain)
    _add(needed, facts, data_directory, total - sum(sizes.values()) + REPLAY_RESERVE_BYTES)
    for oid, path in destinations.items():
        _add(needed, facts, path, sizes.get(oid, 0))
    details = facts.backup.details
    own_wal = len(details.wal_segments) if details else 0
    staged = (len(facts.reach.from_tail) + own_wal) * _segment_size(facts)
    if len(facts.chain) > 1:
        # The members of a chain are unpacked beside the staging directory, then combined.
        staged += sum(backup.restore_bytes or backup.size_bytes for backup in facts.chain)
    _add(needed, facts, staging, staged)
    free = {item.mount_point: item.free_bytes for item in facts.filesystems.values()}
    return tuple(Space(mount, size, free[mount]) for mount, size in sorted(needed.items()))


def _segment_size(facts: Facts) -> int:
    details = facts.backup.details
    return (details.wal_segment_size if details else None) or 16 * 1024 * 1024


def _add(needed: dict[str, int], facts: Facts, path: str, size: int) -> None:
    filesystem = facts.filesystems.get(path)
    if filesystem is not None:
        needed[filesystem.mount_point] = needed.get(filesystem.mount_point, 0) + size
