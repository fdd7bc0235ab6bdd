"""What a verification found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ProblemCode = Literal[
    "missing",
    "extra",
    "size",
    "checksum",
    "duplicate",
    "unsafe",
    "damaged",
    "unreadable",
    "manifest",
    "wal",
    "no_manifest",
]


@dataclass(frozen=True, slots=True)
class FileProblem:
    """One file that is not what it should be."""

    path: str
    """As the manifest has it: relative to the data directory; or an archive's name."""
    code: ProblemCode
    message: str


@dataclass(frozen=True, slots=True)
class Verification:
    """The whole answer; the fields are those of `verify --json`."""

    backup: str
    ok: bool
    files: int
    """Files that were read to their end."""
    bytes: int
    """Their size, uncompressed."""
    seconds: float
    problems: tuple[FileProblem, ...]

    @property
    def is_proved(self) -> bool:
        """Whether everything was compared, and agreed."""
        return self.ok and not self.problems
