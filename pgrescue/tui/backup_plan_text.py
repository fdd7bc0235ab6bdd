"""The parts of a backup's plan as its screen shows them."""

from __future__ import annotations

from rich.text import Text

from pgrescue.backup.model import BackupPlan
from pgrescue.backup.steps import gentle_wait
from pgrescue.tui import plan_text
from pgrescue.tui.glyphs import Glyphs
from pgrescue.tui.words import about, size


def headline(plan: BackupPlan) -> str:
    """What it makes and where; last of which server, as that may be cut off."""
    what = "Incremental backup" if plan.work.parent else "Base backup"
    return f"{what} into {plan.work.destination}: {plan.source}"


def verdict(plan: BackupPlan, glyphs: Glyphs) -> Text:
    """Whether it can run, and what is to be expected."""
    text = plan_text.counts(plan, glyphs)
    text.append(f", about {size(plan.estimated_size)}", "bold")
    if plan.estimated_seconds is not None:
        text.append(f" in about {about(plan.estimated_seconds)}", "bold")
    return text


def step_note(plan: BackupPlan, step_id: str) -> Text:
    """How long a step takes, where earlier backups tell."""
    seconds = next((step.estimate for step in plan.steps if step.id == step_id), None)
    return Text("" if seconds is None else f"~{about(seconds)}")


def consequences(plan: BackupPlan) -> tuple[str, ...]:
    """What confirming means, in a few lines."""
    work = plan.work
    lines = [f"{plan.subject}."]
    if work.checkpoint == "fast":
        lines.append("The server writes a checkpoint at once, as fast as it can.")
    else:
        bound = work.checkpoint_bound
        lines.append(f"It waits for a gentle checkpoint first, {gentle_wait(bound)}.")
    lines.append(f"It takes about {size(plan.estimated_size)} there. The server goes on serving.")
    if work.verify:
        lines.append("It is read again, and gets its name only if it is whole.")
    else:
        lines.append("It is NOT read again: whether it is whole is not known at the end.")
    return tuple(lines)
