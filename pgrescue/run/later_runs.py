"""Runs that have worked on the same place since: what lies there is theirs by now."""

from __future__ import annotations

from pgrescue.errors import Refused
from pgrescue.run.run_directory import list_runs, unreadable_runs
from pgrescue.run.state import RunState

_RESTORE = "restore"


def check_no_later_run(state: RunState) -> None:
    """Raise `Refused` if a later run has restored into the same place and was not undone.

    To go on with the earlier one, or to undo it, would work on what the later one has restored.
    One whose plan cannot be read counts, unless it is about another place.
    """
    _check_all_are_known(state)
    newest = _newest(state)
    if newest is None:
        return
    run = state.run
    ways = [f"pgrescue undo {newest.run}"] if not newest.deletion_begun else []
    if state.set_aside is not None:
        ways.append(f"or look at what {run} has set aside: {state.set_aside}")
    raise Refused(
        f"A later run, {newest.run}, has worked on the same place: it is {newest.state}.",
        f"To go on with {run}, or to undo it, would mix the two.",
        next_steps=tuple(ways),
    )


def _check_all_are_known(state: RunState) -> None:
    for other in unreadable_runs():
        created = other.created()
        is_elsewhere = created is not None and created.data_directory != state.data_directory
        if other.id > state.run and not is_elsewhere:
            raise Refused(
                f"The plan of a later run, {other.id}, cannot be read.",
                f"It may have worked on the same place, {state.data_directory}.",
                next_steps=(f"pgrescue status {other.id}   tells what is wrong with it",),
            )


def replaced_by(state: RunState) -> str:
    """The later run, for telling; empty if there is none."""
    newest = _newest(state)
    return "" if newest is None else newest.run


def _newest(state: RunState) -> RunState | None:
    if state.kind != _RESTORE:
        return None  # what a removal set aside lies beside that of others
    later = [other for other in _others(state) if _is_later(other, state)]
    return max(later, key=lambda other: other.run, default=None)


def _others(state: RunState) -> list[RunState]:
    """Runs on the same data directory that have changed something, and that count."""
    found = []
    for other in list_runs():
        theirs = other.state()
        if other.id == state.run or theirs.kind != _RESTORE or theirs.is_undone:
            continue
        has_changed_it = bool(theirs.asides) or theirs.has_begun_to_fill
        if theirs.data_directory == state.data_directory and has_changed_it:
            found.append(theirs)
    return found


def _is_later(other: RunState, state: RunState) -> bool:
    """By what has set aside what; by their names where neither has: a clock may have been set."""
    if _has_set_aside_what(other, state):
        return True
    return other.run > state.run and not _has_set_aside_what(state, other)


def _has_set_aside_what(later: RunState, earlier: RunState) -> bool:
    """Whether the directory that one run has made is what another one has renamed."""
    place = earlier.data_directory
    made = next((known for known in earlier.identities if known.path == place), None)
    away = {item.aside for item in later.asides if item.path == place}
    return made is not None and any(
        made.is_also(known) for known in later.identities if known.path in away
    )
