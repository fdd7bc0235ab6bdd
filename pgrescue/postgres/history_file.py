"""Timeline history files (`00000002.history`): who forked from whom, and where.

Format: `readTimeLineHistory` in `src/backend/access/transam/timeline.c`: a line per ancestor,
`parent TLI <tab> switch LSN <tab> reason`; `#` starts a comment, blank lines are common.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pgrescue.errors import InvalidFormat
from pgrescue.postgres.lsn import Lsn

_ENTRY = re.compile(r"\s*(\d+)\s+([0-9A-Fa-f]+/[0-9A-Fa-f]+)\s*(.*)")


@dataclass(frozen=True, slots=True)
class Ancestor:
    """A timeline that this one descends from, and where it was left."""

    timeline: int
    switch_lsn: Lsn
    reason: str


@dataclass(frozen=True, slots=True)
class TimelineHistory:
    """The ancestors of one timeline, oldest first."""

    timeline: int
    ancestors: tuple[Ancestor, ...]

    def timeline_at(self, lsn: Lsn) -> int:
        """The timeline on this line of descent to which a position belongs."""
        for ancestor in self.ancestors:
            if lsn < ancestor.switch_lsn:
                return ancestor.timeline
        return self.timeline

    def left_at(self, timeline: int) -> Lsn | None:
        """Where this history leaves `timeline`; None if it never leaves or never knew it."""
        for ancestor in self.ancestors:
            if ancestor.timeline == timeline:
                return ancestor.switch_lsn
        return None


def parse_history_file(timeline: int, text: str) -> TimelineHistory:
    """Read the history of `timeline`; raises `InvalidFormat` as the server would refuse it."""
    ancestors: list[Ancestor] = []
    for line in text.splitlines():
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _ENTRY.fullmatch(line)
        if match is None:
            raise InvalidFormat(
                f"The history file of timeline {timeline} is damaged.", f"Line {line!r}."
            )
        ancestors.append(Ancestor(int(match[1]), Lsn.parse(match[2]), match[3].strip()))
    ids = [ancestor.timeline for ancestor in ancestors]
    if ids != sorted(set(ids)) or (ids and ids[-1] >= timeline):
        raise InvalidFormat(
            f"The history file of timeline {timeline} is damaged.",
            "Timeline ids must rise and stay below its own.",
        )
    return TimelineHistory(timeline, tuple(ancestors))
