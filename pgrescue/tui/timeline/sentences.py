"""The cursor's place in words: where it is, what lies there, what a recovery to it keeps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from pgrescue.history.model import CursorView
from pgrescue.postgres.lsn import Lsn
from pgrescue.printable import printable
from pgrescue.tui.incident_text import relations_text, verb_text
from pgrescue.tui.timeline.chart import Chart, marks_between
from pgrescue.tui.timeline.drawing import Cursor
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.viewport import Viewport
from pgrescue.tui.words import exact_moment
from pgrescue.wal.segment import SegmentId

READING = "Reading what a recovery to here keeps and loses ..."


def place_text(chart: Chart, cursor: Cursor, view: CursorView | None, width: int) -> str:
    """Position, timeline, time, segment: as much as fits."""
    parts = [str(Lsn(cursor.lsn)), f"timeline {cursor.timeline}"]
    if view is not None and view.last_kept is not None:
        parts.append(exact_moment(view.last_kept.time))
    number = cursor.lsn // chart.segment_size
    parts.append(SegmentId(number, cursor.timeline).name(chart.segment_size))
    while len(parts) > 2 and len("  ".join(parts)) > width:
        parts.pop()
    return "  ".join(parts)


def outcome_text(view: CursorView, *, at_the_end: bool) -> str:
    """What a recovery to just before the cursor would keep and lose, or why there is none."""
    if at_the_end and view.why_not is not None:
        return f"{_kept(view)}: the end of the WAL, as a target 'latest'."
    if view.why_not is not None:
        return f"Cannot be reached: {printable(view.why_not)}"
    backup = f"from backup {printable(view.backup)}" if view.backup else "from no backup"
    return f"{_kept(view)}; {_lost(view)}; {backup}."


def _kept(view: CursorView) -> str:
    if view.last_kept is None:
        return "Keeps no commit that is known before it"
    return (
        f"Keeps everything up to the commit of {_commit(view.last_kept.xid, view.last_kept.time)}"
    )


def _lost(view: CursorView) -> str:
    if view.lost == 0 and view.lost_is_exact:
        return "loses nothing: no commit follows on this timeline"
    if view.lost is None:
        count = "how much it loses is not counted"
    else:
        some = "" if view.lost_is_exact else "at least "
        plural = "" if view.lost == 1 else "s"
        count = f"loses {some}{view.lost:,} transaction{plural}"
    if view.first_lost is None:
        return count
    return f"{count}, the first one {_commit(view.first_lost.xid, view.first_lost.time)}"


def _commit(xid: int, time: datetime) -> str:
    return f"{xid} at {exact_moment(time)}"


def here_text(chart: Chart, known: Known, view: Viewport, cursor: Cursor) -> str:
    """What lies in the cursor's column, in words; empty if there is nothing."""
    column = view.column(cursor.lsn)
    low, high = view.start(column), view.start(column + 1)
    found = list(_things(chart, known, cursor.timeline, low, high))
    return f"Here: {'; '.join(found)}" if found else ""


def _things(chart: Chart, known: Known, timeline: int, low: int, high: int) -> Iterator[str]:
    lane, size = chart.lane(timeline), chart.segment_size
    marks = marks_between(lane.marks, low, high)
    for mark in (mark for mark in marks if mark.kind == "incident"):
        incident = (chart.incidents or ())[mark.index]
        yield f"{verb_text(incident)} {relations_text(incident)}, transaction {incident.xid}"
    if lane.missing.touches(low, high):
        yield "segments are missing"
    learned = known.lane(timeline)
    if learned.is_damaged(low // size, (high - 1) // size):
        yield next(
            f"damage, {printable(learned.glances[number].problem or '')}"
            for number in learned.damaged
            if low // size <= number <= (high - 1) // size
        )
    for position, child in lane.forks:
        if low <= position < high:
            yield f"timeline {child} forks at {Lsn(position)}"
    yield from (
        f"restore point '{printable(point.name)}'" for point in learned.points_between(low, high)
    )
    for mark in (mark for mark in marks if mark.kind != "incident"):
        word = "backup" if mark.kind == "backup" else "unusable backup"
        yield f"{word} {printable(chart.picture.backups[mark.index].id)}"
