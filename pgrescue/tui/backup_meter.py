"""How far a backup is: phase, rate, what is on disk, and whether anybody is still at it."""

from __future__ import annotations

from datetime import datetime

from pgrescue.backup.model import BackupPlan
from pgrescue.run.state import Meter, RunState
from pgrescue.tui import meter as meters
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.words import about, clock, size


def bar(state: RunState, plan: BackupPlan, width: int, glyphs: Glyphs) -> str:
    """Files that were sent against all files; before the first one, what is waited for."""
    meter = state.progress
    if meter is None:
        return ""
    if state.step != "take" or meter.done_bytes:
        return meters.bar(meter, width, glyphs)
    if plan.work.checkpoint == "spread":
        bound = f"{plan.work.checkpoint_bound:.0f} s"
        return f"Nothing is sent yet: the server's checkpoint comes first, within about {bound}."
    return "Nothing is sent yet: the server's checkpoint comes first."


def rate_line(state: RunState, now: datetime) -> str:
    """Rate, also one of nothing, how long ago the runner was heard of, a guess at the rest."""
    meter = state.progress
    parts = []
    if meter is not None and meter.rate is not None and _is_moving(meter):
        parts.append(f"{size(round(meter.rate))}/s")
    if (heard := meters.changed_at(state)) is not None:
        parts.append(f"last heard of {clock(max((now - heard).total_seconds(), 0))} ago")
    if meter is not None and meter.eta_seconds is not None and meter.done_bytes:
        parts.append(f"about {about(meter.eta_seconds)} left in this step")
    return "   ".join(parts)


def detail_lines(state: RunState, plan: BackupPlan) -> str:
    """The phase or file, and what is on disk so far."""
    meter = state.progress
    if meter is None:
        return ""
    disk, wal, parts = meter.disk_bytes, meter.wal_bytes, []
    # Of a plain backup only its WAL is measured while it is taken.
    if disk and plan.work.format == "tar":
        parts.append(f"on disk {size(disk)}")
    if wal and plan.work.wal_method == "stream":
        parts.append(f"WAL streamed {size(wal)}")
    return "\n".join(line for line in (meter.detail, "   ".join(parts)) if line)


def _is_moving(meter: Meter) -> bool:
    """Whether bytes are to be expected: at the end, WAL and disk are waited for."""
    return 0 < meter.done_bytes < (meter.total_bytes or 0)
