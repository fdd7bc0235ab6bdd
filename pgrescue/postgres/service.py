"""How a cluster's server is stopped, started and asked: four kinds, as plain commands.

What a service says about itself is never the last word: after each stop and start the process
table and the data directory are looked at.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from typing import Literal

ServiceKind = Literal["systemd", "pg_ctlcluster", "pg_ctl", "command"]
SERVICE_KINDS: tuple[ServiceKind, ...] = ("systemd", "pg_ctlcluster", "pg_ctl", "command")


_SHELL_SPECIAL = re.compile(r'["$`\\]')
"""What keeps its meaning between double quotes, where `start_postmaster` in
`src/bin/pg_ctl/pg_ctl.c` puts every path."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program to run; `user` names the account where it is not ours (None: whoever runs us)."""

    argv: tuple[str, ...]
    user: str | None = None

    def __str__(self) -> str:
        """The command as a shell would take it."""
        line = shlex.join(self.argv)
        return f"runuser -u {shlex.quote(self.user)} -- {line}" if self.user else line


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One cluster's service; which fields matter depends on the kind."""

    kind: ServiceKind = "pg_ctl"
    unit: str | None = None
    """systemd: the unit, such as `postgresql@15-main`."""
    version: str | None = None
    cluster: str | None = None
    """pg_ctlcluster: version and cluster name."""
    start: str | None = None
    stop: str | None = None
    status: str | None = None
    """command: shell command lines; `status` exits 0 when the server runs."""

    @property
    def unit_name(self) -> str:
        """systemd: the unit, named or the usual one."""
        return self.unit or "postgresql"

    @property
    def starts_by_itself(self) -> bool:
        """Whether it must be stopped although no server runs, because it may be about to start one.

        A unit does so while a start job is under way, and between the attempts of `Restart=`.
        """
        return self.kind == "systemd"


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """The server that a service is asked to act on."""

    data_directory: str
    bin_directory: str
    run_as: str | None
    log: str
    config_directory: str | None = None
    pinned: bool = False
    """Whether the server must not be led to another data directory by its own configuration."""
    stop_timeout: float = 300.0
    """Seconds that pg_ctl waits for the server to go down."""


@dataclass(frozen=True, slots=True)
class ServiceCommands:
    """The three commands of a service."""

    stop: Command
    start: Command
    status: Command


def service_commands(spec: ServiceSpec, target: ServiceTarget) -> ServiceCommands:
    """The commands for this kind of service.

    `pg_ctl start` does not wait (`-W`): recovery may take hours, and pgrescue watches it itself.
    """
    match spec.kind:
        case "systemd":
            return _all("systemctl", ("stop", "start", "is-active"), (spec.unit_name,))
        case "pg_ctlcluster":
            name = (spec.version or "", spec.cluster or "")
            return ServiceCommands(
                stop=Command(("pg_ctlcluster", *name, "stop", "-m", "fast")),
                start=Command(("pg_ctlcluster", *name, "start")),
                status=Command(("pg_ctlcluster", *name, "status")),
            )
        case "command":
            return ServiceCommands(
                stop=_shell(spec.stop), start=_shell(spec.start), status=_shell(spec.status)
            )
        case "pg_ctl":
            return _pg_ctl(target)


def _all(program: str, verbs: tuple[str, str, str], rest: tuple[str, ...]) -> ServiceCommands:
    stop, start, status = (Command((program, verb, *rest)) for verb in verbs)
    return ServiceCommands(stop, start, status)


def _shell(line: str | None) -> Command:
    return Command(("/bin/sh", "-c", line or "false"))


def _pg_ctl(target: ServiceTarget) -> ServiceCommands:
    program = f"{target.bin_directory}/pg_ctl"
    where = ("-D", target.data_directory)
    seconds = str(int(target.stop_timeout))
    settings = _command_line_settings(target)
    options: tuple[str, ...] = ()
    if settings:
        options = ("-o", " ".join(f"-c {shlex.quote(setting)}" for setting in settings))
    start: tuple[str, ...] = (program, "start", *where, "-W", "-l", target.log, *options)
    if _SHELL_SPECIAL.search(f"{target.bin_directory}{target.data_directory}{target.log}"):
        start = _start_without_pg_ctl(target)
    return ServiceCommands(
        stop=Command((program, "stop", *where, "-m", "fast", "-w", "-t", seconds), target.run_as),
        start=Command(start, target.run_as),
        status=Command((program, "status", *where), target.run_as),
    )


def _command_line_settings(target: ServiceTarget) -> list[str]:
    """What can only be set on the command line: it wins over every file."""
    settings = []
    if target.config_directory is not None:
        settings.append(f"config_file={target.config_directory}/postgresql.conf")
    if target.pinned:
        settings.append(f"data_directory={target.data_directory}")
    return settings


def _start_without_pg_ctl(target: ServiceTarget) -> tuple[str, ...]:
    """What `pg_ctl start` does, for paths that its shell would take apart or execute."""
    configured = tuple(
        word for setting in _command_line_settings(target) for word in ("-c", setting)
    )
    script = 'log=$1; shift; setsid "$@" </dev/null >>"$log" 2>&1 &'
    server = (f"{target.bin_directory}/postgres", "-D", target.data_directory, *configured)
    return ("/bin/sh", "-c", script, "start", target.log, *server)
