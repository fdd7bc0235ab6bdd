"""What a verification found."""

from __future__ import annotations

from collections.abc import Collection
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

    @property
    def is_only_unread(self) -> bool:
        """Whether all that is wrong is that something could not be read now."""
        codes = {problem.code for problem in self.problems}
        return "unreadable" in codes and codes <= {"unreadable", "no_manifest"}

    def damage(self, known: Collection[str]) -> str | None:
        """What was read and is not what it should be, in a sentence; None if nothing is.

        What could not be read now may be whole, and what is there beside it spoils nothing. `known`
        are messages of problems that the catalog finds by itself.
        """
        harmless = ("no_manifest", "unreadable", "extra")
        found = [p.message for p in self.problems if p.code not in harmless]
        found = [message for message in found if message not in known]
        if not found:
            return None
        return f"{found[0]} (and {len(found) - 1} more)" if len(found) > 1 else found[0]
