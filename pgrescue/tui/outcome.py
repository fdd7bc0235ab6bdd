"""What became of a run, what can be done with it now, and what confirming that means."""

from __future__ import annotations

from pgrescue.backup.model import BackupPlan
from pgrescue.plan.model import Plan
from pgrescue.plan.work import replaced, undo_does
from pgrescue.retention.prune_model import PrunePlan
from pgrescue.run.records import Purpose
from pgrescue.run.shortfall import deletes_old_data, ended_early
from pgrescue.tui import backup_outcome, prune_outcome
from pgrescue.tui.verb import Verb
from pgrescue.tui.view import RunView
from pgrescue.tui.words import deletions, moment

_WHAT: dict[Purpose, str] = {
    "restore": "The restore",
    "undo": "The undo",
    "discard": "The deletion",
    "backup": "The backup",
    "prune": "The removal",
}


def verbs_of(view: RunView) -> tuple[Verb, ...]:
    """What can be done now, the safest first."""
    verbs = [Verb("log", "Show the programs' output", "The run's tool.log.")]
    if view.report is not None:
        verbs.insert(0, Verb("report", "Show the report", f"{view.report}"))
    if isinstance(view.plan, BackupPlan):
        return (*verbs, *backup_outcome.verbs_of(view))
    if isinstance(view.plan, PrunePlan):
        return (*verbs, *prune_outcome.verbs_of(view))
    state = view.state
    if state.state == "running":
        return (*verbs, _abort(view))
    if state.state in ("waiting", "failed", "aborted", "interrupted") and not state.replaced_by:
        verbs.append(_resume(view))
    has_a_way_back = state.has_left_something and not (state.deletion_begun or state.replaced_by)
    if state.state != "undone" and has_a_way_back:
        verbs.append(_undo(view))
    if state.state in ("succeeded", "undone") and view.discardable:
        verbs.append(_discard(view))
    return tuple(verbs)


def outcome_text(view: RunView) -> str:
    """How it ended or why it waits: what was reached, where the old data lies, what is next."""
    if isinstance(view.plan, BackupPlan):
        return backup_outcome.outcome_text(view)
    if isinstance(view.plan, PrunePlan):
        return prune_outcome.outcome_text(view)
    state = view.state
    lines = [_verdict(view), ""]
    if state.error is not None:
        lines += [state.error.title, state.error.cause, state.error.evidence, ""]
    restoring = state.purpose == "restore"
    if state.reached is not None and restoring:
        lines.append(f"reached   {reached_text(view)}")
    if state.set_aside is not None:
        lines.append(f"old data  {state.set_aside}")
    lines += [f"undone    what had been restored lies in {path}" for path in state.retired]
    lines += [f"note      {note}" for note in state.notes_now]
    lines += ["", "Next:"]
    if state.error is not None:
        lines += [f"  {step}" for step in state.error.next]
    lines += [f"  {step}" for step in _next(view)]
    return "\n".join(line for line in lines if line is not None)


def reached_text(view: RunView) -> str:
    """Where recovery ended."""
    point = view.state.reached
    if point is None:
        return "nothing yet"
    parts = []
    if point.lsn is not None:
        parts.append(f"LSN {point.lsn}")
    if point.time is not None:
        parts.append(f"last kept commit {moment(point.time)}")
    if point.xid is not None:
        parts.append(f"transaction {point.xid}")
    if point.timeline is not None:
        parts.append(f"timeline {point.timeline}")
    return ", ".join(parts)


def _verdict(view: RunView) -> str:
    state = view.state
    what = _WHAT[state.purpose]
    if state.replaced_by:
        return f"{state.state.upper()}. {replaced(state.replaced_by)}"
    match state.state:
        case "waiting":
            return "AT THE TARGET. The server is open for reading; recovery is paused."
        case "succeeded":
            return f"DONE. {what} has succeeded."
        case "undone":
            back = "The old data is back in its place."
            return f"UNDONE. {back if state.replaces else 'What was restored is out of the way.'}"
        case "failed":
            return f"FAILED. {what} stopped at the step '{state.step}'."
        case "aborted":
            return f"STOPPED on request. {what} stopped at the step '{state.step}'."
        case "interrupted" if not state.started:
            return "NOT STARTED. No runner has taken it up; nothing was changed."
        case _:
            return f"INTERRUPTED. {what}'s runner is gone; the journal says what is certain."


