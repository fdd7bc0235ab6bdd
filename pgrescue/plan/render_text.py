"""A plan for a terminal: what will happen, what speaks against it, what it writes."""

from __future__ import annotations

import textwrap

from humanize import naturalsize

from pgrescue.plan.model import Plan
from pgrescue.plan.moment import describe_moment
from pgrescue.plan.sealed_text import WIDTH, sealed_text
from pgrescue.plan.stop import kept_and_lost
from pgrescue.printable import printable, printable_lines

_MODES = {"in_place": "in place", "clone": "clone", "reseed": "standby from a live server"}


def render_text(plan: Plan) -> str:
    """The whole plan as plain text."""
    return sealed_text(plan, summary(plan), _settings(plan), _space(plan))


def summary(plan: Plan) -> str:
    """The plan in a few lines."""
    if plan.mode == "clone":
        way_back = "yes: the cluster is left alone, pgrescue undo takes the clone out of the way"
    elif plan.reversible and not plan.work.replaces:
        way_back = "yes: nothing is there now, pgrescue undo takes what was restored away"
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
        head, *rest = textwrap.wrap(printable_lines(stop), WIDTH - 15, break_on_hyphens=False)
        rows.insert(5, ("The stop", "\n".join([head, *(" " * 15 + line for line in rest)])))
    if plan.target.time is not None:
        when = describe_moment(plan.target.time, plan.created_at, plan.time_zone)
        rows.insert(5, ("That is", when))
    return "\n".join(f"{name:<14} {value}" for name, value in rows)


def _target(plan: Plan) -> str:
    if plan.mode == "reseed":
        return "a standby that follows the source"
    return f"{plan.target} on timeline {plan.stop.timeline}, then {plan.end}"


def _settings(plan: Plan) -> str:
    if not plan.settings_diff:
        return ""
    return "Settings\n" + textwrap.indent(printable_lines(plan.settings_diff), "  ")


def _space(plan: Plan) -> str:
    lines = ["Space"]
    for item in plan.space:
        needed = naturalsize(item.needed_bytes, binary=True)
        free = naturalsize(item.free_bytes, binary=True)
        lines.append(f"  {printable(item.filesystem)}: {needed} needed, {free} free{item.by_quota}")
    return "\n".join(lines)
