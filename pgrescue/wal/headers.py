"""What the headers and sizes of archived segments tell: whose WAL it is, and whether it is whole.

A segment's first page has a long header (`XLogLongPageHeaderData`). Whether a compressed file ends
early is told by its last bytes where its format allows that; else it is decompressed.
"""

from __future__ import annotations

import os
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import zstandard

from pgrescue.compression import DECOMPRESSION_ERRORS, HEADS, LZ4_HEAD, open_decompressed
from pgrescue.wal.archive import ArchivedFile, ArchiveProblem, WalArchive
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.segment import SegmentId

Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""

_SAMPLES, _CANDIDATES = 8, 64
_READ_SIZE = 1 << 20
_WAL_MAGICS = range(0xD000, 0xD200)
_COMPRESSED_STARTS = HEADS | {b"BZh": "bzip2"}


@dataclass(frozen=True, slots=True)
class ArchiveIdentity:
    """Whose WAL an archive holds, as most of the headers that were looked at have it."""

    segment_size: int
    system_identifier: str
    major: int


def identify_archive(archive: WalArchive) -> ArchiveIdentity | None:
    """Ask a few segments from all over the archive; None if none of them can be read.

    The majority decides, the newest in a tie.
    """
    votes: Counter[ArchiveIdentity] = Counter()
    for name in _spread(list(archive.segments)):
        header = archive.header(name)
        if header is not None:
            identity = ArchiveIdentity(header.segment_size, header.system_identifier, header.major)
            votes[identity] += 1
        if votes.total() == _SAMPLES:
            break
    return votes.most_common(1)[0][0] if votes else None


