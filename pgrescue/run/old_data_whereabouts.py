"""Where the old data is, by a run's journal; pure."""

from __future__ import annotations

from pgrescue.plan.model import Work
from pgrescue.run.state import RunState


def place_of_old_data(work: Work, state: RunState) -> str:
    """Where it is at the end of a run, as a report tells it."""
    if not work.replaces:
        return "there was none"
    if state.is_undone:
        return "in its place"
    if state.set_aside is not None:
        return f"{state.set_aside}{', of which a part is deleted' if state.deletion_begun else ''}"
    return "deleted" if state.deletion_begun else "in its place"


def old_data_now(work: Work, state: RunState) -> str:
    """In a sentence; "" where it may be deleted, or where an undo or a deletion tells itself."""
    if state.deletion_begun or state.purpose != "restore":
        return ""
    if not work.replaces:
        return "Nothing had to be set aside: where it restores to there was no data."
    if not state.asides:
        return "Nothing has been moved: the old data is where it was."
    if len(state.asides) < len(work.moves) or not all(item.done for item in state.asides):
        return "The old data is untouched: a part is set aside, the rest is where it was."
    kept = f"The old data is untouched where it was set aside: {state.set_aside}."
    if not work.old_links:
        return kept
    return f"{kept} Its links lead to what is set aside with it, until an undo puts them back."
