"""`global/pg_control`: the cluster's identity, its last checkpoint, and its limits.

Offsets follow `ControlFileData` in `src/include/catalog/pg_control.h`; they are the same from
12 to 18 but for the CRC, which 18 moved from byte 288 to 292.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime

import crc32c

from pgrescue.errors import InvalidFormat
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.versions import major_of_catalog_version

STATES = (
    "starting up",
    "shut down",
    "shut down in recovery",
    "shutting down",
    "in crash recovery",
    "in archive recovery",
    "in production",
)
SHUT_DOWN_CLEANLY = ("shut down", "shut down in recovery")
RELATIVE_PATH = "global/pg_control"
_CRC_OFFSETS = (288, 292)


@dataclass(frozen=True, slots=True)
class StandbyLimits:
    """Settings that a hot standby needs at least as high as the primary had them."""

    max_connections: int
    max_worker_processes: int
    max_wal_senders: int
    max_prepared_transactions: int
    max_locks_per_transaction: int


@dataclass(frozen=True, slots=True)
class ControlFile:
    """What pgrescue needs of `pg_control`."""

    system_identifier: str
    major: int | None
    catalog_version: int
    state: str
    written_at: datetime
    checkpoint_lsn: Lsn
    redo_lsn: Lsn
    timeline: int
    next_xid: int
    """The 64-bit next transaction id at the checkpoint: epoch in the high half."""
    checkpoint_time: datetime
    min_recovery_lsn: Lsn
    min_recovery_timeline: int
    wal_segment_size: int
    data_checksums: bool
    limits: StandbyLimits

    @property
    def current_timeline(self) -> int:
        """The timeline that was written or replayed last.

        Between a promotion and the end of the checkpoint after it, only the end-of-recovery
        record's timeline is here (`CreateEndOfRecoveryRecord` in `xlog.c`).
        """
        return max(self.timeline, self.min_recovery_timeline)


def parse_control_file(data: bytes) -> ControlFile:
    """Read the bytes of `global/pg_control`; raises `InvalidFormat` on a bad size or CRC."""
    if len(data) < 296:
        raise InvalidFormat("pg_control is too short.", f"{len(data)} bytes instead of 8192.")
    if not any(_crc_matches(data, offset) for offset in _CRC_OFFSETS):
        raise InvalidFormat(
            "pg_control is damaged.",
            "Its CRC does not match: a torn copy, or a byte order that is not this machine's.",
        )
    catalog_version = _u32(data, 12)
    state = struct.unpack_from("<i", data, 16)[0]
    return ControlFile(
        system_identifier=str(_u64(data, 0)),
        major=major_of_catalog_version(catalog_version),
        catalog_version=catalog_version,
        state=STATES[state] if 0 <= state < len(STATES) else f"unknown ({state})",
        written_at=_unix_time(data, 24),
        checkpoint_lsn=Lsn(_u64(data, 32)),
        redo_lsn=Lsn(_u64(data, 40)),
        timeline=_u32(data, 48),
        next_xid=_u64(data, 64),
        checkpoint_time=_unix_time(data, 104),
        min_recovery_lsn=Lsn(_u64(data, 136)),
        min_recovery_timeline=_u32(data, 144),
        wal_segment_size=_u32(data, 228),
        data_checksums=_u32(data, 252) != 0,
        limits=StandbyLimits(*struct.unpack_from("<5i", data, 180)),
    )


def _crc_matches(data: bytes, offset: int) -> bool:
    return crc32c.crc32c(data[:offset]) == _u32(data, offset)


def _u32(data: bytes, offset: int) -> int:
    return int(struct.unpack_from("<I", data, offset)[0])


def _u64(data: bytes, offset: int) -> int:
    return int(struct.unpack_from("<Q", data, offset)[0])


def _unix_time(data: bytes, offset: int) -> datetime:
    seconds = struct.unpack_from("<q", data, offset)[0]
    try:
        return datetime.fromtimestamp(seconds, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.fromtimestamp(0, UTC)
