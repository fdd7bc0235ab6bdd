"""Traps of what the target is given by: a time, a name."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pgrescue.findings import Finding
from pgrescue.history.replayed import Replayed
from pgrescue.plan.target import Target, format_for_server
from pgrescue.wal.events import RestorePoint
from pgrescue.wal.transactions import microseconds_of, moment_of

NOTICEABLE_STEP = 1_000_000
"""Microseconds: commits that overtake each other by less are no step of the clock."""


def clock(replayed: Replayed, target: Target) -> Iterator[Finding]:
    """A clock that was set back lets earlier commits come later."""
    if target.time is None:
        return
    wanted = microseconds_of(target.time)
    late = [
        piece.found.commits
        for piece in replayed.stretch.pieces
        if piece.end > replayed.boundary and piece.found.commits.count
    ]
    earliest = min((ends.min_time for ends in late), default=wanted)
    if late and wanted - earliest > NOTICEABLE_STEP and _really_after(replayed, wanted):
        yield Finding(
            "trap.clock",
            "warning",
            "The server's clock was set back: transactions that it says were committed before "
            f"{format_for_server(target.time)} come after the first later one, where recovery "
            f"stops; the earliest of them at {format_for_server(moment_of(earliest))}.",
            "choose the last transaction to keep by its id: --to-xid XID",
        )


def _really_after(replayed: Replayed, wanted: int) -> bool:
    """Whether a commit behind the stop, not only in the same segment, is noticeably earlier."""
    for index, piece in enumerate(replayed.stretch.pieces):
        ends = piece.found.commits
        if piece.end <= replayed.boundary or not ends.count:
            continue
        if wanted - ends.min_time <= NOTICEABLE_STEP:
            continue
        rows = replayed.stretch.ends_of(index)
        behind = rows.commits & (rows.positions >= np.uint64(replayed.boundary))
        if bool((rows.times[behind] < wanted - NOTICEABLE_STEP).any()):
            return True
    return False


def duplicate_names(replayed: Replayed, target: Target) -> Iterator[Finding]:
    if target.kind != "name":
        return
    points = [
        event
        for event in replayed.stretch.events()
        if isinstance(event, RestorePoint) and event.name == target.name
    ]
    if len(points) > 1:
        others = ", ".join(
            f"{point.position} ({format_for_server(moment_of(point.time))})" for point in points
        )
        yield Finding(
            "trap.duplicate_name",
            "warning",
            f"{len(points)} restore points are named '{target.name}': {others}. Recovery stops at "
            "the first.",
            "for a later one: --to-lsn with its position",
        )
