"""Stopping and starting the server; the process table has the last word, not the service."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.model import Work
from pgrescue.plan.work import log_of, service_of
from pgrescue.postgres.data_directory import collected_log_sizes, read_control_file
from pgrescue.postgres.postmaster import (
    find_postmaster,
    has_zombies,
    is_alive,
    read_pid_file,
    server_processes,
)
from pgrescue.postgres.server_log import LogFollower, end_of_log
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.manager import check_manager_lets_go
from pgrescue.run.explained import server_failed
from pgrescue.run.ownership import create_anew
from pgrescue.run.programs import Running
from pgrescue.run.records import ServerStarting
from pgrescue.survey.service_subject import foreign_service

_POLL_SECONDS = 0.2
_APPEAR_SECONDS = 15.0
"""How long after its start command has ended a postmaster may take to show up."""
_REAPING_SECONDS = 5.0
_FAILED_SECONDS = 3.0
"""The same for a start command that has failed."""


def stop(execution: RestoreExecution) -> str:
    """Stop the server by its service and see that no process of it is left."""
    data = Path(execution.work.data_directory)
    check_manager_lets_go(execution)
    was_running = bool(server_processes(data))
    if not was_running and not execution.work.service.starts_by_itself:
        return "it was not running"
    _refuse_to_hit_another(execution, data)
    if execution.work.service.kind == "pg_ctl" and not _is_named(data):
        _interrupt_without_pid_file(execution, data)
    command = service_of(execution.work).stop
    completed = execution.programs.run(command, execution.work.stop_timeout)
    deadline = time.monotonic() + min(execution.work.stop_timeout, 60.0)
    while left := server_processes(data):
        if completed.exit_code != 0 or time.monotonic() > deadline:
            raise _still_running(execution, str(command), completed.output, left)
        time.sleep(_POLL_SECONDS)
    return "stopped" if was_running else "it was not running"


def _refuse_to_hit_another(execution: RestoreExecution, data: Path) -> None:
    """Whatever stops a server sends its signals to the process that `postmaster.pid` names.

    And a service stops its own server, which may be another one's.
    """
    postmaster = find_postmaster(data)
    foreign = foreign_service(execution.work.service, data, postmaster)
    if foreign is not None and foreign.forbids:
        raise StepFailed(
            "The configured service is that of another server.",
            f"{foreign.evidence}.",
            unchanged="Nothing was stopped.",
            next_steps=(
                "correct service in the configuration, and make a new plan",
                f"pgrescue undo {execution.directory.id}",
            ),
        )
    if postmaster is not None and postmaster.misnamed is not None:
        raise StepFailed(
            f"{data}/postmaster.pid names another process.",
            f"The server is process {postmaster.pid}, the file says {postmaster.misnamed}: to "
            "stop the one would end the other.",
            next_steps=(f"stop it by hand: kill -INT {postmaster.pid}", "pgrescue resume"),
        )


def _is_named(data: Path) -> bool:
    """Whether `postmaster.pid` names a live process: pg_ctl knows no other way."""
    pid_file = read_pid_file(data)
    return pid_file is not None and is_alive(pid_file.pid)


def _interrupt_without_pid_file(execution: RestoreExecution, data: Path) -> None:
    """Ask for a fast shutdown where pg_ctl cannot: the files were deleted under the server."""
    postmaster = find_postmaster(data)
    if postmaster is None:
        return
    execution.note(
        f"{data} has no postmaster.pid that names its server; process {postmaster.pid} is ended."
    )
    os.kill(postmaster.pid, signal.SIGINT)
    deadline = time.monotonic() + execution.work.stop_timeout
    while server_processes(data) and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)


def _still_running(
    execution: RestoreExecution, command: str, output: str, left: list[int]
) -> StepFailed:
    pids = ", ".join(str(pid) for pid in left[:5])
    return StepFailed(
        "The server is still running.",
        f"After '{command}' these processes still work in {execution.work.data_directory}: "
        f"{pids}. {output}".strip(),
        next_steps=(
            "see why it does not stop (open transactions, the archiver, a service of another name)",
            f"pgrescue resume {execution.directory.id}",
        ),
    )


def start(execution: RestoreExecution) -> str:
    """Give the start command and wait until the postmaster is there; recovery goes on by itself."""
    data = Path(execution.work.data_directory)
    if find_postmaster(data) is not None:
        return "it is running already"
    _await_reaping(execution)
    log = Path(log_of(execution.work))
    _prepare_log(execution, log)
    position = end_of_log(log)
    execution.journal.append(
        ServerStarting(log=str(log), position=position, collected=_collected(execution.work))
    )
    running = execution.programs.start(service_of(execution.work).start)
    execution.background.append(running)
    wait_for_postmaster(execution, running, LogFollower(log, position))
    return "started"


def _collected(work: Work) -> dict[str, int]:
    """What the logging collector may go on with; a clone has none, whatever the backup's has."""
    if work.settings.get("logging_collector") == "off":
        return {}
    data = Path(work.data_directory)
    return collected_log_sizes(data, Path(work.config_directory or data))


def wait_for_postmaster(
    execution: RestoreExecution, running: Running, follower: LogFollower
) -> None:
    """Until there is a postmaster, or it was there and has ended; raises `StepFailed` otherwise."""
    data = Path(execution.work.data_directory)
    deadline: float | None = None
    while find_postmaster(data) is None:
        log = follower.poll()
        if log.shut_down_at_target or log.failures:
            return  # it came and went: the next step reads why
        completed = running.poll()
        if completed is not None and _went_down_as_planned(execution):
            return
        if completed is not None and deadline is None:
            patience = _APPEAR_SECONDS if completed.exit_code == 0 else _FAILED_SECONDS
            deadline = time.monotonic() + patience
        if deadline is not None and time.monotonic() > deadline:
            output = completed.output if completed else ""
            raise server_failed(execution, "The server did not start.", output)
        execution.wait(_POLL_SECONDS)


def _await_reaping(execution: RestoreExecution) -> None:
    """Some containers reap late; a killed server's lock files would keep the new one out."""
    deadline = time.monotonic() + _REAPING_SECONDS
    while has_zombies() and time.monotonic() < deadline:
        execution.wait(_POLL_SECONDS)


def _went_down_as_planned(execution: RestoreExecution) -> bool:
    """Whether the server reached its target and shut down before anybody saw it run."""
    if execution.work.at_the_end != "shutdown":
        return False
    control, _ = read_control_file(Path(execution.work.data_directory))
    return control is not None and control.state == "shut down in recovery"


def await_start_command(execution: RestoreExecution) -> None:
    """Until a start command that was given has ended, and its server had time to appear."""
    deadline = time.monotonic() + _APPEAR_SECONDS
    data = Path(execution.work.data_directory)
    while time.monotonic() < deadline and find_postmaster(data) is None:
        if all(running.poll() is not None for running in execution.background):
            deadline = min(deadline, time.monotonic() + _FAILED_SECONDS)
        time.sleep(_POLL_SECONDS)


def _prepare_log(execution: RestoreExecution, log: Path) -> None:
    """pg_ctl opens the log as the server's account, which may not create files beside the data."""
    if execution.work.service.kind == "pg_ctl" and not os.path.lexists(log):
        os.close(create_anew(log, 0o600))
        execution.give_to_owner(log, 0o600)