def _spread(names: Sequence[str]) -> Iterator[str]:
    """Names evenly spread, the newest first: a few far apart, then more in between."""
    chosen: dict[str, None] = {}
    count = _SAMPLES
    while count <= _CANDIDATES:
        step = max(1, len(names) // count)
        chosen.update(dict.fromkeys(names[::-1][::step][:count]))
        count *= 2
    yield from chosen


def check_headers(
    archive: WalArchive,
    names: Sequence[str],
    segment_size: int,
    system_identifier: str | None = None,
    major: int | None = None,
    progress: Progress | None = None,
) -> tuple[ArchiveProblem, ...]:
    """Check those of the named segments that the archive has."""
    problems = []
    for done, name in enumerate(names, 1):
        file = archive.segments.get(name)
        found = file and check_segment(file, segment_size, system_identifier, major)
        if found:
            problems.append(found)
        if progress is not None:
            progress(done, len(names))
    return tuple(problems)


def check_segment(
    file: ArchivedFile,
    segment_size: int,
    system_identifier: str | None = None,
    major: int | None = None,
) -> ArchiveProblem | None:
    """What is wrong with a segment by its header and its size; None if nothing is."""
    name = file.name
    try:
        size = os.stat(file.location).st_size
        with open_decompressed(file.path) as stream:
            data = stream.read(LONG_HEADER_SIZE)
        code, message = _judge(name, data, segment_size, system_identifier, major)
        if not code:
            code, message = _judge_size(file, size, segment_size)
    except FileNotFoundError:
        code, message = "vanished", "has been removed since the archive was listed"
    except EOFError:
        code, message = "truncated", "ends before its first page does"
    except DECOMPRESSION_ERRORS as error:
        is_access = isinstance(error, OSError) and error.errno is not None
        code = "unreadable" if is_access else "not_wal"
        message = f"cannot be {'read' if is_access else 'decompressed'}: {error}"
    return ArchiveProblem(code, name, f"{file.path.name} {message}.") if code else None


def _judge(
    name: str, data: bytes, segment_size: int, system_identifier: str | None, major: int | None
) -> tuple[str, str]:
    header = parse_segment_header(data)
    if header is None:
        return _judge_no_header(data)
    if system_identifier not in (None, header.system_identifier):
        message = f"is of the cluster {header.system_identifier}, not of {system_identifier}"
        return "foreign", message
    if major not in (None, header.major):
        return "other_major", f"was written by PostgreSQL {header.major}, not {major}"
    if header.segment_size != segment_size:
        message = f"has segments of {header.segment_size} bytes, not {segment_size}"
        return "other_segment_size", message
    return _judge_place(SegmentId.parse(name, segment_size), header)


def _judge_no_header(data: bytes) -> tuple[str, str]:
    if len(data) < LONG_HEADER_SIZE:
        return "truncated", "ends before its first page does"
    if not any(data):
        return "zeroed", "begins with zeros: it was never written, or its content was lost"
    for start, program in _COMPRESSED_STARTS.items():
        if data.startswith(start):
            return "not_wal", f"is compressed with {program}, but its name does not say so"
    if int.from_bytes(data[:2], "little") in _WAL_MAGICS:
        return "other_major", "is WAL of a PostgreSQL that pgrescue does not know, or is damaged"
    return "not_wal", "does not begin as WAL does"


def _judge_place(named: SegmentId, header: SegmentHeader) -> tuple[str, str]:
    """Whether it is where its name says; the timeline may be an ancestor's, never a later one."""
    start = named.start(header.segment_size)
    holds = f"holds the WAL at {header.start_lsn} of timeline {header.timeline}"
    if header.start_lsn < start:
        return "recycled", f"{holds}, not that at {start}: an old segment kept for later use"
    if header.start_lsn > start:
        return "misnamed", f"{holds}, not that at {start}"
    if header.timeline > named.timeline:
        return "misnamed", f"{holds}, which is newer than timeline {named.timeline}"
    return "", ""


def _judge_size(file: ArchivedFile, size: int, segment_size: int) -> tuple[str, str]:
    ends_well = _ENDS_WELL.get(file.ending)
    if ends_well is None:
        if size == segment_size:
            return "", ""
        return "truncated", f"has {size} bytes; a whole segment has {segment_size}"
    with open(file.location, "rb", buffering=0) as raw:
        whole = ends_well(raw.fileno(), size, segment_size)
    if whole is None:
        whole = _decompresses_to(file, segment_size)
    if whole:
        return "", ""
    return "truncated", f"ends early, or is not of one segment of {segment_size} bytes"


def _decompresses_to(file: ArchivedFile, segment_size: int) -> bool:
    size = 0
    try:
        with open_decompressed(file.path) as stream:
            while chunk := stream.read(_READ_SIZE):
                size += len(chunk)
    except DECOMPRESSION_ERRORS:
        return False
    return size == segment_size


def _gzip_ends_well(fd: int, size: int, segment_size: int) -> bool | None:
    """The last four bytes are the size of what was compressed (RFC 1952, ISIZE)."""
    return os.pread(fd, 4, max(0, size - 4)) == struct.pack("<I", segment_size) or None


def _lz4_ends_well(fd: int, size: int, _segment_size: int) -> bool | None:
    """From block to block, each of which states its length, to the empty one at a frame's end."""
    position = 0
    while position < size:
        start = os.pread(fd, 5, position)
        if len(start) < 5 or start[:4] != LZ4_HEAD:
            return None
        flags = start[4]
        position += 7 + (8 if flags & 0x08 else 0) + (4 if flags & 0x01 else 0)
        length = -1
        while length:
            length = int.from_bytes(os.pread(fd, 4, position), "little") & 0x7FFFFFFF
            position += 4 + length + (4 if length and flags & 0x10 else 0)
        position += 4 if flags & 0x04 else 0
    return position == size


def _xz_ends_well(fd: int, size: int, _segment_size: int) -> bool | None:
    """A stream ends with its footer's magic bytes."""
    return os.pread(fd, 2, max(0, size - 2)) == b"YZ" or None


def _zstd_ends_well(fd: int, size: int, segment_size: int) -> bool | None:
    """From block to block, each of which states its length (RFC 8878), to the one marked last."""
    position, contents = 0, 0
    while position < size:
        start = os.pread(fd, 18, position)
        try:
            frame = zstandard.get_frame_parameters(start)
            position += zstandard.frame_header_size(start)
        except zstandard.ZstdError:
            return None
        contents += frame.content_size
        is_last = False
        while not is_last:
            block = int.from_bytes(os.pread(fd, 3, position), "little")
            is_last, is_repeated_byte = bool(block & 1), block >> 1 & 3 == 1
            position += 3 + (1 if is_repeated_byte else block >> 3)
            if position > size:
                return False
        position += 4 if frame.has_checksum else 0
    is_known = contents in (segment_size, zstandard.CONTENTSIZE_UNKNOWN)
    return position == size if is_known or position > size else None


_ENDS_WELL: dict[str, Callable[[int, int, int], bool | None]] = {
    ".gz": _gzip_ends_well,
    ".lz4": _lz4_ends_well,
    ".xz": _xz_ends_well,
    ".zst": _zstd_ends_well,
}
"""By ending: whether a file's end shows it whole; None if it has to be decompressed to know."""
