"""Sentences about what a removal takes away."""

from __future__ import annotations

from datetime import datetime

from pgrescue.retention.model import LostSpan, RemovableBackup


def number_of(count: int, noun: str) -> str:
    """Such as `1 day` and `7 days`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"


def lost_text(item: RemovableBackup) -> str:
    """What goes with a backup, in one line."""
    if item.lost:
        return "; ".join(span_text(span) for span in item.lost)
    if item.covered_by is not None:
        return f"nothing: covered by {item.covered_by}"
    return "nothing"


def span_text(span: LostSpan) -> str:
    """From where to where, and along which timeline."""
    begin = _point(span.from_time, span.from_lsn)
    if span.from_lsn == span.to_lsn:
        return f"timeline {span.timeline}, its own end at {begin}"
    return f"timeline {span.timeline}, {begin} to {_point(span.to_time, span.to_lsn)}"


def _point(moment: datetime | None, lsn: object) -> str:
    return f"{lsn}" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z ({lsn})"
