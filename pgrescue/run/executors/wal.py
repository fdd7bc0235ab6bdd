"""Serving recovery its WAL: the backup's own beside the data directory, and fetch-wal."""

from __future__ import annotations

import os
from pathlib import Path

from pgrescue.catalog.contents import is_wal
from pgrescue.errors import StepFailed
from pgrescue.plan.command_trial import Attempt
from pgrescue.plan.fetch_wal import NAME as FETCH_WAL
from pgrescue.plan.fetch_wal import restore_command_for
from pgrescue.plan.work import expected_wal, fetch_wal_text
from pgrescue.run.deletion import clear_own, make_anew
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.unpack import Destination, Unpacker, tar_entries
from pgrescue.survey.command_trial import try_restore_command

_TRIAL_SECONDS = 300.0
"""Longer than a preflight takes: here is nothing left but to wait for an archive that is slow."""


def place_wal(execution: RestoreExecution) -> str:
    """Unpack the backup's WAL into the staging directory and write the script that serves it."""
    work, part = execution.work, execution.work.chain[-1]
    place = Path(work.staging, "backup")
    if part.wal_archive is not None:
        clear_own(execution, str(place))
        unpacker = Unpacker(work, None, lambda _done, _name: execution.check_abort())
        to_staging = Destination(place, "wal", "pg_wal/", left_out=_is_no_wal)
        unpacker.write_all(tar_entries(Path(part.path, part.wal_archive)), to_staging)
    script = Path(work.staging, FETCH_WAL)
    execution.write_owned(script, fetch_wal_text(work), mode=0o700)
    _try(execution, script)
    return f"{len(os.listdir(place))} WAL files, served by {script}"


def _is_no_wal(name: str) -> bool:
    """What recovery will not ask for: marks of archiving, and what somebody else has put there."""
    return "/" in name or not is_wal(name)


def _try(execution: RestoreExecution, script: Path) -> None:
    """Call the script as the server will: what the plan has seen must arrive, nothing else.

    That the last file is not whole is only told: recovery may stop before it.
    """
    work = execution.work
    wanted = [name for name in (work.first_wal, work.last_wal) if name is not None]
    there = tuple(dict.fromkeys(wanted))
    place = f"{work.staging}/trial"
    make_anew(execution, place)  # of what a trial that was killed has left in it, too
    trial = try_restore_command(
        restore_command_for(str(script)),
        work.owner,
        expected_wal(work),
        there,
        _TRIAL_SECONDS,
        place,
    )
    os.rmdir(place)
    for number, attempt in enumerate(trial.there):
        if attempt.answer == "fetched":
            continue
        if number:
            execution.note(f"{attempt.name} {_words(attempt)}: recovery will not get beyond it.")
            continue
        raise _does_not_serve(execution, script, attempt)
    if trial.missing is not None and trial.missing.answer != "not_there":
        raise _does_not_serve(execution, script, trial.missing)


def _words(attempt: Attempt) -> str:
    match attempt.answer:
        case "hung":
            return f"was not fetched within {attempt.seconds:.0f} seconds"
        case "not_there":
            return "is not there any more"
        case _:
            return f"cannot be fetched: {attempt.said or f'exit code {attempt.exit_code}'}"


def _does_not_serve(execution: RestoreExecution, script: Path, attempt: Attempt) -> StepFailed:
    account = execution.work.owner.name
    return StepFailed(
        f"Recovery would not get its WAL: {attempt.name} {_words(attempt)}.",
        f"{script} was tried as {account}, as the server will call it. {attempt.said}".strip(),
        unchanged="The server has not been started.",
        next_steps=(
            f"as {account}: {script} {attempt.name} /tmp/{attempt.name}",
            f"pgrescue resume {execution.directory.id}   tries again once the cause is mended",
            f"pgrescue undo {execution.directory.id}",
        ),
    )
