"""A plan as a shell script that a DBA can run by hand, without pgrescue, to the same result."""

from __future__ import annotations

import re
from shlex import quote

from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import Step


def render_shell(plan: Plan) -> str:
    """The script's text; it stops at the first command that fails."""
    account = "root" if plan.work.run_as else plan.work.owner.name
    lines = [
        "#!/bin/bash",
        *_comment(f"Restore {plan.identity} to {plan.target}."),
        *_comment(
            f"Made from plan {plan.id} of {plan.created_at:%Y-%m-%d %H:%M:%S+00:00}. "
            f"Run it as {account}."
        ),
        "# What stands here was true when the plan was made: read it before you run it.",
        "#",
        *(line for way in _way_back(plan) for line in _comment(way)),
        *_findings(plan),
        "set -euo pipefail",
        "cd /",
        f"if [ -e {quote(plan.work.staging)} ]; then",
        "    echo 'This script was begun before: nothing is done. Go on by hand where it ended.'",
        "    exit 1",
        "fi",
    ]
    for number, step in enumerate(plan.steps, 1):
        lines += ["", *_step(number, step)]
    return "\n".join(lines) + "\n"


def _findings(plan: Plan) -> list[str]:
    """What the checks have found; with a blocker the script does nothing as it is."""
    found = [item for item in plan.preflight if item.status != "ok"]
    lines = ["#"] if found else []
    for item in found:
        lines += _comment(f"{item.status.upper()}: {item.message}")
        lines += _comment(f"    {item.fix}") if item.fix else []
    if plan.blockers:
        lines += [
            "echo 'A check forbids this restore: read the head of this script. Nothing is done.'",
            "exit 3",
        ]
    return lines


def _comment(text: str) -> list[str]:
    """Comment lines; names may have line breaks, behind which a shell would read commands."""
    return [f"# {line}" for line in re.split(r"[\n\r]", text)]


def _way_back(plan: Plan) -> list[str]:
    """How to undo by hand what the script does: pgrescue knows nothing of it."""
    if not plan.work.moves:
        return ["To undo it, stop the new server and remove what was made."]
    lines = ["To undo it by hand: stop the server, then"]
    for move in reversed(plan.work.moves):
        if move.contents_only:
            lines.append(
                f"    empty {move.path} but for .pgrescue, and move back what is in {move.aside}"
            )
        else:
            away = quote(f"{move.path}.undone")
            lines.append(f"    mv -T {quote(move.path)} {away}")
            lines.append(f"    mv -T {quote(move.aside)} {quote(move.path)}")
    return [*lines, "and start it again."]


def _step(number: int, step: Step) -> list[str]:
    head = [*_comment(f"{number}. {step.title}"), *_comment(f"Why: {step.why}")]
    if step.id == "promote":
        head += [
            "# The server is paused now: look around, then run what follows by hand. Called with",
            "# the argument 'promote', the script goes straight on.",
            '[ "${1:-}" = promote ] || exit 0',
        ]
    return head + list(step.commands)
