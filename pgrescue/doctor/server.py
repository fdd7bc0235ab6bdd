"""Checks of the data directory, its server, and the service that runs it."""

from __future__ import annotations

import os
import subprocess
from dataclasses import replace

from pgrescue.config.supervisor import main_pid, unit_of
from pgrescue.doctor.subject import Subject
from pgrescue.findings import Finding
from pgrescue.plan.checks.manager import finding_about
from pgrescue.postgres.account import Account, account_by_name
from pgrescue.postgres.control_file import SHUT_DOWN_CLEANLY
from pgrescue.postgres.service import Command, ServiceTarget, service_commands
from pgrescue.survey.manager import find_manager

_STATUS_SECONDS = 20


def data_directory(subject: Subject) -> list[Finding]:
    """What lies where the cluster should be."""
    path, code = subject.cluster.data_directory, "cluster.data_directory"
    try:
        entries = os.listdir(path)
    except FileNotFoundError:
        message = f"{path} does not exist; a restore creates it."
        return [Finding(code, "warning", message, "pgrescue restore")]
    except OSError as error:
        return [Finding(code, "blocker", f"{path}: {error.strerror}.", "run it as root")]
    if not entries:
        return [Finding(code, "warning", f"{path} is empty.", "pgrescue restore")]
    if "PG_VERSION" not in entries and subject.control is None:
        message = f"{path} holds files, but is no data directory: no PG_VERSION, no pg_control."
        return [Finding(code, "blocker", message, "correct data_directory, or move the files away")]
    if subject.control is None:
        message = f"{path} has no pg_control that can be read; no server can start on it."
        return [Finding(code, "warning", message, "pgrescue restore")]
    state = subject.control.state
    message = f"{path} is PostgreSQL {subject.major}, pg_control says '{state}'"
    if subject.server is None and state not in SHUT_DOWN_CLEANLY:
        message += ": its server did not shut down cleanly"
    return [Finding(code, "ok", f"{message}.")]


def server(subject: Subject) -> list[Finding]:
    """Whether a server runs; either is fine."""
    running = subject.server
    if running is None:
        return [Finding("cluster.server", "ok", "No server runs on the data directory.")]
    port = f" on port {running.port}" if running.port else ""
    status = f", {running.status}" if running.status else ""
    message = f"The server runs as process {running.pid}{port}{status}."
    return [Finding("cluster.server", "ok", message)]


def manager(subject: Subject) -> list[Finding]:
    """Who else starts and stops the server; on a calm day it may well be in charge."""
    found = find_manager(subject.cluster.data_directory)
    return [] if found is None else [replace(finding_about(found), status="warning")]


def service(subject: Subject) -> list[Finding]:
    """The service's word on whether the server runs is the process table's."""
    kind, code = subject.cluster.service.kind, "service.status"
    command = _status_command(subject)
    if command is None:
        return []
    says_running, answer = _ask(command)
    if says_running is None:
        return [Finding(code, "blocker", f"`{command}` cannot be run: {answer}.", _fix_service())]
    runs = subject.server is not None
    if says_running and not runs:
        message = f"`{command}` says that the server runs, but no process of it does."
        return [Finding(code, "warning", message, _fix_service())]
    if runs and not says_running:
        message = (
            f"The server runs as process {subject.server and subject.server.pid}, but `{command}` "
            f"says it does not{f' ({answer})' if answer else ''}: it cannot be stopped that way."
        )
        return [Finding(code, "blocker", message, _fix_service())]
    state = "running" if runs else "down"
    found = [Finding(code, "ok", f"The {kind} service agrees that the server is {state}.")]
    return found + _other_supervisor(subject)


def _other_supervisor(subject: Subject) -> list[Finding]:
    """A server that systemd would start again when it is stopped by other means."""
    if subject.server is None or subject.cluster.service.kind == "systemd":
        return []
    unit = unit_of(subject.server.pid)
    if unit is None or main_pid(unit) != subject.server.pid:
        return []
    message = f"systemd runs the server as {unit}; stopping it by other means may not last."
    fix = f'service = {{ kind = "systemd", unit = "{unit}" }}'
    return [Finding("service.supervisor", "warning", message, fix)]


def _status_command(subject: Subject) -> Command | None:
    cluster, owner = subject.cluster, subject.owner
    if cluster.service.kind == "pg_ctl" and (
        subject.bin_directory is None
        or owner is None
        # pg_ctl status fails on what is no data directory, which has a finding of its own.
        or not os.path.exists(cluster.data_directory / "PG_VERSION")
    ):
        return None
    target = ServiceTarget(
        data_directory=str(cluster.data_directory),
        bin_directory=str(subject.bin_directory),
        run_as=owner.name if owner is not None and owner.must_switch else None,
        log=str(cluster.log or ""),
        config_directory=str(cluster.config_directory) if cluster.config_directory else None,
    )
    return service_commands(cluster.service, target).status


def _ask(command: Command) -> tuple[bool | None, str]:
    """Whether the command says that the server runs (None: it could not be run), and its words."""
    account = account_by_name(command.user) if command.user is not None else None
    try:
        result = subprocess.run(
            command.argv,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_STATUS_SECONDS,
            check=False,
            cwd="/",
            stdin=subprocess.DEVNULL,
            **(account.spawn_arguments() if isinstance(account, Account) else {}),
        )
    except subprocess.TimeoutExpired:
        return None, f"no answer within {_STATUS_SECONDS} s"
    except OSError as error:
        return None, str(error.strerror)
    words = (result.stdout.strip() or result.stderr.strip()).splitlines()
    answer = words[0] if words else ""
    if result.returncode in (126, 127):
        return None, answer or "command not found"
    return result.returncode == 0, answer


def _fix_service() -> str:
    return "correct the cluster's [service] table; `pgrescue init` works out what fits"
