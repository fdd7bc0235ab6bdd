"""A WAL segment that is only in memory."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class SegmentBytes:
    """Its bytes; nothing is kept of them."""

    content: bytes

    def open(self) -> BinaryIO:
        """A stream over the bytes."""
        return BytesIO(self.content)

    def size(self) -> int | None:
        """How many they are."""
        return len(self.content)

    def identity(self) -> None:
        """Nothing to keep a summary by."""