def _next(view: RunView) -> list[str]:
    run, state = view.state.run, view.state
    if state.replaced_by:
        return [f"look at that run: {state.replaced_by}"]
    match state.state:
        case "waiting":
            # Recovery holds the locks of transactions that it stopped in the middle of.
            return [
                "look at the data with psql: is it what you want? (A table that the first",
                "undone transaction drops or truncates stays locked until the promotion.)",
                f"yes: a, promote     (pgrescue resume {run})",
                f"no:  a, undo        (pgrescue undo {run})",
            ]
        case "succeeded":
            later = f"when sure: a, discard the old data (pgrescue discard {run})"
            is_new_history = isinstance(view.plan, Plan) and view.plan.mode == "in_place"
            soon = ["take a new base backup soon (b in the overview)"] if is_new_history else []
            return ["r shows the report", *soon] + ([later] if view.discardable else [])
        case "undone":
            return ["r shows the report", f"when sure: a, discard (pgrescue discard {run})"]
        case _:
            return ["a shows what can be done: go on, or undo", "l shows the programs' output"]


def _does(view: RunView) -> str:
    return undo_does(replaces=view.state.replaces)


def _resume(view: RunView) -> Verb:
    if view.state.state == "waiting":
        return Verb(
            "resume",
            "Promote: end the recovery here and open for writing",
            "The server starts a new timeline. A later target then needs a new restore; undo "
            f"still {_does(view)}.",
            (
                "The server ends recovery and opens for writing on a new timeline.",
                "Recovery cannot go on to a later target after that.",
                f"Undo still {_does(view)}.",
            ),
        )
    done = sum(step.state == "done" for step in view.state.steps)
    if view.state.purpose == "discard":
        return Verb(
            "resume",
            "Go on with the deletion",
            "What is left of the old data is deleted; there is no way back any more.",
            ("What is left of the old data is DELETED.",),
            typed=view.plan.identity,
        )
    if ended_early(view.state):
        return _accept(view)
    return Verb(
        "resume",
        "Go on where it stopped",
        "Steps that are done are not repeated; the interrupted one is done again from its "
        "beginning.",
        (f"{done} of {len(view.state.steps)} steps are done; the next ones are executed.",),
    )


def _accept(view: RunView) -> Verb:
    """Going on after a recovery that ended early: what is missing then stays missing."""
    deletes = deletes_old_data(view.plan)
    lost = f"Recovery went only up to {reached_text(view)}: the rest is given up."
    return Verb(
        "resume",
        "Accept what was reached, and go on",
        lost,
        (lost, *(["The old data is DELETED."] if deletes else [])),
        typed=view.plan.identity if deletes else None,
    )


def _undo(view: RunView) -> Verb:
    back = [f"{item.aside} goes back to {item.path}." for item in view.state.asides]
    return Verb(
        "undo",
        "Undo: put the old data back" if back else "Undo: take what was restored out of the way",
        "The restored server is stopped, what was restored is set aside"
        + (", and the old data directory is renamed back." if back else "."),
        (
            "The restored server is stopped; its clients are disconnected.",
            "What was restored, and written since, is set aside.",
            *back,
        ),
    )


def _discard(view: RunView) -> Verb:
    return Verb(
        "discard",
        "Discard: delete what was set aside",
        "Frees the space. After that there is no undo.",
        (*deletions(view.discardable), *([f"It stays: {view.kept_wal}"] if view.kept_wal else [])),
        typed=view.plan.identity,
    )


def _abort(view: RunView) -> Verb:
    return Verb(
        "abort",
        "Stop the run at the next safe place",
        "It can be resumed or undone afterwards. To leave only this screen, press q instead.",
        (
            "The run ends the current piece of work and stops; the cluster stays half-restored.",
            f"Resume goes on, undo {_does(view)}.",
        ),
    )
