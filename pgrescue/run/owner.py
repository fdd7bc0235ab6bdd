"""Whose run it is. Everybody may watch; only its owner acts on it, or who takes it over first.

The owner is an operator, not a terminal: the same person on a new line goes on without ceremony.
"""

from __future__ import annotations

from contextlib import suppress

from pgrescue.errors import Refused
from pgrescue.run.durable import write_file
from pgrescue.run.journal import Journal
from pgrescue.run.records import TakenOver
from pgrescue.run.run_directory import RunDirectory
from pgrescue.run.state import RunState
from pgrescue.survey.host import host_name, operator

_ASKED_BY = "abort-asked-by"


def check_owner(state: RunState, *, taking_over: bool) -> None:
    """Raise `Refused` if the run is somebody else's, or another machine's, unless taken over."""
    if taking_over:
        return
    if state.host != host_name():
        raise Refused(
            f"The run {state.run} is about the machine {state.host}; this is {host_name()}.",
            "The paths in it are that machine's, whatever lies at the same paths here.",
            next_steps=(
                f"on {state.host}: pgrescue status {state.run}",
                "if this is the same machine under a new name: the same command with --take-over",
            ),
        )
    if state.owner == operator():
        return
    raise Refused(
        f"The run {state.run} belongs to {state.owner}.",
        f"You are {operator()}. Two people at one run undo each other's work.",
        next_steps=(
            f"pgrescue attach {state.run}   watches it",
            f"once {state.owner} knows: the same command with --take-over",
        ),
    )


def ask_to_abort(directory: RunDirectory) -> None:
    """Leave word for the runner, who alone writes the journal, who it is that stops it."""
    # On a full disk nothing can be written; stopping the run must be possible all the same.
    with suppress(OSError):
        write_file(directory.path / _ASKED_BY, operator())


def asked_by(directory: RunDirectory) -> str | None:
    """Who asked this runner to stop; None where nobody left word, as with a plain SIGTERM."""
    try:
        return (directory.path / _ASKED_BY).read_text()
    except OSError:
        return None


def forget_request(directory: RunDirectory) -> None:
    """A request that an earlier runner did not live to hear says nothing about this one."""
    (directory.path / _ASKED_BY).unlink(missing_ok=True)


def take_over(journal: Journal, before: str, now: str | None) -> None:
    """Journal a change of hands, if it is one."""
    if now and now != before:
        journal.append(TakenOver(operator=now, before=before))
