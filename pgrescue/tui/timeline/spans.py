"""Stretches of the log, made once and asked about for every column of every repaint."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Spans:
    """Disjoint half-open intervals in ascending order."""

    starts: tuple[int, ...] = ()
    ends: tuple[int, ...] = ()

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Spans:
        """Put intervals in order; those that touch become one."""
        starts: list[int] = []
        ends: list[int] = []
        for start, end in sorted(pair for pair in pairs if pair[0] < pair[1]):
            if ends and start <= ends[-1]:
                ends[-1] = max(ends[-1], end)
            else:
                starts.append(start)
                ends.append(end)
        return cls(tuple(starts), tuple(ends))

    def touches(self, low: int, high: int) -> bool:
        """Whether any of `low` up to but without `high` is in one of them."""
        at = bisect_right(self.ends, low)
        return at < len(self.starts) and self.starts[at] < high

    def within(self, low: int, high: int) -> list[tuple[int, int]]:
        """The parts of them between `low` and `high`."""
        found = []
        at = bisect_right(self.ends, low)
        while at < len(self.starts) and self.starts[at] < high:
            found.append((max(self.starts[at], low), min(self.ends[at], high)))
            at += 1
        return found

    @property
    def first(self) -> int | None:
        """Where the first begins."""
        return self.starts[0] if self.starts else None

    @property
    def last(self) -> int | None:
        """Where the last ends."""
        return self.ends[-1] if self.ends else None
