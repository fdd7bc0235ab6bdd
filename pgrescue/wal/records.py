"""Records of the write-ahead log, many at a time.

Format: `XLogRecord` in `src/include/access/xlogrecord.h`. A batch is only valid until the walk that
gave it goes on: its buffer is used again.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import crc32c
import numpy as np
import numpy.typing as npt

from pgrescue.wal.pages import Bytes, Offsets, Words

RECORD_HEADER = 24
MAX_RECORD = 1020 * 1024 * 1024
"""`XLogRecordMaxSize` (16 and later): what claims to be longer is no record."""
LAST_BUILT_IN_RMGR, FIRST_CUSTOM_RMGR = 21, 128
XLOG, XACT, SMGR, DBASE, TBLSPC, RELMAP, STANDBY = 0, 1, 2, 4, 5, 7, 8
HEAP2, HEAP = 9, 10
INFO_MASK = 0xF0
"""The low bits of `xl_info` belong to the WAL machinery, the high ones to the resource manager."""

_CRC = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive records and the bytes they are in."""

    data: Bytes
    """Bytes with records at 8-byte boundaries."""
    starts: Offsets
    """Where in `data` each record begins."""
    positions: Words
    """The WAL position of each."""
    lengths: npt.NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.starts)

    def word(self, index: int) -> npt.NDArray[np.uint32]:
        """The 32-bit word at `4 * index` of each record, which must lie inside all of them."""
        words = self.data[: len(self.data) & ~3].view("<u4")
        return np.asarray(words[(self.starts >> 2) + index])

    @property
    def xids(self) -> npt.NDArray[np.uint32]:
        """`xl_xid` of each."""
        return self.word(1)

    @property
    def kinds(self) -> npt.NDArray[np.uint32]:
        """Resource manager and info of each, as `rmid << 8 | info`."""
        return self.word(4) & np.uint32(0xFFFF)

    def select(self, chosen: npt.NDArray[np.bool_] | Offsets) -> Batch:
        """Some of the records."""
        return Batch(self.data, self.starts[chosen], self.positions[chosen], self.lengths[chosen])

    def bytes_of(self, index: int) -> bytes:
        """A copy of one record."""
        start = int(self.starts[index])
        return self.data[start : start + int(self.lengths[index])].tobytes()

    def first_bad_crc(self) -> int | None:
        """Index of the first record whose CRC is not that of its content.

        As `ValidXLogRecord` in `src/backend/access/transam/xlogreader.c`: the data first, then the
        header up to the CRC.
        """
        view = memoryview(self.data.data).cast("B")
        crc = crc32c.crc32c
        stated = self.word(5).tolist()
        spans = zip(self.starts.tolist(), self.lengths.tolist(), stated, strict=True)
        for index, (start, length, expected) in enumerate(spans):
            body = crc(view[start + RECORD_HEADER : start + length])
            if crc(view[start : start + 20], body) != expected:
                return index
        return None

    def __iter__(self) -> Iterator[bytes]:
        """Copies of the records, one by one."""
        return (self.bytes_of(index) for index in range(len(self)))


def crc_matches(record: bytes) -> bool:
    """Whether one whole record has the CRC that its content demands."""
    body = crc32c.crc32c(record[RECORD_HEADER:])
    stated: int = _CRC.unpack_from(record, 20)[0]
    return int(crc32c.crc32c(record[:20], body)) == stated


def is_resource_manager(rmid: int, major: int) -> bool:
    """Built in, or in the range that extensions may register (15 and later)."""
    return rmid <= LAST_BUILT_IN_RMGR or (rmid >= FIRST_CUSTOM_RMGR and major >= 15)


def chained(window: Bytes, first: int, span: int) -> tuple[Offsets, Offsets]:
    """Records that follow each other from the first byte on: word indexes, and lengths in bytes.

    `first` is the position of the segment's first record, `span` what lies between it and the end
    of the window, which begins at a record and at 8 bytes. The last record may reach beyond it.
    """
    words, halves = window.view("<u8"), window.view("<u4")
    found = np.flatnonzero((words[1:-1] - np.uint64(first)) < np.uint64(span))
    if not len(found) or found[0] != 0:
        # The first record of a segment names one of the segment before.
        found = np.concatenate((np.zeros(1, dtype=np.int64), found))
    lengths = halves[found * 2].astype(np.int64)
    plausible = lengths >= RECORD_HEADER
    if not plausible[0]:
        return found[:1], lengths[:1]
    if not plausible.all():
        found, lengths = found[plausible], lengths[plausible]
    follow = found + ((lengths + 7) >> 3)
    broken = np.flatnonzero(found[1:] != follow[:-1])
    if not len(broken):
        return found, lengths
    kept = _follow(found, follow, broken)
    return found[kept], lengths[kept]


def _follow(found: Offsets, follow: Offsets, broken: Offsets) -> Offsets:
    """Indexes of the candidates that are reached from the first one, from record to record.

    What lies inside a record and only looks like one is stepped over.
    """
    runs: list[Offsets] = []
    at = 0
    while True:
        turn = int(np.searchsorted(broken, at))
        last = int(broken[turn]) if turn < len(broken) else len(found) - 1
        runs.append(np.arange(at, last + 1))
        if last == len(found) - 1:
            break
        at = int(np.searchsorted(found, follow[last]))
        if at == len(found) or found[at] != follow[last]:
            break
    return np.concatenate(runs)
