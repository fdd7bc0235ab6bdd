"""What the texts of all plans have in common: checks, steps, width."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from pgrescue.plan.sealed import SealedPlan, Step
from pgrescue.printable import printable, printable_lines

WIDTH = 96
_MARKS = {"ok": "ok", "warning": "WARNING", "blocker": "BLOCKER"}


def sealed_text(plan: SealedPlan, summary: str, *more: str) -> str:
    """A whole plan: in short, what speaks for and against it, its steps, and what else it has."""
    steps = (
        line for number, step in enumerate(plan.steps, 1) for line in _step_lines(number, step)
    )
    checks = "\n".join(_preflight_lines(plan))
    parts = (summary, checks, "Steps\n" + "\n".join(steps), *more)
    return "\n\n".join(part for part in parts if part) + "\n"


def _preflight_lines(plan: SealedPlan) -> Iterator[str]:
    yield "Checks"
    for finding in plan.preflight:
        head = f"  {_MARKS[finding.status]:<8} "
        yield from wrapped(head, printable_lines(finding.message))
        if finding.fix is not None and finding.status != "ok":
            yield f"           fix: {printable(finding.fix)}"


def _step_lines(number: int, step: Step) -> Iterator[str]:
    mark = "  (cannot be undone)" if step.destructive else ""
    yield f"  {number:>2} {printable(step.title)}{mark}"
    yield from wrapped("     why      ", printable_lines(step.why))
    yield from wrapped("     changes  ", printable_lines(step.changes))
    yield from wrapped("     undo     ", printable_lines(step.undo))
    for command in step.commands:
        first, *rest = command.split("\n")
        yield f"     $ {printable(first)}"
        if rest:
            # Whole files are not for reading here; the shell form has them in full.
            yield f"       ({len(rest) - 1} lines, in full with --format shell)"


def wrapped(head: str, text: str) -> list[str]:
    """Lines of a text that a terminal may show, all below the first one's beginning."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
