"""A plan as a runbook: to review, to attach to a ticket, to follow by hand."""

from __future__ import annotations

from pgrescue.plan.model import Plan


def render_markdown(plan: Plan) -> str:
    """The runbook's text."""
    lines = [
        f"# Restore {plan.identity} to {plan.target}",
        "",
        f"- Plan `{plan.id}`, made {plan.created_at:%Y-%m-%d %H:%M:%S+00:00} by {plan.operator}",
        f"- Data directory `{plan.work.data_directory}`",
        f"- Backup `{plan.backup}`, timeline {plan.stop.timeline}",
        f"- At the target: {plan.target.end}",
        f"- Can be undone: {'yes' if plan.reversible else 'no'}",
        "",
        "## Checks",
        "",
    ]
    for finding in plan.preflight:
        fix = f" — {finding.fix}" if finding.fix and finding.status != "ok" else ""
        lines.append(f"- **{finding.status}** {finding.message}{fix}")
    for number, step in enumerate(plan.steps, 1):
        lines += ["", f"## {number}. {step.title}", "", step.why, ""]
        lines += ["```sh", *step.commands, "```", ""]
        lines += [f"- Changes: {step.changes}", f"- Undo: {step.undo}"]
    lines += ["", "## Settings", "", "```diff", plan.settings_diff, "```"]
    return "\n".join(lines) + "\n"
