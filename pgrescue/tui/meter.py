"""The running step's progress: bar, rate, and how long ago anything changed."""

from __future__ import annotations

from datetime import datetime

from pgrescue.run.state import Meter, RunState
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.words import about, clock, moment, size


def bar(meter: Meter, width: int, glyphs: Glyphs) -> str:
    """Done against total as a bar, with the figures; without a total only what is done."""
    return share_bar(meter.done_bytes, meter.total_bytes, width, glyphs)


def share_bar(done: int, total: int | None, width: int, glyphs: Glyphs) -> str:
    """Bytes done against bytes in all, in so many cells."""
    if not total:
        return f"{size(done)} done" if done else ""
    share = min(done / total, 1.0)
    figures = f" {share:4.0%}  {size(done)} / {size(total)}"
    cells = max(width - len(figures), 5)
    full = round(share * cells)
    return glyphs.full * full + glyphs.empty * (cells - full) + figures


def rate_line(state: RunState, now: datetime) -> str:
    """Rate and a guess at the rest; a step that is stuck looks different from a slow one."""
    meter = state.progress
    parts = []
    if meter is not None and meter.rate:
        parts.append(f"{size(round(meter.rate))}/s")
    if meter is not None and meter.eta_seconds is not None:
        parts.append(f"about {about(meter.eta_seconds)} left in this step")
    if (changed := changed_at(state)) is not None:
        parts.append(f"last change {clock(max((now - changed).total_seconds(), 0))} ago")
    return "   ".join(parts)


def changed_at(state: RunState) -> datetime | None:
    """When the runner was last heard of."""
    return (state.progress.at if state.progress is not None else None) or state.updated_at


def detail_lines(meter: Meter | None) -> str:
    """Position, commit time and segment of a recovery; a copy shows which file it is at."""
    if meter is None:
        return ""
    parts = []
    if meter.lsn is not None:
        parts.append(f"replayed {meter.lsn}")
    if meter.time is not None:
        parts.append(f"to {moment(meter.time)}")
    return "\n".join(part for part in ("   ".join(parts), meter.detail) if part)
