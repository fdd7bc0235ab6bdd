"""The row above the map, and the page that explains it."""

from __future__ import annotations

from collections.abc import Iterator

from pgrescue.history.model import CursorView, TimelinePicture
from pgrescue.postgres.lsn import Lsn
from pgrescue.printable import printable
from pgrescue.tui.incident_text import command_text
from pgrescue.tui.timeline.chart import Chart
from pgrescue.tui.timeline.drawing import Drawing
from pgrescue.tui.timeline.known import Known
from pgrescue.tui.timeline.state import MapState
from pgrescue.tui.words import exact_moment, shorten_path, size

_SHOWN = 50
_ABOUT = """\
The map shows each timeline's WAL from left to right, a child below the timeline it left. Where the
line is drawn with density or as not read yet, some backup can be recovered to it. Densities are
those of the segments that have been read; restore points and damage are known only in those.

enter takes the cursor's position as the target: recovery stops just before it. Nothing is done
before you have confirmed a plan."""


def heading_text(
    chart: Chart, known: Known, drawing: Drawing, trouble: str, width: int, cut: str
) -> str:
    """What the map is of, which lanes are in view, how much has been read."""
    picture = chart.picture
    lanes = len(chart.lanes)
    first, last = drawing.first_lane + 1, drawing.last_lane + 1
    shown = f"{lanes} timeline{'' if lanes == 1 else 's'}"
    if last - first + 1 < lanes:
        shown = f"{first}-{last} of {shown}" if first < last else f"row {first} of {shown}"
    parts = [shown]
    if known.read >= picture.segments:
        parts.append(f"all {picture.segments:,} segments read")
    else:
        parts.append(f"{known.read:,} of {picture.segments:,} segments read")
    if trouble:
        parts.append(f"STOPPED: {printable(trouble)}")
    title = " WAL timeline"
    room = width - len(title) - sum(len(part) + 2 for part in parts) - 3
    path = [shorten_path(printable(picture.path), room, cut)] if room > 8 else []
    return "  ".join((title, *path, *parts))


def page_text(
    state: MapState, outcome: CursorView | None, cluster: str, words: str, signs: str
) -> str:
    """Everything about the cursor's place and about the archive."""
    lane = state.lane
    lines = [words, ""]
    if lane.parent is not None:
        lines += [f"Timeline {lane.timeline} left timeline {lane.parent} at {Lsn(lane.begin)}.", ""]
    if outcome is not None and outcome.arguments:
        lines += [
            "The same from the command line:",
            f"  {command_text(cluster, outcome.arguments)}",
            "",
        ]
    lines += [*_archive(state.chart.picture), "", _ABOUT, "", "The signs:", signs]
    return "\n".join(lines)


def _archive(picture: TimelinePicture) -> Iterator[str]:
    amount = f"{picture.segments:,} segments, {size(picture.bytes)}"
    yield f"Archive {printable(picture.path)}: {amount}."
    for gap in picture.gaps[:_SHOWN]:
        names = gap.first if gap.count == 1 else f"{gap.first} to {gap.last}"
        yield f"  missing: {names} ({gap.count:,} of timeline {gap.timeline})"
    yield from _more(len(picture.gaps))
    for problem in picture.problems[:_SHOWN]:
        yield f"  problem: {printable(problem.message)}"
    yield from _more(len(picture.problems))
    for window in picture.windows[:_SHOWN]:
        begin = window.from_lsn or "its end"
        end = window.to_lsn or "?"
        until = f" ({exact_moment(window.to_time)})" if window.to_time else ""
        yield (
            f"  backup {printable(window.backup)} reaches, along timeline {window.timeline}, "
            f"{begin} to {end}{until}: {printable(window.reason)}"
        )
    yield from _more(len(picture.windows))
    if picture.beyond is not None:
        names = ", ".join(picture.beyond.segments[:_SHOWN])
        yield f"  only in the cluster's own pg_wal: {names}, up to {picture.beyond.to_lsn}"


def _more(count: int) -> Iterator[str]:
    if count > _SHOWN:
        yield f"  ... and {count - _SHOWN:,} more"
