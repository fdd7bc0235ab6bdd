"""A plan for a terminal: what will happen, what speaks against it, what it writes."""

from __future__ import annotations

import textwrap

from humanize import naturalsize

from pgrescue.plan.model import Plan
from pgrescue.plan.moment import describe_moment
from pgrescue.plan.sealed import SealedPlan, Step
from pgrescue.plan.stop import kept_and_lost
from pgrescue.printable import printable, printable_lines

_MARKS = {"ok": "ok", "warning": "WARNING", "blocker": "BLOCKER"}
_WIDTH = 96
_MODES = {"in_place": "in place", "clone": "clone", "reseed": "standby from a live server"}


def render_text(plan: Plan) -> str:
    """The whole plan as plain text."""
    parts = [
        summary(plan),
        "\n".join(preflight_lines(plan)),
        "Steps\n" + "\n".join(step_lines(n, step) for n, step in enumerate(plan.steps, 1)),
        _settings(plan),
        _space(plan),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def summary(plan: Plan) -> str:
    """The plan in a few lines."""
    if plan.mode == "clone":
        way_back = "yes: the cluster is left alone, pgrescue undo takes the clone out of the way"
    elif plan.reversible:
        way_back = "yes: the old data is set aside, pgrescue undo puts it back"
    else:
        way_back = "NO: the old data is deleted"
    rows = [
        ("Plan", plan.id),
        ("Cluster", printable(f"{plan.identity}, {plan.work.data_directory}")),
        ("Mode", _MODES[plan.mode]),
        ("Backup" if plan.mode != "reseed" else "Source", printable(plan.backup)),
        ("Target", printable(_target(plan))),
        ("Can be undone", way_back),
    ]
    if (stop := kept_and_lost(plan.stop)) is not None:
        head, *rest = textwrap.wrap(printable_lines(stop), _WIDTH - 15, break_on_hyphens=False)
        rows.insert(5, ("The stop", "\n".join([head, *(" " * 15 + line for line in rest)])))
    if plan.target.time is not None:
        when = describe_moment(plan.target.time, plan.created_at, plan.time_zone)
        rows.insert(5, ("That is", when))
    return "\n".join(f"{name:<14} {value}" for name, value in rows)


def _target(plan: Plan) -> str:
    if plan.mode == "reseed":
        return "a standby that follows the source"
    return f"{plan.target} on timeline {plan.stop.timeline}, then {plan.target.end}"


def preflight_lines(plan: SealedPlan) -> list[str]:
    """What speaks for and against it."""
    lines = ["Checks"]
    for finding in plan.preflight:
        lines += _wrapped(f"  {_MARKS[finding.status]:<8} ", finding.message)
        if finding.fix is not None and finding.status != "ok":
            lines.append(f"           fix: {printable(finding.fix)}")
    return lines


def step_lines(number: int, step: Step) -> str:
    """One step, with its commands."""
    mark = "  (cannot be undone)" if step.destructive else ""
    lines = [f"  {number:>2} {printable(step.title)}{mark}"]
    lines += _wrapped("     why      ", step.why)
    lines += _wrapped("     changes  ", step.changes)
    lines += _wrapped("     undo     ", step.undo)
    for command in step.commands:
        first, *rest = command.split("\n")
        lines.append(f"     $ {printable(first)}")
        if rest:
            # Whole files are not for reading here; the shell form has them in full.
            lines.append(f"       ({len(rest) - 1} lines, in full with --format shell)")
    return "\n".join(lines)


def _settings(plan: Plan) -> str:
    if not plan.settings_diff:
        return ""
    return "Settings\n" + textwrap.indent(printable_lines(plan.settings_diff), "  ")


def _space(plan: Plan) -> str:
    lines = ["Space"]
    for item in plan.space:
        needed = naturalsize(item.needed_bytes, binary=True)
        free = naturalsize(item.free_bytes, binary=True)
        lines.append(f"  {printable(item.filesystem)}: {needed} needed, {free} free")
    return "\n".join(lines)


def _wrapped(head: str, text: str) -> list[str]:
    return textwrap.wrap(
        printable_lines(text),
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
