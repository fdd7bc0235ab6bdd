"""How a cluster's server is stopped, started and asked: four kinds, as plain commands.

What a service says about itself is never the last word: after each stop and start the process
table and the data directory are looked at.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Literal

ServiceKind = Literal["systemd", "pg_ctlcluster", "pg_ctl", "command"]
SERVICE_KINDS: tuple[ServiceKind, ...] = ("systemd", "pg_ctlcluster", "pg_ctl", "command")


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


@dataclass(frozen=True, slots=True)
class ServiceTarget:
    """The server that a service is asked to act on."""

    data_directory: str
    bin_directory: str
    run_as: str | None
    log: str
    config_directory: str | None = None
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
            return _all("systemctl", ("stop", "start", "is-active"), (spec.unit or "postgresql",))
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
    options: tuple[str, ...] = ()
    if target.config_directory is not None:
        setting = f"config_file={target.config_directory}/postgresql.conf"
        options = ("-o", f"-c {shlex.quote(setting)}")
    return ServiceCommands(
        stop=Command((program, "stop", *where, "-m", "fast", "-w", "-t", seconds), target.run_as),
        start=Command((program, "start", *where, "-W", "-l", target.log, *options), target.run_as),
        status=Command((program, "status", *where), target.run_as),
    )
