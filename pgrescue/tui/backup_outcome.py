"""What became of a backup that was to be taken, and what can be done with its run now."""

from __future__ import annotations

from pgrescue.tui.verb import Verb
from pgrescue.tui.view import RunView
from pgrescue.tui.words import size


def verbs_of(view: RunView) -> tuple[Verb, ...]:
    """What changes something, beside log and report; the safest first."""
    state = view.state
    if state.state == "running":
        return (_abort(),) if state.purpose == "backup" else ()
    if state.state not in ("failed", "aborted", "interrupted"):
        return ()
    verbs = [_resume(view)]
    if state.made and state.backup is None:
        verbs.append(_remove(view))
    return tuple(verbs)


def outcome_text(view: RunView) -> str:
    """How it ended: what there is now, what was left behind, what is next."""
    state = view.state
    lines = [_verdict(view), ""]
    if state.error is not None:
        lines += [state.error.title, state.error.cause, state.error.evidence, ""]
    if (taken := state.backup) is not None:
        lines += [
            f"backup    {taken.id}",
            f"path      {taken.path}",
            f"size      {size(taken.size_bytes)}",
            f"verified  {'yes' if taken.verified else 'NO: nobody has compared its files'}",
        ]
    elif state.state != "succeeded":
        lines += [f"left      {path}" for path in state.made]
        lines += [] if state.made else ["left      nothing"]
    lines += [f"note      {note}" for note in state.notes_now]
    lines += ["", "Next:", *(f"  {step}" for step in _next(view))]
    return "\n".join(line for line in lines if line is not None)


def _verdict(view: RunView) -> str:
    state = view.state
    what = "The backup" if state.purpose == "backup" else "The removal"
    match state.state:
        case "succeeded":
            proved = state.backup is not None and state.backup.verified
            return f"TAKEN{' and VERIFIED' if proved else ''}. The backup is in the catalog."
        case "undone":
            return "REMOVED. There is no backup of this run, and nothing is left of it."
        case "failed":
            return f"FAILED. {what} stopped at the step '{state.step}'."
        case "aborted":
            return (
                f"STOPPED on request, at the step '{state.step}'. There is no backup of this run."
            )
        case "interrupted" if not state.started:
            return "NOT STARTED. No runner has taken it up; nothing was changed."
        case _:
            return f"INTERRUPTED. {what}'s runner is gone; the journal says what is certain."


def _next(view: RunView) -> list[str]:
    state = view.state
    steps = list(state.error.next) if state.error is not None else []
    match state.state:
        case "succeeded":
            if state.backup is not None and not state.backup.verified:
                steps.append(f"v in the catalog reads it again (pgrescue verify {state.backup.id})")
            return [
                *steps,
                "r shows the report",
                "q, then enter on the cluster: the catalog has it",
            ]
        case "undone":
            return [*steps, "r shows the report", "b takes another backup"]
        case _:
            way = "a shows what can be done: take it again" + (
                ", or remove what is left" if state.made else ""
            )
            return [*steps, way, "l shows the programs' output"]


def _resume(view: RunView) -> Verb:
    state = view.state
    if state.purpose == "undo":
        return Verb(
            "resume",
            "Go on with the removal",
            "What is left of the backup that was begun is deleted.",
            tuple(f"{path} is DELETED." for path in state.made),
        )
    if state.done("take") and state.made:
        return Verb(
            "resume",
            "Go on where it stopped",
            "What was taken is still there. If it is whole, the next steps are done; else it is "
            "taken again.",
            ("The backup is not taken again unless its directory is gone.",),
        )
    return Verb(
        "resume",
        "Take it again, from its beginning",
        "With the same choices. A backup cannot be gone on with in its middle: the server has "
        "ended it.",
        ("The server is read again from the beginning.", "What is left of before is deleted."),
    )


def _remove(view: RunView) -> Verb:
    return Verb(
        "undo",
        "Remove what is left of it",
        "It is no backup and never was in the catalog. Other backups are left alone.",
        tuple(f"{path} is DELETED." for path in view.state.made),
    )


def _abort() -> Verb:
    return Verb(
        "abort",
        "Stop the backup",
        "To leave only this screen, press q instead: the backup goes on.",
        (
            "pg_basebackup is ended, and what was taken so far is DELETED.",
            "The server only loses its reader. It can be taken again, from the beginning.",
        ),
    )
