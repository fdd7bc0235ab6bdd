"""The report at the end of a run: each step and command, its time and result, what was reached."""

from __future__ import annotations

from collections.abc import Sequence

from pgrescue.codec import SCHEMA, dumps, to_plain
from pgrescue.plan.model import Plan
from pgrescue.plan.sealed import SealedPlan
from pgrescue.postgres.secrets import without_passwords
from pgrescue.printable import markdown, markdown_code
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.retention.words import lost_text
from pgrescue.run import records
from pgrescue.run.durable import write_file
from pgrescue.run.fold import fold
from pgrescue.run.journal import read_journal
from pgrescue.run.old_data_whereabouts import place_of_old_data
from pgrescue.run.records import AnyRecord
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.state import RunState
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
        f"# {_TITLES[state.kind]} of {markdown(plan.identity)}: {state.state}",
        "",
        _item(f"Run: {state.run}, started by {state.operator}, {_time(state.created_at)}"),
        _item(f"Owner: {state.owner}"),
        *map(_item, _facts_of(plan, state)),
    ]
    lines += [_item(f"Undone: what had been restored lies in {path}") for path in state.retired]
    lines += [_item(f"Note: {note}") for note in state.notes]
    if state.error is not None:
        lines += ["", "## Failure", "", markdown(state.error.title), ""]
        lines += [markdown(line) for line in state.error.cause.split("\n")]
        lines += map(_item, state.error.next)
    lines += ["", "## Steps", "", "| step | state | seconds | result |", "|---|---|---|---|"]
    lines += [
        f"| {markdown(step.title)} | {step.state} | {_seconds(step.seconds)} "
        f"| {markdown(step.result or '')} |"
        for step in state.steps
    ]
    commands = [record for record in journal if isinstance(record, records.CommandEnded)]
    if commands:
        lines += ["", "## Commands", "", "| command | exit code | seconds |", "|---|---|---|"]
        lines += [
            f"| {markdown_code(c.command, in_table=True)} | {c.exit_code} | {c.seconds} |"
            for c in commands
        ]
    return without_passwords("\n".join(lines) + "\n")


def _item(text: str) -> str:
    return f"- {markdown(text)}"


def _facts_of(plan: SealedPlan, state: RunState) -> list[str]:
    if isinstance(plan, Plan):
        return _of_restore(plan, state)
    if isinstance(plan, PrunePlan):
        return _of_removal(plan, state)
    return _of_backup(plan, state)


def _of_restore(plan: Plan, state: RunState) -> list[str]:
    return [
        f"Backup: {plan.backup}",
        f"Target: {plan.target}",
        f"Data directory: {plan.work.data_directory}",
        f"Reached: {_reached(state)}",
        f"Old data: {place_of_old_data(plan.work, state)}",
        # Whoever brings it back by hand, not by an undo, needs them.
        *(f"Its link {link.name} led to: {link.text}" for link in plan.work.old_links),
    ]


def _of_backup(plan: SealedPlan, state: RunState) -> list[str]:
    taken = state.backup
    lines = [plan.subject]
    if taken is not None:
        verified = "verified" if taken.verified else "NOT verified"
        lines.append(f"Backup: {taken.id}, {taken.size_bytes} bytes, {verified}")
    return lines


def _of_removal(plan: PrunePlan, state: RunState) -> list[str]:
    taken_away = [
        f"{item.id}, {item.path}; with it goes {lost_text(item)}" for item in plan.removed
    ]
    wal = [f"WAL of timeline {c.timeline}: {c.files} files below {c.below}" for c in plan.cuts]
    asides = [f"Set aside: {item.aside}" for item in state.asides]
    return [plan.subject, *taken_away, *wal, *asides]


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
