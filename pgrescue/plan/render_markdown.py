"""A plan as a runbook: to review, to attach to a ticket, to follow by hand."""

from __future__ import annotations

from pgrescue.plan.model import Plan
from pgrescue.printable import markdown, markdown_block, markdown_code


def render_markdown(plan: Plan) -> str:
    """The runbook's text."""
    made = f"{plan.created_at:%Y-%m-%d %H:%M:%S+00:00} by {plan.operator}"
    lines = [
        f"# Restore {markdown(plan.identity)} to {markdown(str(plan.target))}",
        "",
        f"- Plan `{plan.id}`, made {markdown(made)}",
        f"- Data directory {markdown_code(plan.work.data_directory)}",
        f"- Backup {markdown_code(plan.backup)}, timeline {plan.stop.timeline}",
        f"- At the target: {markdown(plan.end)}",
        f"- Can be undone: {'yes' if plan.reversible else 'no'}",
        "",
        "## Checks",
        "",
    ]
    for finding in plan.preflight:
        fix = f" — {markdown(finding.fix)}" if finding.fix and finding.status != "ok" else ""
        lines.append(f"- **{finding.status}** {markdown(finding.message)}{fix}")
    for number, step in enumerate(plan.steps, 1):
        lines += ["", f"## {number}. {markdown(step.title)}", "", markdown(step.why), ""]
        lines += [*markdown_block("\n".join(step.commands), "sh"), ""]
        lines += [f"- Changes: {markdown(step.changes)}", f"- Undo: {markdown(step.undo)}"]
    lines += ["", "## Settings", "", *markdown_block(plan.settings_diff, "diff")]
    return "\n".join(lines) + "\n"
