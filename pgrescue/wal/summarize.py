"""One segment file to its summary."""

from __future__ import annotations

import msgspec

from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.wal.pages import WalSource
from pgrescue.wal.sift import Sift
from pgrescue.wal.summary import KEPT_BYTES, Findings, SegmentSummary
from pgrescue.wal.walk import SegmentWalk

_PORTION = 1 << 20


def summarize(
    source: WalSource, start: int, timeline: int, *, check_crc: bool = False
) -> SegmentSummary:
    """Walk a segment whose name says that it begins at `start` on `timeline`; never raises."""
    walk = SegmentWalk(source, start, timeline, check_crc=check_crc)
    sift: Sift | None = None
    for batch in walk.batches():
        if sift is None:
            header = walk.header
            assert header is not None
            sift = Sift(header.major, header.segment_size)
        sift.take(batch)
    summary = _summary(walk, sift.findings() if sift else Findings(), timeline, check_crc)
    size = summary.segment_size
    if summary.end_kind == "short":
        return _unusable(summary, summary.reason)
    if summary.is_whole and size is not None:
        actual = _size(source) if check_crc else source.size()
        if actual not in (None, size):
            return _unusable(summary, f"the file has {actual} bytes instead of {size}")
    return summary


def _size(source: WalSource) -> int | None:
    """How many bytes there really are: a switched segment has been read only up to its switch."""
    known = source.size()
    if known is not None:
        return known
    count = 0
    try:
        with source.open() as stream:
            while part := stream.read(_PORTION):
                count += len(part)
    except DECOMPRESSION_ERRORS:
        return count
    return count


def _unusable(summary: SegmentSummary, reason: str) -> SegmentSummary:
    """The server refuses a file of another size as a whole, whatever good records it has."""
    unusable: SegmentSummary = msgspec.structs.replace(
        summary,
        end_kind="short",
        end=summary.first,
        reason=reason,
        records=0,
        last=None,
        unfinished=0,
        tail=b"",
        found=Findings(),
    )
    return unusable


def _summary(walk: SegmentWalk, found: Findings, timeline: int, checked: bool) -> SegmentSummary:
    header, end, unfinished = walk.header, walk.end, walk.unfinished
    return SegmentSummary(
        start=walk.start,
        timeline=timeline,
        major=header.major if header else None,
        system_identifier=header.system_identifier if header else None,
        segment_size=header.segment_size if header else None,
        end_kind=end.kind,
        end=end.position,
        reason=end.reason,
        checked=checked,
        records=walk.records,
        first=walk.first_position,
        first_prev=walk.first_prev,
        last=walk.last_position,
        continued=walk.continued,
        overwrites=walk.overwrites,
        unfinished=unfinished.missing if unfinished else 0,
        passes_through=walk.passes_through,
        tail=_if_few(unfinished.content if unfinished else b""),
        head=_if_few(walk.head),
        found=found,
    )


def _if_few(content: bytes) -> bytes:
    return content if len(content) <= KEPT_BYTES else b""
