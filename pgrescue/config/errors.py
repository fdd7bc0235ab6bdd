"""What can be wrong with a configuration, all of it at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pgrescue.errors import UsageError


@dataclass(frozen=True, slots=True)
class ConfigProblem:
    """One thing that is wrong: the dotted key (empty for the file as a whole) and what it is."""

    key: str
    message: str


class ConfigError(UsageError):
    """A configuration with its problems; `problems` has every one that was found."""

    def __init__(self, path: Path | None, problems: Iterable[ConfigProblem]) -> None:
        self.path = path
        self.problems = tuple(problems)
        file = path or Path("the configuration")
        lines = [
            f"\n    {file}: {problem.key}: {problem.message}"
            if problem.key
            else f"\n    {file}: {problem.message}"
            for problem in self.problems
        ]
        count = len(self.problems)
        super().__init__(
            f"{file} has {'a problem' if count == 1 else f'{count} problems'}.",
            "".join(lines),
            next_steps=(f"correct {file}, then run: pgrescue doctor",),
        )


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that looks most like this one, if any does."""
    matches = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return matches[0] if matches else None
