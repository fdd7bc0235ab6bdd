"""`pgrescue timeline`: what is in the WAL archive, and what can be recovered with it."""

from __future__ import annotations

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import (
    narrate,
    print_json,
    print_lines,
    print_table,
    size_text,
    time_text,
)
from pgrescue.cli.session import open_desk
from pgrescue.cli.wal_range import add_range_options, progress_teller, timeline_of, where
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.history.model import RecoverableWindow, TimelineLane, TimelinePicture
    from pgrescue.postgres.lsn import Lsn

_EXAMPLES = """\
examples:
  pgrescue timeline                       timelines, gaps, and the window of every backup
  pgrescue timeline --headers             misnamed, foreign, truncated segments
  pgrescue timeline --check               read every record of the windows, too
  pgrescue timeline --timeline 2 --json
  pgrescue timeline --from '2026-11-22 14:00Z' --to '2026-11-22 15:00Z'

Without --check, names and a few segments tell how far the WAL goes; damage inside a segment is
found only by reading it. The very last commit of a window is no time target, since nothing later is
there to stop at: --to latest brings it back.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `timeline` to the command line."""
    parser = commands.add_parser(
        "timeline",
        help="the WAL archive: timelines, gaps, recoverable windows",
        description="Show what the WAL archive holds and what can be recovered with it. Needs no "
        "server and changes nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_range_options(parser)
    parser.add_argument(
        "--check", action="store_true", help="read the windows whole and compare every CRC"
    )
    parser.add_argument(
        "--headers", action="store_true", help="look at the header of every segment"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the map."""
    desk = open_desk(arguments)
    chosen = timeline_of(arguments)
    with desk.past() as past:
        if chosen is not None:
            past.lines.of(chosen)  # refuses one that is not there
        tell = progress_teller("checking") if arguments.check else None
        picture = past.picture(checked=arguments.check, progress=tell)
        zone = desk.config.time_zone
        begin, end = where(arguments.begin, zone), where(arguments.end, zone)
        lines = {window.timeline for window in picture.windows}
        spans = {line: (past.position(line, begin), past.position(line, end)) for line in lines}
        if arguments.headers or arguments.check:
            wrong = past.wrong_headers(progress_teller("looking at headers"))
            told = {(problem.code, problem.name) for problem in picture.problems}
            more = [problem for problem in wrong if (problem.code, problem.name) not in told]
            picture = replace(picture, problems=(*picture.problems, *more))
    shown = _Shown(picture, chosen, spans)
    if arguments.json:
        print_json(shown.public())
    else:
        shown.print()
    return 0


class _Shown:
    """The part of the picture that was asked for."""

    def __init__(
        self,
        picture: TimelinePicture,
        timeline: int | None,
        spans: dict[int, tuple[Lsn | None, Lsn | None]],
    ) -> None:
        """`spans` are the positions between which something is wanted, by timeline."""
        self._picture, self._spans = picture, spans
        self._lanes = [lane for lane in picture.lanes if timeline in (None, lane.info.id)]
        self._windows = [
            window
            for window in picture.windows
            if timeline in (None, window.timeline) and self._overlaps(window)
        ]
        self._gaps = [gap for gap in picture.gaps if timeline in (None, gap.timeline)]

    def _overlaps(self, window: RecoverableWindow) -> bool:
        begin, end = self._spans[window.timeline]
        after = begin is None or window.to_lsn is None or window.to_lsn > begin
        before = end is None or window.from_lsn is None or window.from_lsn < end
        return after and before

    def public(self) -> dict[str, Any]:
        """With the keys that scripts may rely on."""
        from pgrescue.codec import to_plain

        picture = self._picture
        return {
            "path": picture.path,
            "segment_size": picture.segment_size,
            "segments": picture.segments,
            "bytes": picture.bytes,
            "current_timeline": picture.current_timeline,
            "timelines": [_public_lane(lane) for lane in self._lanes],
            "gaps": to_plain(self._gaps),
            "problems": to_plain(picture.problems),
            "windows": to_plain(self._windows),
            "beyond_archive": to_plain(picture.beyond),
        }

    def print(self) -> None:
        """For people."""
        picture = self._picture
        narrate(
            f"{picture.path}: {picture.segments:,} segments of {size_text(picture.segment_size)}, "
            f"{size_text(picture.bytes)} on disk"
        )
        print_table(
            ("TIMELINE", "FROM", "FORKED AT", "SEGMENTS", "FIRST", "LAST", "LAST COMMIT"),
            [self._lane_row(lane) for lane in self._lanes],
        )
        self._print_gaps()
        if self._windows:
            print_lines("")
            print_table(
                ("BACKUP", "TIMELINE", "RECOVERABLE FROM", "TO", "LAST COMMIT", "ENDS"),
                [_window_row(window) for window in self._windows],
            )
        if picture.beyond is not None:
            names, last = picture.beyond.segments, picture.beyond.last_commit
            print_lines(
                f"\nOnly in the cluster's own pg_wal: {len(names)} segments, {names[0]} to "
                f"{names[-1]}, up to {picture.beyond.to_lsn}"
                f"{f', last commit {time_text(last.time)}' if last else ''}."
            )
        for problem in picture.problems:
            print_lines(f"\n{problem.code}: {printable(problem.message)}")

    def _print_gaps(self) -> None:
        if not self._gaps:
            return
        print_lines("")
        rows = [(str(gap.timeline), gap.first, gap.last, str(gap.count)) for gap in self._gaps]
        print_table(("GAP IN TIMELINE", "FIRST MISSING", "LAST MISSING", "COUNT"), rows)

    def _lane_row(self, lane: TimelineLane) -> tuple[str, ...]:
        info = lane.info
        own = " *" if info.id == self._picture.current_timeline else ""
        last = lane.last_commit.time if lane.last_commit else None
        return (
            f"{info.id}{own}",
            str(info.parent or "-"),
            str(info.forked_at or "-"),
            f"{info.segments:,}",
            info.first_segment or "-",
            info.last_segment or "-",
            time_text(last),
        )


def _public_lane(lane: TimelineLane) -> dict[str, Any]:
    from pgrescue.codec import to_plain

    info = lane.info
    return {
        "id": info.id,
        "parent": info.parent,
        "forked_at": to_plain(info.forked_at),
        "first_segment": info.first_segment,
        "last_segment": info.last_segment,
        "segments": info.segments,
        "bytes": info.bytes,
        "first_commit": to_plain(lane.first_commit),
        "last_commit": to_plain(lane.last_commit),
    }


def _window_row(window: RecoverableWindow) -> tuple[str, ...]:
    ends = {
        "end_of_archive": "end of the archive",
        "gap": f"GAP: {window.reason}",
        "fork_missing": f"DANGER: {window.reason}",
        "damage": f"DAMAGE: {window.reason}",
    }[window.ends]
    return (
        window.backup,
        str(window.timeline),
        f"{window.from_lsn or '-'} {time_text(window.from_time)}",
        str(window.to_lsn or "-"),
        time_text(window.to_time),
        ends if window.checked or window.ends != "end_of_archive" else f"{ends} (by names)",
    )
