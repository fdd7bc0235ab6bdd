"""The replication slot that a re-seed makes at its source, and takes back with itself.

pg_basebackup could make it, too, but not a second time when the copy is done again; and nobody
would drop one that no standby uses, which keeps WAL at the source until its disk is full.
"""

from __future__ import annotations

import psycopg

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Seed
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.records import DroppedSlot, MakingSlot
from pgrescue.survey.source import connect_again

_EXISTS = "select 1 from pg_replication_slots where slot_name = %s"
_MAKE = "select pg_create_physical_replication_slot(%s, true)"
_DROP = "select pg_drop_replication_slot(%s)"


def make_slot(execution: RestoreExecution, seed: Seed) -> None:
    """Make it, unless an earlier try of this run has; raises `StepFailed`.

    The plan was refused if there was one of that name, so that one which was announced is ours.
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
            if not announced:
                execution.journal.append(MakingSlot(slot=slot))
            if not exists:
                connection.execute(_MAKE, [slot])
    except (psycopg.Error, OSError) as error:
        run = execution.directory.id
        raise StepFailed(
            f"The replication slot {slot} could not be made at the source.",
            str(error).strip(),
            unchanged="The old data is untouched where it was set aside.",
            next_steps=(f"mend it, then: pgrescue resume {run}", f"pgrescue undo {run}"),
        ) from error
    execution.note(
        f"The replication slot {slot} was made at the source: it keeps WAL there until the standby "
        "follows, or an undo drops it."
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
