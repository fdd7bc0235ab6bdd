"""A plan's parts as the plan screen shows them."""

from __future__ import annotations

from rich.text import Text

from pgrescue.findings import Finding
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan, Step
from pgrescue.plan.stop import kept_and_lost
from pgrescue.plan.work import undo_does
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.widgets.cells import state_cell
from pgrescue.tui.words import size

_ORDER = {"blocker": 0, "warning": 1, "ok": 2}


def headline(plan: Plan) -> str:
    """What the plan does, in one line."""
    place = "in place" if plan.mode == "in_place" else f"as a clone in {plan.work.data_directory}"
    return f"{plan.identity} {place} to {plan.target}"


def counts(plan: SealedPlan, glyphs: Glyphs) -> Text:
    """Whether it can run: how much speaks against it."""
    found = {status: 0 for status in _ORDER}
    for finding in plan.preflight:
        found[finding.status] += 1
    text = Text().append_text(state_cell("blocker" if found["blocker"] else "ok", glyphs))
    text.append(f"  {_many(found['blocker'], 'blocker')}, {_many(found['warning'], 'warning')}")
    return text


def verdict(plan: Plan, glyphs: Glyphs) -> Text:
    """Whether it can run and be taken back."""
    text = counts(plan, glyphs)
    text.append(", can be undone" if plan.reversible else ", CANNOT BE UNDONE", "bold")
    text.append(f", from {plan.backup}")
    return text


def findings_of(plan: SealedPlan) -> list[Finding]:
    """The findings, what forbids the plan first."""
    return sorted(plan.preflight, key=lambda finding: _ORDER[finding.status])


def finding_cells(finding: Finding, glyphs: Glyphs) -> list[Text]:
    """One row of the checks."""
    return [state_cell(finding.status, glyphs), Text(finding.message)]


def finding_text(finding: Finding) -> str:
    """A finding in full."""
    fix = f"\n\nTo mend it:\n  {finding.fix}" if finding.fix else ""
    return f"{finding.status.upper()}  {finding.code}\n{finding.message}{fix}"


def step_note(plan: Plan, step_id: str) -> Text:
    """What cannot be undone, and what waits for a word."""
    if step_id == "promote" and plan.target.action == "pause":
        return Text("waits", "yellow")
    destructive = any(step.destructive for step in plan.steps if step.id == step_id)
    return Text("NO UNDO", "red") if destructive else Text("")


def step_cells(number: int, step: Step, note: Text) -> list[Text]:
    """One row of the steps."""
    return [Text(f"{number:>2}"), Text(step.title), note]


def step_text(step: Step) -> str:
    """What, why, command, effect, undo."""
    parts = [
        step.title,
        f"why      {step.why}",
        f"changes  {step.changes}",
        f"undo     {step.undo}",
    ]
    if step.estimate is not None:
        parts.append(f"takes    about {step.estimate:.0f} s")
    parts.append("by hand:")
    parts += [f"  {line}" for command in step.commands for line in command.splitlines()]
    return "\n".join(parts)


def settings_text(plan: Plan) -> Text:
    """The difference of postgresql.auto.conf, added lines marked by sign and colour."""
    text = Text()
    for line in (plan.settings_diff or "postgresql.auto.conf stays as it is.").splitlines():
        style = {"+": "green", "-": "red"}.get(line[:1], "")
        text.append(line + "\n", "bold" if line.startswith(("+++", "---", "@@")) else style)
    return text


def space_text(plan: Plan) -> str:
    """Needed against free, per file system."""
    rows = [f"{'file system':<36} {'needed':>12} {'free':>12}"]
    rows += [
        f"{item.filesystem:<36} {size(item.needed_bytes):>12} {size(item.free_bytes):>12}"
        + ("  NOT ENOUGH" if item.needed_bytes > item.free_bytes else "")
        + (f"\n  free{item.by_quota}" if item.quota else "")
        for item in plan.space
    ]
    restored = f"The restored data directory will have about {size(plan.work.restore_bytes)}."
    return "\n".join([*rows, "", restored])


def consequences(plan: Plan) -> tuple[str, ...]:
    """What confirming means, in a few lines."""
    work = plan.work
    if plan.mode == "clone":
        return (
            f"Restores {plan.backup} into {work.data_directory}, port {work.port}.",
            f"The cluster {plan.cluster} itself is left alone.",
        )
    lines = []
    if work.was_running:
        lines.append("The server is stopped; its clients are disconnected.")
    lines += [f"{move.path} is set aside as {move.aside}." for move in work.moves]
    lines.append(f"It comes back from {plan.backup}, recovered to {plan.target}.")
    if (stop := kept_and_lost(plan.stop)) is not None:
        lines.append(stop)
    if plan.reversible:
        lines.append(f"Undo {undo_does(replaces=work.replaces)}.")
    else:
        lines.append("At the end the old data is DELETED. There is no way back after that.")
    return tuple(lines)


def _many(count: int, noun: str) -> str:
    return f"{count} {noun}" + ("" if count == 1 else "s")
