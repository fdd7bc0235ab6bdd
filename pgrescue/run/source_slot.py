"""What a re-seed needs of its source before it stops anything; the slot that it makes there.

pg_basebackup could make it, too, but not a second time when the copy is done again; and nobody
would drop one that no standby uses, which keeps WAL at the source until its disk is full.
"""

from __future__ import annotations

import psycopg

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Seed
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.records import DroppedSlot, MakingSlot
from pgrescue.survey.source import connect_again, replication_problem

_IDENTITY = "select system_identifier::text from pg_control_system()"
_NOT_OURS = "Somebody else has made it since the plan was made, perhaps for another standby."
_EXISTS = "select 1 from pg_replication_slots where slot_name = %s"
_MAKE = "select pg_create_physical_replication_slot(%s, true)"
_DROP = "select pg_drop_replication_slot(%s)"


def see_source(execution: RestoreExecution, seed: Seed) -> None:
    """Ask the source as this process will ask it again; raises `StepFailed` before anything is
    stopped if it does not answer, lets no copy be taken, or has the slot that is to be made."""
    title, owner = "The source cannot be copied any more.", execution.work.owner
    try:
        with connect_again(seed.conninfo, owner) as connection:
            row = connection.execute(_IDENTITY).fetchone()
            slot = seed.creates_slot
            taken = slot and connection.execute(_EXISTS, [slot]).fetchone() is not None
        problem = replication_problem(seed.conninfo, owner)
    except (psycopg.Error, OSError) as error:
        raise _nothing_begun(execution, title, str(error).strip()) from error
    identifier = execution.work.system_identifier
    if row is not None and row[0] != identifier:
        answers = f"Another server answers there: its system identifier is {row[0]}, not "
        raise _nothing_begun(execution, title, f"{answers}{identifier}.")
    if problem is not None:
        raise _nothing_begun(execution, title, problem)
    if taken and slot not in execution.state().slots:
        raise _nothing_begun(
            execution, f"The source has a replication slot {slot} by now.", _NOT_OURS
        )


def _nothing_begun(execution: RestoreExecution, title: str, cause: str) -> StepFailed:
    return StepFailed(
        title,
        cause,
        next_steps=(
            "make a new plan: pgrescue reseed --dry-run",
            f"or mend it, then: pgrescue resume {execution.directory.id}",
        ),
    )


def make_slot(execution: RestoreExecution, seed: Seed) -> None:
    """Make it, unless an earlier try of this run has; raises `StepFailed`.

    `see_source` has seen that there was none of that name: one that was announced is ours.
    """
    slot = seed.creates_slot
    if slot is None:
        return
    announced = slot in execution.state().slots
    try:
        with connect_again(seed.conninfo, execution.work.owner) as connection:
            exists = connection.execute(_EXISTS, [slot]).fetchone() is not None
            if exists and announced:
                return
            if exists:
                raise _slot_failed(execution, f"The source has a slot {slot} by now.", _NOT_OURS)
            if not announced:
                execution.journal.append(MakingSlot(slot=slot))
            connection.execute(_MAKE, [slot])
    except (psycopg.Error, OSError) as error:
        title = f"The replication slot {slot} could not be made at the source."
        raise _slot_failed(execution, title, str(error).strip()) from error
    execution.note(
        f"The replication slot {slot} was made at the source: it keeps WAL there until the standby "
        "follows, or an undo drops it."
    )


def _slot_failed(execution: RestoreExecution, title: str, cause: str) -> StepFailed:
    run = execution.directory.id
    return StepFailed(
        title,
        cause,
        next_steps=(f"mend it, then: pgrescue resume {run}", f"pgrescue undo {run}"),
    )


def drop_slot(execution: RestoreExecution, seed: Seed) -> str:
    """Drop what `make_slot` has made; that it cannot be done is told, with the way by hand."""
    for slot in execution.state().slots:
        try:
            with connect_again(seed.conninfo, execution.work.owner) as connection:
                if connection.execute(_EXISTS, [slot]).fetchone() is not None:
                    connection.execute(_DROP, [slot])
        except (psycopg.Error, OSError) as error:
            execution.note(
                f"The replication slot {slot} is still at the source and keeps WAL there "
                f"({str(error).strip()}). Drop it there: select pg_drop_replication_slot('{slot}')"
            )
            continue
        execution.journal.append(DroppedSlot(slot=slot))
    left = execution.state().slots
    return f"still there: {', '.join(left)}" if left else "dropped"
