"""What a check looks at, and short forms for what it says."""

from __future__ import annotations

from dataclasses import dataclass

from pgrescue.findings import Finding
from pgrescue.plan.facts import Facts
from pgrescue.plan.model import Space, Work
from pgrescue.plan.request import RestoreRequest


@dataclass(frozen=True, slots=True)
class Context:
    """The facts, what was asked for, and what would be done."""

    facts: Facts
    request: RestoreRequest
    work: Work
    space: tuple[Space, ...]
    notify: str | None = None
    """The command that is told how the run ended."""

    @property
    def in_place(self) -> bool:
        """Whether the cluster itself is replaced."""
        return self.request.into is None


def ok(code: str, message: str) -> list[Finding]:
    """A check that found things in order."""
    return [Finding(code, "ok", message)]


def warning(code: str, message: str, fix: str | None = None) -> list[Finding]:
    """Something to know before going on."""
    return [Finding(code, "warning", message, fix)]


def blocker(code: str, message: str, fix: str | None = None) -> list[Finding]:
    """Something that forbids the run."""
    return [Finding(code, "blocker", message, fix)]
