"""A plan as a runbook: to review, to attach to a ticket, to follow by hand."""

from __future__ import annotations

from pgrescue.plan.model import Plan
from pgrescue.printable import printable, printable_lines


def render_markdown(plan: Plan) -> str:
    """The runbook's text."""
    made = f"{plan.created_at:%Y-%m-%d %H:%M:%S+00:00} by {plan.operator}"
    lines = [
        f"# Restore {plan.identity} to {printable(str(plan.target))}",
        "",
        f"- Plan `{plan.id}`, made {printable(made)}",
        f"- Data directory `{printable(plan.work.data_directory)}`",
        f"- Backup `{printable(plan.backup)}`, timeline {plan.stop.timeline}",
        f"- At the target: {printable(plan.target.end)}",
        f"- Can be undone: {'yes' if plan.reversible else 'no'}",
        "",
        "## Checks",
        "",
    ]
    for finding in plan.preflight:
        fix = f" — {printable(finding.fix)}" if finding.fix and finding.status != "ok" else ""
        lines.append(f"- **{finding.status}** {printable(finding.message)}{fix}")
    for number, step in enumerate(plan.steps, 1):
        lines += ["", f"## {number}. {printable(step.title)}", "", printable(step.why), ""]
        lines += ["```sh", *map(printable_lines, step.commands), "```", ""]
        lines += [f"- Changes: {printable(step.changes)}", f"- Undo: {printable(step.undo)}"]
    lines += ["", "## Settings", "", "```diff", printable_lines(plan.settings_diff), "```"]
    return "\n".join(lines) + "\n"
