"""A plan as a shell script that a DBA can run by hand, without pgrescue, to the same result."""

from __future__ import annotations

from pgrescue.plan.model import Plan, Step


def render_shell(plan: Plan) -> str:
    """The script's text; it stops at the first command that fails."""
    account = "root" if plan.work.run_as else plan.work.owner.name
    lines = [
        "#!/bin/bash",
        f"# Restore {plan.identity} to {plan.target}.",
        f"# Made from plan {plan.id} of {plan.created_at:%Y-%m-%d %H:%M:%S+00:00}. "
        f"Run it as {account}.",
        "# What stands here was true when the plan was made: read it before you run it.",
        "set -euo pipefail",
        "cd /",
    ]
    for number, step in enumerate(plan.steps, 1):
        lines += ["", *_step(number, step)]
    return "\n".join(lines) + "\n"


def _step(number: int, step: Step) -> list[str]:
    head = [f"# {number}. {step.title}", *(f"# {line}" for line in _notes(step))]
    if step.id == "promote":
        head += [
            "# Without the argument 'promote' the script ends here, with the server paused.",
            '[ "${1:-}" = promote ] || exit 0',
        ]
    return head + list(step.commands)


def _notes(step: Step) -> list[str]:
    return [f"Why: {step.why}", f"Undo: {step.undo}"]
