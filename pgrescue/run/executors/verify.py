"""Looking into the restored server; and ending its pause."""

from __future__ import annotations

from pathlib import Path

import psycopg

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Work
from pgrescue.postgres.data_directory import read_control_file
from pgrescue.postgres.postmaster import Postmaster, find_postmaster
from pgrescue.postgres.probe import Probe, connection_parameters
from pgrescue.postgres.service import Command
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.recovery_watch import cannot_be_asked
from pgrescue.run.executors.replay import replay


def verify(execution: RestoreExecution) -> str:
    """Check that it is the right cluster and that its databases can be entered."""
    work = execution.work
    data = Path(work.data_directory)
    postmaster = find_postmaster(data)
    if postmaster is None:
        return _verify_offline(execution)
    probe = Probe(postmaster, work.owner, work.conninfo)
    try:
        identifier = probe.system_identifier()
        databases = probe.databases()
    except psycopg.Error as error:
        raise cannot_be_asked(execution, error) from error
    if work.system_identifier is not None and identifier != work.system_identifier:
        raise StepFailed(
            "The server that answers is another one.",
            f"Its system identifier is {identifier}, the backup's {work.system_identifier}.",
            next_steps=(
                "see who listens there: ss -ltnp; ss -lxp | grep PGSQL",
                f"pgrescue resume {execution.directory.id}",
            ),
        )
    for database in databases:
        if not database.usable:
            execution.note(f"Database {database.name} cannot be entered: {database.problem}")
    if work.at_the_end == "pause" or work.lasting_settings:
        execution.note(f"Look around: {psql_command(postmaster, work)}")
    usable = [database for database in databases if database.usable]
    tables = sum(database.tables or 0 for database in usable)
    return f"{len(usable)} databases with {tables} tables answer"


def psql_command(postmaster: Postmaster, work: Work) -> str:
    """How a person gets into this server."""
    parameters = connection_parameters(postmaster, work.owner, work.conninfo)
    named = " ".join(f"{key}={parameters[key]}" for key in ("host", "port", "user", "dbname"))
    # At a pause, tables of the first undone transaction may be locked: better an error than a hang.
    limit = "PGOPTIONS='-c lock_timeout=5s'"
    return f"{limit} {Command((f'{work.bin_directory}/psql', named), work.run_as)}"


def _verify_offline(execution: RestoreExecution) -> str:
    if execution.work.at_the_end != "shutdown":
        raise StepFailed(
            "The restored server is not running any more.",
            f"No server works in {execution.work.data_directory}.",
            next_steps=(
                f"pgrescue resume {execution.directory.id}   starts it again",
                f"pgrescue undo {execution.directory.id}",
            ),
        )
    control, problem = read_control_file(Path(execution.work.data_directory))
    if control is None:
        raise StepFailed("The restored pg_control cannot be read.", problem or "")
    if control.system_identifier != (execution.work.system_identifier or control.system_identifier):
        raise StepFailed("The restored data directory is of another cluster.")
    return f"the server is down as planned: {control.state}"


def is_paused(execution: RestoreExecution) -> bool:
    """Whether the server waits at its target; one that cannot be asked is taken to."""
    work = execution.work
    postmaster = find_postmaster(Path(work.data_directory))
    if postmaster is None:
        return True
    try:
        return Probe(postmaster, work.owner, work.conninfo).recovery(work.major).in_recovery
    except psycopg.Error:
        return True


def promote(execution: RestoreExecution) -> str:
    """End the pause at the target and see the server open for writing."""
    work = execution.work
    postmaster = find_postmaster(Path(work.data_directory))
    if postmaster is None:
        raise StepFailed(
            "The server that was paused at its target is not running any more.",
            f"No server works in {work.data_directory}.",
            next_steps=(
                "start it with its service, then resume",
                f"pgrescue undo {execution.directory.id}",
            ),
        )
    probe = Probe(postmaster, work.owner, work.conninfo)
    try:
        if probe.recovery(work.major).in_recovery:
            probe.resume_replay()
    except psycopg.Error as error:
        raise StepFailed(
            "The server could not be told to go on.",
            str(error).strip(),
            next_steps=(
                f"pgrescue resume {execution.directory.id}   starts it again if it is down",
                f"pgrescue undo {execution.directory.id}",
            ),
        ) from error
    return _until_open(execution)


def _until_open(execution: RestoreExecution) -> str:
    work = execution.work
    while True:
        postmaster = find_postmaster(Path(work.data_directory))
        if postmaster is None:
            return replay(execution)  # it went down: that knows how to say why
        try:
            status = Probe(postmaster, work.owner, work.conninfo).recovery(work.major)
        except psycopg.Error:
            status = None
        if status is not None and not status.in_recovery:
            return f"open for writing on timeline {status.timeline}"
        execution.wait(0.3)
