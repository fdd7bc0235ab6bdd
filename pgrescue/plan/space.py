"""What each filesystem must hold at the worst moment of a restore, in bytes and in files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pgrescue.plan.facts import Facts, FilesystemFacts
from pgrescue.plan.model import Space, Work
from pgrescue.postgres.sizes import parse_size

_MIB = 1024 * 1024
DEFAULT_MAX_WAL_SIZE = 1024 * _MIB
_RESTART_CYCLES = 2
"""A restartpoint can only be made where the primary made a checkpoint, so that recovery keeps up
to one checkpoint's distance more than max_wal_size (manual chapter "WAL Configuration")."""
_IN_HAND = 3
"""Segments: the one that is being fetched, the one that is being replayed, and the first of the
new timeline."""
RESERVE_BYTES = 16 * _MIB
"""What every filesystem keeps free, be it only for the run's journal: a run stops before it uses
that up."""
RESERVE_INODES = 16
_BLOCK_REST = 2048
"""What is left over in a file's last block, half of one on average."""
_CLUSTER_FILES = 64
"""Files and directories that a restore adds to what the backup lists."""


@dataclass(slots=True)
class _Need:
    filesystem: FilesystemFacts
    bytes: int = RESERVE_BYTES
    inodes: int = RESERVE_INODES
    paths: list[str] = field(default_factory=list)


class Needs:
    """What the filesystems must hold, gathered place by place."""

    def __init__(self, filesystems: Mapping[str, FilesystemFacts]) -> None:
        """`filesystems`: by path; of a path that is not among them nothing is counted."""
        self._filesystems = filesystems
        self._needs: dict[str, _Need] = {}

    def add(self, path: str, size: int, inodes: int = 0) -> None:
        """So many bytes and files at a path."""
        filesystem = self._filesystems.get(path)
        if filesystem is None:
            return
        key = filesystem.device or filesystem.mount_point
        need = self._needs.setdefault(key, _Need(filesystem))
        need.bytes += size
        need.inodes += inodes
        if path not in need.paths:
            need.paths.append(path)

    def spaces(self) -> tuple[Space, ...]:
        """One for each filesystem."""
        return tuple(
            Space(
                filesystem=need.filesystem.mount_point,
                needed_bytes=need.bytes,
                free_bytes=need.filesystem.free_bytes,
                needed_inodes=need.inodes,
                free_inodes=need.filesystem.free_inodes,
                paths=tuple(need.paths),
                quota=need.filesystem.quota,
                writer=need.filesystem.writer,
            )
            for need in sorted(self._needs.values(), key=lambda need: need.filesystem.mount_point)
        )


def space_needed(facts: Facts, work: Work, configured: Mapping[str, str]) -> tuple[Space, ...]:
    """Needs by filesystem; `configured` are the restored server's settings.

    Old data is set aside by rename and needs nothing.
    """
    needs = Needs(facts.filesystems)
    sizes = {item.oid: item.size_bytes or 0 for item in facts.backup.tablespaces}
    # A combined chain is about as large as the full backup that it starts from.
    total = max(backup.restore_bytes or backup.size_bytes for backup in facts.chain)
    in_data = max(total - sum(sizes.values()), 0)
    files = (facts.files_to_restore or 0) + _CLUSTER_FILES
    members = len(facts.chain) if len(facts.chain) > 1 else 0
    to_replay = _to_replay(facts, work)
    for oid, path in [
        (0, work.data_directory),
        *((t.oid, t.destination) for t in work.tablespaces),
    ]:
        size = sizes.get(oid, 0) if oid else in_data
        number = int(files * size / total) if total else files
        grown = max(facts.bytes_now.get(oid, size) - size, 0)
        if to_replay is not None:
            grown = min(grown, to_replay)
        needs.add(path, size + grown + number * _BLOCK_REST, number)
    wal = peak_wal(facts, work, configured)
    pg_wal = work.wal_link or work.data_directory
    needs.add(pg_wal, wal, wal // work.wal_segment_size)
    details = facts.backup.details
    own_wal = len(details.wal_segments) if details else 0
    segments = len(facts.reach.from_tail) + own_wal
    # The members of a chain are unpacked beside the staging directory, then combined.
    chain = sum(backup.restore_bytes or backup.size_bytes for backup in facts.chain)
    staged = segments * work.wal_segment_size + (chain if members else 0)
    needs.add(work.staging, staged, segments + files * members)
    if facts.state_directory:
        needs.add(facts.state_directory, 0)
    return needs.spaces()


def peak_wal(facts: Facts, work: Work, configured: Mapping[str, str]) -> int:
    """How much WAL `pg_wal` holds at most while it is replayed, by the restored settings.

    Recovery keeps what it has fetched until a restartpoint lets it go; it never holds more than
    there is to replay.
    """
    size = work.wal_segment_size
    most = _RESTART_CYCLES * _size(configured, "max_wal_size", DEFAULT_MAX_WAL_SIZE)
    kept = _size(configured, "wal_keep_size", 0)
    if configured.get("wal_keep_segments", "").isdigit():
        kept = int(configured["wal_keep_segments"]) * size  # until 12
    to_replay = _to_replay(facts, work)
    held = most + kept if to_replay is None else min(most + kept, to_replay)
    return held + _IN_HAND * size


def _to_replay(facts: Facts, work: Work) -> int | None:
    """Bytes of WAL up to the stop; None if that cannot be told."""
    stop = facts.foretold.stop.replayed_to if facts.foretold else None
    end = stop or (None if work.restore_command else work.wal_end)
    return None if end is None else max(int(end) - int(work.start_lsn), 0)


def _size(configured: Mapping[str, str], name: str, default: int) -> int:
    size = parse_size(configured.get(name, ""), _MIB)
    return default if size is None else size
