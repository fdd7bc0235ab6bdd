"""A run's state in the form that `status --json` and the last event of a run have."""

from __future__ import annotations

from typing import Any

from pgrescue.codec import SCHEMA, to_plain
from pgrescue.errors import ExitCode
from pgrescue.run.state import RunState

_UNKNOWN = (
    *("run", "cluster", "plan", "kind", "purpose", "owner", "state", "replaced_by", "step"),
    *("progress", "reached", "backup", "set_aside", "error", "created_at", "updated_at"),
)


def no_run() -> dict[str, Any]:
    """A status where there is no run: the same keys."""
    lists: dict[str, list[str]] = {"steps": [], "undone": [], "notes": []}
    return {"schema": SCHEMA, **dict.fromkeys(_UNKNOWN), **lists}


def status_of(state: RunState) -> dict[str, Any]:
    """Every key is always there; what is unknown is null."""
    progress = state.progress
    return {
        "schema": SCHEMA,
        "run": state.run,
        "cluster": state.cluster,
        "plan": state.plan,
        "kind": state.kind,
        "purpose": state.purpose,
        "owner": state.owner,
        "state": state.state,
        "replaced_by": state.replaced_by or None,
        "step": state.step,
        "steps": [
            {
                "id": step.id,
                "title": step.title,
                "state": step.state,
                "seconds": step.seconds,
                "result": step.result,
            }
            for step in state.steps
        ],
        "progress": None if progress is None else to_plain(progress),
        "reached": None if state.reached is None else to_plain(state.reached),
        "backup": None if state.backup is None else to_plain(state.backup),
        "set_aside": state.set_aside,
        "undone": list(state.retired),
        "notes": list(state.notes),
        "error": None if state.error is None else to_plain(state.error),
        "created_at": to_plain(state.created_at),
        "updated_at": to_plain(state.updated_at),
    }


def exit_code_of(state: RunState) -> int:
    """What a run's state means to the shell."""
    if state.state in ("succeeded", "waiting", "undone", "running"):
        return ExitCode.DONE
    return state.error.exit_code if state.error is not None else ExitCode.STEP_FAILED
