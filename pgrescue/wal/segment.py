"""WAL file names and their arithmetic (`src/include/access/xlog_internal.h`).

Archives add names of their own: compression endings, pg_receivewal's `.partial` and `.gz.partial`
(`src/bin/pg_basebackup/walmethods.c`), pgBackRest's `NAME-SHA1.gz`; Barman and pgBackRest make a
directory of the first 16 digits, pgBackRest inside one per cluster, such as `15-1`.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from pgrescue.compression import ENDINGS, split_ending
from pgrescue.postgres.lsn import Lsn

DEFAULT_SEGMENT_SIZE = 16 * 1024 * 1024
MIN_SEGMENT_SIZE = 1024 * 1024
MAX_SEGMENT_SIZE = 1024 * 1024 * 1024
NAME = re.compile(r"[0-9A-F]{24}")
HISTORY_NAME = re.compile(r"([0-9A-F]{8})\.history")
BACKUP_HISTORY_NAME = re.compile(r"([0-9A-F]{24})\.([0-9A-F]{8})\.backup")

FileKind = Literal["segment", "partial", "history", "backup", "temporary", "foreign"]
_PARTIAL = ".partial"
_HEX, _DIGEST_HEX = "0123456789ABCDEF", "0123456789abcdef"
DIGEST_LENGTH = 40
"""Hexadecimal digits of the checksum in pgBackRest's names."""
_NO_TIMELINE = "00000000"
_AFTER_NAME: dict[str, FileKind] = {
    "": "segment",
    _PARTIAL: "partial",
    **dict.fromkeys(ENDINGS, "segment"),
    **{ending + _PARTIAL: "partial" for ending in ENDINGS},
    **{_PARTIAL + ending: "partial" for ending in ENDINGS},
}
_LOG_DIRECTORY = re.compile(r"[0-9A-F]{16}/")
_CLUSTER_DIRECTORY = re.compile(r"[0-9.]+-([0-9]{1,9})/")
_TEMPORARY_STARTS = (".", "RECOVERYXLOG", "RECOVERYHISTORY", "xlogtemp.")
_TEMPORARY_ENDINGS = (".tmp", ".temp", ".pgrescue-new")


def file_kind(name: str) -> tuple[FileKind, str]:
    """What a file of an archive is by its name, and its plain name as the server knows it.

    Called for every file of archives with very many: the common names cost a slice and a look-up.
    """
    head, rest = name[:24], name[24:]
    if len(head) == 24 and not head.strip(_HEX) and head[:8] != _NO_TIMELINE:
        kind = _AFTER_NAME.get(rest) or _kind_before_digest(rest)
        if kind is not None:
            return kind, head
    plain, _ = split_ending(name)
    if plain[:8] != _NO_TIMELINE:
        if HISTORY_NAME.fullmatch(plain):
            return "history", plain
        if BACKUP_HISTORY_NAME.fullmatch(plain):
            return "backup", plain
    if name.startswith(_TEMPORARY_STARTS) or name.endswith(_TEMPORARY_ENDINGS):
        return "temporary", name
    return "foreign", name


def digest_in(name: str) -> str | None:
    """The checksum of the content that pgBackRest puts into a file's name."""
    _, dash, after = name.partition("-")
    digest, ending = after[:DIGEST_LENGTH], after[DIGEST_LENGTH:]
    is_digest = len(digest) == DIGEST_LENGTH and not digest.strip(_DIGEST_HEX)
    return digest if dash and is_digest and (not ending or ending in ENDINGS) else None


def is_log_directory(name: str) -> bool:
    """Whether a directory (with a slash at its end) is named by its segments' first 16 digits."""
    return _LOG_DIRECTORY.fullmatch(name) is not None


def cluster_directories(directories: Sequence[str]) -> list[str]:
    """Those directories that pgBackRest made for a cluster and those it kept before, by age."""
    numbers = {name: int(m[1]) for name in directories if (m := _CLUSTER_DIRECTORY.fullmatch(name))}
    return sorted(numbers, key=lambda name: (numbers[name], name))


def _kind_before_digest(rest: str) -> FileKind | None:
    if "-" not in rest or digest_in(rest) is None:
        return None
    before = rest[: rest.index("-")]
    return _AFTER_NAME.get(before) if before in ("", _PARTIAL) else None


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


class SegmentNumbers:
    """The segment numbers of each timeline, ascending; made of names in their order."""

    def __init__(self, names: Mapping[int, Sequence[str]], segment_size: int) -> None:
        per_log = 0x1_0000_0000 // segment_size
        self.impossible: list[str] = []
        """Names that no segment of this size has."""
        self.all: dict[int, list[int]] = {}
        for timeline, group in names.items():
            numbers = self.all[timeline] = []
            for name in group:
                in_log = int(name[16:], 16)
                if in_log < per_log:
                    numbers.append(int(name[8:16], 16) * per_log + in_log)
                else:
                    self.impossible.append(name)

    def of(self, timeline: int) -> list[int]:
        """All of one timeline."""
        return self.all.get(timeline, [])

    def has_between(self, timeline: int, first: int, last: int) -> bool:
        """Whether any segment from `first` to `last` is there."""
        numbers = self.of(timeline)
        at = bisect_left(numbers, first)
        return at < len(numbers) and numbers[at] <= last
