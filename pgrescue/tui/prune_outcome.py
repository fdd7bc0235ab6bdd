"""What became of a removal of backups and WAL, and what can be done with its run now."""

from __future__ import annotations

from pgrescue.tui.verb import Verb
from pgrescue.tui.view import RunView
from pgrescue.tui.words import deletions


def verbs_of(view: RunView) -> tuple[Verb, ...]:
    """What changes something, beside log and report; the safest first."""
    state = view.state
    if state.state == "running":
        return (_abort(),)
    verbs = []
    if state.state in ("failed", "aborted", "interrupted"):
        verbs.append(_resume(view))
    if state.state != "undone" and state.asides and not state.deletion_begun:
        verbs.append(_undo(view))
    if state.state == "succeeded" and view.discardable:
        verbs.append(_discard(view))
    return tuple(verbs)


def outcome_text(view: RunView) -> str:
    """How it ended: where everything is, what is next."""
    state = view.state
    lines = [_verdict(view), ""]
    if state.error is not None:
        lines += [state.error.title, state.error.cause, state.error.evidence, ""]
    lines += [f"set aside  {item.aside}" for item in state.asides]
    lines += [f"note       {note}" for note in state.notes_now]
    steps = list(state.error.next) if state.error is not None else []
    return "\n".join([*lines, "", "Next:", *(f"  {step}" for step in (*steps, *_next(view)))])


def _verdict(view: RunView) -> str:
    state = view.state
    match state.state:
        case "succeeded" if state.asides:
            return "SET ASIDE. The catalog does not show it any more; it still takes its space."
        case "succeeded":
            return "DELETED. The space is free."
        case "undone":
            return "UNDONE. Everything is back in its place."
        case "failed":
            return f"FAILED at the step '{state.step}'."
        case "aborted":
            return f"STOPPED on request, at the step '{state.step}'."
        case "interrupted" if not state.started:
            return "NOT STARTED. No runner has taken it up; nothing was changed."
        case _:
            return "INTERRUPTED. The runner is gone; the journal says what is certain."


def _next(view: RunView) -> list[str]:
    run, state = view.state.run, view.state
    match state.state:
        case "succeeded" if state.asides:
            return [
                f"when sure: a, discard   (pgrescue discard {run})",
                f"or put it back: a, undo (pgrescue undo {run})",
            ]
        case "succeeded" | "undone":
            return ["r shows the report"]
        case _:
            return ["a shows what can be done", "l shows the programs' output"]


def _resume(view: RunView) -> Verb:
    state = view.state
    if state.deletion_begun:
        return Verb(
            "resume",
            "Go on with the deletion",
            "What is left of it is deleted; there is no way back any more.",
            ("What is left of it is DELETED.",),
            typed=view.plan.identity,
        )
    return Verb(
        "resume",
        "Go on where it stopped",
        "What is left is set aside, too.",
        ("The backups and the WAL that the plan names are set aside.",),
    )


def _undo(view: RunView) -> Verb:
    back = tuple(f"{item.aside} goes back to {item.path}." for item in view.state.asides)
    return Verb("undo", "Undo: put everything back", "By renaming it.", back)


def _discard(view: RunView) -> Verb:
    return Verb(
        "discard",
        "Discard: delete what was set aside",
        "Frees the space. After that there is no undo.",
        deletions(view.discardable),
        typed=view.plan.identity,
    )


def _abort() -> Verb:
    return Verb(
        "abort",
        "Stop the run at the next safe place",
        "It can be resumed or undone afterwards. To leave only this screen, press q instead.",
        ("The run stops where it is; resume goes on, undo puts everything back.",),
    )
