"""The part of the log that is on the screen: which column is which position."""

from __future__ import annotations

from dataclasses import dataclass, replace

FINEST = 8
"""Bytes a column, at least: records begin at multiples of eight."""


@dataclass(frozen=True, slots=True)
class Viewport:
    """Columns of equal width, beginning at a position."""

    first: int
    step: int
    """Bytes a column."""
    columns: int

    @classmethod
    def whole(cls, low: int, high: int, columns: int) -> Viewport:
        """Everything from `low` to `high`, `high` itself too."""
        columns = max(columns, 1)
        return cls(low, _rounded((high - low) // columns + 1), columns)

    @property
    def last(self) -> int:
        """The position after the last column."""
        return self.first + self.step * self.columns

    def start(self, column: int) -> int:
        """Where a column begins."""
        return self.first + self.step * column

    def column(self, lsn: int) -> int:
        """The column of a position; below zero or too high if it is not in view."""
        return (lsn - self.first) // self.step

    def shows(self, lsn: int) -> bool:
        """Whether a position is in view."""
        return self.first <= lsn < self.last

    def showing(self, lsn: int) -> Viewport:
        """Moved, if need be, so that a position is in view, with some room around it."""
        column, margin = self.column(lsn), self.columns // 4
        if 0 <= column < self.columns:
            return self
        if -margin <= column < 0:
            wanted = column - margin
        elif self.columns <= column < self.columns + margin:
            wanted = column - self.columns + 1 + margin
        else:
            wanted = column - self.columns // 2
        return replace(self, first=max(self.start(wanted), 0))

    def zoomed(self, step: int, around: int) -> Viewport:
        """Another scale; the position `around` stays in its column."""
        column = min(max(self.column(around), 0), self.columns - 1)
        step = _rounded(step)
        first = max(around - column * step, 0)
        # Round positions where they cost nothing: they are read, typed and compared by people.
        return Viewport(first - first % _grain(step), step, self.columns)

    def resized(self, columns: int) -> Viewport:
        """The same part of the log on a screen of another width."""
        columns = max(columns, 1)
        if columns == self.columns:
            return self
        span = self.step * self.columns
        return Viewport(self.first, _rounded(-(-span // columns)), columns)


def _rounded(step: int) -> int:
    """At least that many bytes a column, in a number that makes round positions."""
    grain = _grain(step)
    return max(-(-step // grain) * grain, FINEST)


def _grain(step: int) -> int:
    return max(1 << max(step >> 6, 1).bit_length() - 1, FINEST)
