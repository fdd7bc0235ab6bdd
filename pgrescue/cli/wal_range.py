"""Options and progress that the commands which read the WAL archive share."""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from pgrescue.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgrescue.survey.past import Where

_SILENT_SECONDS = 1.0
_BETWEEN_SECONDS = 0.5
_BETWEEN_LINES_SECONDS = 10.0


def add_range_options(parser: argparse.ArgumentParser) -> None:
    """Add --from, --to and --timeline."""
    group = parser.add_argument_group("which part of the WAL")
    place = "a time (with offset or zone; else your own zone) or an LSN"
    group.add_argument("--from", dest="begin", metavar="WHERE", help=f"begin there: {place}")
    group.add_argument("--to", dest="end", metavar="WHERE", help="end before that, likewise")
    which = "only this timeline and those it descends from (decimal)"
    group.add_argument("--timeline", metavar="N", help=which)


def timeline_of(arguments: argparse.Namespace) -> int | None:
    """The timeline that was asked for; raises `UsageError`."""
    text = arguments.timeline
    if text is None:
        return None
    if text.isdecimal() and 0 < int(text) < 1 << 32:
        return int(text)
    raise UsageError(
        f"'{text}' is no timeline.",
        "A timeline is a decimal number; file names show it in hexadecimal.",
    )


def where(text: str | None, zone: str | None) -> Where | None:
    """An LSN or a time; raises `UsageError`."""
    from pgrescue.plan.moment import parse_moment
    from pgrescue.postgres.lsn import Lsn

    if text is None:
        return None
    if "/" in text and text.replace("/", "").isalnum() and " " not in text:
        return Lsn.parse(text)
    return parse_moment(text, zone)


def progress_teller(what: str) -> Callable[[int, int], None]:
    """Says on standard error how far the reading is, if it takes long enough to wonder."""
    begun = time.monotonic()
    on_terminal = sys.stderr.isatty()
    last = begun

    def tell(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        between = _BETWEEN_SECONDS if on_terminal else _BETWEEN_LINES_SECONDS
        if done == total and on_terminal and last > begun:
            sys.stderr.write("\r" + " " * 78 + "\r")
            sys.stderr.flush()
        elif done < total and now - begun > _SILENT_SECONDS and now - last > between:
            last = now
            left = (now - begun) / max(done, 1) * (total - done)
            text = f"  {what}: {done:,} of {total:,} WAL segments, about {left:.0f} s left"
            sys.stderr.write(f"\r{text[:78]:<78}" if on_terminal else f"{text}\n")
            sys.stderr.flush()

    return tell
