"""A backup's plan for a terminal."""

from __future__ import annotations

import shlex
import textwrap

from humanize import naturalsize

from pgrescue.backup.choices import choice
from pgrescue.backup.model import BackupPlan
from pgrescue.backup.steps import gentle_wait
from pgrescue.plan.sealed_text import WIDTH, sealed_text
from pgrescue.postgres.basebackup_options import compression_text
from pgrescue.printable import printable, printable_lines


def render_text(plan: BackupPlan) -> str:
    """The whole plan as plain text."""
    command = "The command\n" + textwrap.indent(command_lines(plan), "  ")
    return sealed_text(plan, summary(plan), command)


def summary(plan: BackupPlan) -> str:
    """The plan in a few lines."""
    work = plan.work
    kind = f"incremental, on {work.parent}" if work.parent else "full"
    took = f", about {plan.estimated_seconds:.0f} s" if plan.estimated_seconds else ""
    rows = [
        ("Plan", plan.id),
        ("Server", f"{plan.source}, PostgreSQL {work.major}"),
        ("Backup", f"{kind}, {work.format}, {compression_text(work.compression)}"),
        ("Goes to", work.destination),
        ("Size", f"about {naturalsize(plan.estimated_size, binary=True)}{took}"),
        ("WAL", f"{work.wal_method}: {value_text('wal_method', work.wal_method)}"),
        ("Checkpoint", f"{work.checkpoint}: {_checkpoint(plan)}"),
    ]
    lines = []
    for name, value in rows:
        lines += textwrap.wrap(
            printable(value),
            WIDTH,
            initial_indent=f"{name:<14} ",
            subsequent_indent=" " * 15,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def command_lines(plan: BackupPlan) -> str:
    """pg_basebackup with one option a line, ready to be copied."""
    program, *options = plan.work.command
    user = f"runuser -u {shlex.quote(plan.work.run_as)} -- " if plan.work.run_as else ""
    parts = [user + shlex.quote(program), *(shlex.quote(option) for option in options)]
    return printable_lines(" \\\n    ".join(parts))


def value_text(name: str, value: str) -> str:
    """What is said of one value of a choice."""
    return dict(choice(name).values).get(value, "")


def _checkpoint(plan: BackupPlan) -> str:
    if plan.work.checkpoint == "spread":
        return f"waits for a gentle one, {gentle_wait(plan.work.checkpoint_bound)}."
    return value_text("checkpoint", "fast")
