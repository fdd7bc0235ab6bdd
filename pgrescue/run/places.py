"""What a run is about to move, looked at again under its lock: links may be planted meanwhile."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.errors import PgRescueError, Refused, StepFailed
from pgrescue.plan.checks.places import Places, blockers_of
from pgrescue.plan.facts import Links
from pgrescue.plan.model import Move
from pgrescue.run.execution import RestoreExecution
from pgrescue.survey.cluster import ends_of, links_of
from pgrescue.survey.filesystem import path_facts
from pgrescue.survey.surroundings import surroundings

_MAKE_A_NEW_PLAN = "make a new plan with the same options and look at it again"


def check_places(execution: RestoreExecution) -> None:
    """Raise unless everything that is still to be moved or filled is the cluster's, and its alone.

    `Refused` before the first step, `StepFailed` later.
    """
    work = execution.work
    away = {item.path for item in execution.state().asides if item.done}
    left = tuple(m for m in work.moves if m.path not in away and os.path.lexists(m.path))
    for path in (work.data_directory, *(move.path for move in left)):
        if os.path.realpath(path) != path:
            raise _refusal(
                execution,
                f"{path} is reached through a link.",
                f"It was none when the plan was made; by now it leads to {os.path.realpath(path)}.",
            )
    links = _links_now(execution)
    ends = ends_of(links.tablespaces, links.wal_directory)
    for move in left:
        if move.path not in (work.data_directory, *ends):
            raise _refusal(
                execution,
                f"{move.path} is not the cluster's any more.",
                "No link in its data directory leads there; one did when the plan was made.",
            )
    for finding in blockers_of(_places(execution, links, left)):
        raise _refusal(execution, finding.message, finding.fix or "")


def _places(execution: RestoreExecution, links: Links, left: tuple[Move, ...]) -> Places:
    work = execution.work
    in_place = execution.plan.mode != "clone"
    filled = [os.path.realpath(item.destination) for item in work.tablespaces]
    return Places(
        cluster=path_facts(Path(work.data_directory)),
        identifier=work.system_identifier,
        links=links,
        moves=left,
        data_directory=work.data_directory,
        tablespaces=tuple(filled),
        surroundings=surroundings(
            work.data_directory,
            [move.path for move in left],
            [work.data_directory, *filled],
            work.neighbours,
        ),
        in_place=in_place,
    )


def _links_now(execution: RestoreExecution) -> Links:
    """The old data directory's links, wherever it is by now; of half of it, from both halves."""
    work = execution.work
    aside = next((m.aside for m in work.moves if m.path == work.data_directory), None)
    here = links_of(Path(work.data_directory))
    there = links_of(Path(aside)) if aside is not None else here
    first, second = (there, here) if there.wal_directory or there.tablespaces else (here, there)
    wal = first if first.wal_directory is not None else second
    return Links(
        tablespaces=first.tablespaces or second.tablespaces,
        wal_directory=wal.wal_directory,
        wal_stranger=wal.wal_stranger,
        wal_identifier=wal.wal_identifier,
    )


def _refusal(execution: RestoreExecution, title: str, cause: str) -> PgRescueError:
    kind = StepFailed if execution.step else Refused
    return kind(title, cause, next_steps=(_MAKE_A_NEW_PLAN,))
