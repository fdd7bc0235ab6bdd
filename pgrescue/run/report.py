"""The report at the end of a run: each step and command, its time and result, what was reached."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.codec import SCHEMA, dumps, to_plain
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.printable import printable_lines
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.retention.words import lost_text
from pgrescue.run import records
from pgrescue.run.journal import read_journal
from pgrescue.run.records import AnyRecord
from pgrescue.run.run_directory import RunDirectory, write_file
from pgrescue.run.state import RunState, fold
from pgrescue.run.status import status_of

_TITLES = {"restore": "Restore", "backup": "Backup", "prune": "Removal"}


def write_report(directory: RunDirectory) -> None:
    """Write `report.md` and `report.json` into the run's directory."""
    plan = directory.plan()
    journal = read_journal(directory.journal_path)
    state = fold(plan, journal)
    write_file(directory.path / "report.md", report_markdown(plan, state, journal))
    content = {
        "schema": SCHEMA,
        "status": status_of(state),
        "plan": to_plain(plan),
        "journal": to_plain([r for r in journal if not isinstance(r, records.Progress)]),
    }
    write_file(directory.path / "report.json", dumps(content, indent=2))


def report_markdown(plan: SealedPlan, state: RunState, journal: Sequence[AnyRecord]) -> str:
    """The report as a person reads it."""
    lines = [
        f"# {_TITLES[state.kind]} of {plan.identity}: {state.state}",
        "",
        f"- Run: {state.run}, started by {state.operator}, {_time(state.created_at)}",
        f"- Owner: {state.owner}",
        *_facts_of(plan, state),
    ]
    lines += [f"- Undone: what had been restored lies in {path}" for path in state.retired]
    lines += [f"- Note: {note}" for note in state.notes]
    if state.error is not None:
        lines += ["", "## Failure", "", state.error.title, "", state.error.cause]
        lines += [f"- {step}" for step in state.error.next]
    lines += ["", "## Steps", "", "| step | state | seconds | result |", "|---|---|---|---|"]
    lines += [
        f"| {step.title} | {step.state} | {_seconds(step.seconds)} | {step.result or ''} |"
        for step in state.steps
    ]
    commands = [record for record in journal if isinstance(record, records.CommandEnded)]
    if commands:
        lines += ["", "## Commands", "", "| command | exit code | seconds |", "|---|---|---|"]
        lines += [f"| `{c.command}` | {c.exit_code} | {c.seconds} |" for c in commands]
    return printable_lines("\n".join(lines) + "\n")


def _facts_of(plan: SealedPlan, state: RunState) -> list[str]:
    if isinstance(plan, Plan):
        return _of_restore(plan, state)
    if isinstance(plan, PrunePlan):
        return _of_removal(plan, state)
    return _of_backup(plan, state)


def _of_restore(plan: Plan, state: RunState) -> list[str]:
    return [
        f"- Backup: {plan.backup}",
        f"- Target: {plan.target}",
        f"- Data directory: {plan.work.data_directory}",
        f"- Reached: {_reached(state)}",
        f"- Old data: {state.set_aside or 'in its place'}",
    ]


def _of_backup(plan: SealedPlan, state: RunState) -> list[str]:
    taken = state.backup
    lines = [f"- {plan.subject}"]
    if taken is not None:
        verified = "verified" if taken.verified else "NOT verified"
        lines.append(f"- Backup: {taken.id}, {taken.size_bytes} bytes, {verified}")
    return lines


def _of_removal(plan: PrunePlan, state: RunState) -> list[str]:
    taken_away = [
        f"- {item.id}, {item.path}; with it goes {lost_text(item)}" for item in plan.removed
    ]
    wal = [f"- WAL of timeline {c.timeline}: {c.files} files below {c.below}" for c in plan.cuts]
    asides = [f"- Set aside: {item.aside}" for item in state.asides]
    return [f"- {plan.subject}", *taken_away, *wal, *asides]


def _reached(state: RunState) -> str:
    point = state.reached
    if point is None:
        return "nothing yet"
    parts = [f"LSN {point.lsn}"] if point.lsn is not None else []
    if point.time is not None:
        parts.append(f"last commit at {_time(point.time)}")
    if point.xid is not None:
        parts.append(f"transaction {point.xid}")
    if point.timeline is not None:
        parts.append(f"timeline {point.timeline}")
    return ", ".join(parts) or "nothing yet"


def _time(moment: object) -> str:
    return str(moment) if moment is not None else "unknown"


def _seconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.1f}"
