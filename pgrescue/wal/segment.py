"""WAL segment file names and their arithmetic (`src/include/access/xlog_internal.h`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgrescue.postgres.lsn import Lsn

DEFAULT_SEGMENT_SIZE = 16 * 1024 * 1024
MIN_SEGMENT_SIZE = 1024 * 1024
MAX_SEGMENT_SIZE = 1024 * 1024 * 1024
NAME = re.compile(r"[0-9A-F]{24}")
HISTORY_NAME = re.compile(r"([0-9A-F]{8})\.history")
BACKUP_HISTORY_NAME = re.compile(r"([0-9A-F]{24})\.([0-9A-F]{8})\.backup")


def is_valid_segment_size(size: int) -> bool:
    """Whether a server could have been initialised with this segment size."""
    return MIN_SEGMENT_SIZE <= size <= MAX_SEGMENT_SIZE and size & (size - 1) == 0


@dataclass(frozen=True, slots=True, order=True)
class SegmentId:
    """One WAL segment: its number in the log (start LSN / segment size) and its timeline.

    Ordered by number first: names sort that way only within one timeline.
    """

    number: int
    timeline: int

    @classmethod
    def parse(cls, name: str, segment_size: int) -> SegmentId:
        """Read a 24-digit file name; the caller has matched it against `NAME`."""
        per_log = 0x1_0000_0000 // segment_size
        number = int(name[8:16], 16) * per_log + int(name[16:24], 16)
        return cls(number, int(name[:8], 16))

    @classmethod
    def at(cls, lsn: Lsn, timeline: int, segment_size: int) -> SegmentId:
        """The segment that holds the byte at `lsn`."""
        return cls(lsn // segment_size, timeline)

    @classmethod
    def before(cls, end: Lsn, timeline: int, segment_size: int) -> SegmentId:
        """The segment that holds the last byte before the exclusive end position `end`."""
        return cls((end - 1) // segment_size, timeline)

    def name(self, segment_size: int) -> str:
        """The file name for this segment size."""
        per_log = 0x1_0000_0000 // segment_size
        return f"{self.timeline:08X}{self.number // per_log:08X}{self.number % per_log:08X}"

    def start(self, segment_size: int) -> Lsn:
        """The position of its first byte."""
        return Lsn(self.number * segment_size)

    def end(self, segment_size: int) -> Lsn:
        """The position after its last byte."""
        return Lsn((self.number + 1) * segment_size)
