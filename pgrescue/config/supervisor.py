"""Who starts and stops a cluster's server: which kind of service it belongs to."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from pgrescue.config.debian import DebianCluster
from pgrescue.postgres.service import ServiceKind, ServiceSpec

_PROC = Path("/proc")
_SYSTEMD_RUNS = Path("/run/systemd/system")
_RED_HAT = re.compile(r"/var/lib/pgsql/(\d+)/data")


@dataclass(frozen=True, slots=True)
class Supervisor:
    """A service, a sentence on how it was worked out, and a warning if something is odd."""

    spec: ServiceSpec
    origin: str
    warning: str | None = None


def systemd_runs() -> bool:
    """Whether this host was booted with systemd, by the test of sd_booted(3)."""
    return _SYSTEMD_RUNS.is_dir()


def find_supervisor(
    data_directory: Path, pid: int | None, debian: DebianCluster | None
) -> Supervisor:
    """The service of a cluster whose postmaster is `pid` (None if it does not run)."""
    if not systemd_runs():
        kind: ServiceKind = "pg_ctl" if debian is None else "pg_ctlcluster"
        return Supervisor(
            service_of_kind(kind, data_directory, debian) or ServiceSpec(),
            f"{_layout(debian)}, and systemd does not run here",
        )
    unit = None if pid is None else unit_of(pid)
    if unit is not None and main_pid(unit) == pid:
        return Supervisor(ServiceSpec("systemd", unit=unit), f"{unit} runs process {pid}")
    spec = service_of_kind("systemd", data_directory, debian)
    origin = f"the package's unit: {_layout(debian)}" if spec else "no systemd unit belongs to it"
    spec = spec or ServiceSpec()
    warning = None
    if unit is not None and spec.unit != unit:
        warning = (
            f"The running server was started within {unit}.service, but is not its main process. "
            "If that is a cluster manager such as Patroni, pause it before a restore."
        )
    return Supervisor(spec, origin, warning)


def service_of_kind(
    kind: ServiceKind, data_directory: Path, debian: DebianCluster | None
) -> ServiceSpec | None:
    """A service of this kind, if its fields follow from where the cluster lies."""
    red_hat = _RED_HAT.fullmatch(str(data_directory))
    match kind:
        case "pg_ctl":
            return ServiceSpec("pg_ctl")
        case "pg_ctlcluster" if debian is not None:
            return ServiceSpec("pg_ctlcluster", version=debian.version, cluster=debian.name)
        case "systemd" if debian is not None:
            return ServiceSpec("systemd", unit=debian.unit)
        case "systemd" if red_hat is not None:
            return ServiceSpec("systemd", unit=f"postgresql-{red_hat[1]}")
        case _:
            return None


def unit_of(pid: int) -> str | None:
    """The systemd service (without `.service`) whose control group holds the process, if any."""
    try:
        return unit_in_cgroup((_PROC / str(pid) / "cgroup").read_text())
    except OSError:
        return None


def unit_in_cgroup(text: str) -> str | None:
    """The innermost service in the text of `/proc/PID/cgroup` (cgroups(7)), version 1 or 2."""
    for line in text.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" or controllers == "name=systemd":
            services = [part for part in path.split("/") if part.endswith(".service")]
            if services:
                return services[-1].removesuffix(".service")
    return None


def main_pid(unit: str) -> int | None:
    """The main process of a unit, or None if it has none or systemd does not answer."""
    text = systemctl("show", "--property=MainPID", "--value", f"{unit}.service").strip()
    return int(text) or None if text.isdigit() else None


def systemctl(*arguments: str) -> str:
    """What systemctl prints; nothing if it does not answer."""
    try:
        return subprocess.run(
            ("systemctl", *arguments), capture_output=True, text=True, timeout=10, check=False
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _layout(debian: DebianCluster | None) -> str:
    if debian is not None:
        return f"{debian.config_directory} has its configuration"
    return "no package's layout was recognized"
