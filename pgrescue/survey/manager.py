"""Who else starts and stops the server: high-availability managers, and whether they are paused.

A living process is what counts. What it has left in the data directory (`patroni.dynamic.json`)
comes back out of every backup, and only tells that there was one.
"""

from __future__ import annotations

import http.client
import os
import ssl
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pgrescue.config.supervisor import systemctl, systemd_runs, unit_of
from pgrescue.plan.checks.manager import UNITS
from pgrescue.plan.facts import Manager, ManagerName
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.survey import manager_words as words

_PROC = Path("/proc")
_PATRONIS_FILE = "patroni.dynamic.json"
_REPMGRDS_FILE = "pg_stat/repmgrd_state.txt"
_REPMGR_CONF = "/etc/repmgr.conf"
_CIB = "/var/lib/pacemaker/cib/cib.xml"
_POD = "/var/run/secrets/kubernetes.io"
_REST_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Process:
    """A process that may be a manager."""

    pid: int
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    directory: str
    """Its working directory, which relative paths start from."""
    is_elsewhere: bool = False
    """Whether it sees other mounts than we do, as in a container."""
    unit: str | None = None

    def path(self, name: str) -> str:
        """An absolute path as the process sees it."""
        return os.path.normpath(os.path.join(self.directory, name))

    def visible(self, name: str) -> str:
        """A path by which we reach what the process calls so."""
        path = self.path(name)
        return f"{_PROC}/{self.pid}/root{path}" if self.is_elsewhere else path

    def read(self, name: str) -> str | None:
        """A file as the process would read it; those of a directory (`*.yml`) one after another."""
        place = Path(self.visible(name))
        try:
            if not place.is_dir():
                return place.read_text(errors="replace")
            files = sorted(item for item in place.iterdir() if item.suffix in (".yml", ".yaml"))
            return "\n".join(item.read_text(errors="replace") for item in files)
        except OSError:
            return None

    def means(self, name: str, data_directory: Path) -> bool:
        """Whether what the process calls so is this data directory."""
        path = self.visible(name)
        with suppress(OSError):
            return os.path.samefile(path, data_directory)
        return not self.is_elsewhere and os.path.realpath(path) == os.path.realpath(data_directory)


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a manager says about the server that it looks after."""

    place: str | None
    """Its data directory; None if it could not be found out."""
    configuration: str | None = None
    subject: str | None = None
    settings: Mapping[str, str] | None = None
    is_paused: bool = False


def find_manager(data_directory: Path) -> Manager | None:
    """The manager of the server on this data directory, if there is or was one."""
    found = [
        manager
        for name, process in managers(_processes())
        if (manager := manager_by_process(name, process, data_directory)) is not None
    ]
    found += _by_unit(data_directory) if not found else []
    if not found and os.path.exists(data_directory / _PATRONIS_FILE):
        return Manager("Patroni", "gone", str(data_directory / _PATRONIS_FILE))
    if not found and (sign := _sign_of_kubernetes()) is not None:
        return Manager("Kubernetes", "perhaps", sign)
    return min(found, key=lambda manager: manager.state != "in charge", default=None)


def _sign_of_kubernetes() -> str | None:
    """What every container of a pod has, unless it was told not to."""
    if "KUBERNETES_SERVICE_HOST" in os.environ:
        return "KUBERNETES_SERVICE_HOST is set"
    return _POD if os.path.isdir(_POD) else None


def manager_state(data_directory: Path) -> str:
    """In words that can be compared; one that has only left traces does nothing."""
    manager = find_manager(data_directory)
    if manager is None or manager.state in ("gone", "perhaps"):
        return "none"
    return f"{manager.name}, {manager.state}"


def managers(processes: Iterator[Process]) -> list[tuple[ManagerName, Process]]:
    """The managers among some processes."""
    named = [(words.manager_of(process.argv), process) for process in processes]
    return [(name, process) for name, process in named if name is not None]


def manager_by_process(name: ManagerName, process: Process, data_directory: Path) -> Manager | None:
    """What a living manager is to this data directory; None if it looks after others only.

    One that does not let itself be asked may be in charge, so it counts as that.
    """
    for claim in _claims(name, process):
        if claim.place is not None and not process.means(claim.place, data_directory):
            continue
        evidence = " ".join(filter(None, (f"process {process.pid},", name, claim.configuration)))
        if claim.place is None:
            evidence += ", which does not tell what it manages"
        paused = claim.is_paused or _is_paused(name, claim, data_directory)
        return Manager(
            name,
            "paused" if paused and claim.place is not None else "in charge",
            evidence,
            claim.configuration,
            claim.subject,
            process.unit,
        )
    return None


def _claims(name: ManagerName, process: Process) -> list[_Claim]:
    environment, argv = process.environment, process.argv
    match name:
        case "Patroni":
            return [_patronis_claim(process)]
        case "repmgrd":
            given = words.option(argv, "-f", "--config-file") or _REPMGR_CONF
            settings = words.assignments(process.read(given) or "")
            return [_Claim(settings.get("data_directory"), process.path(given))]
        case "pg_auto_failover":
            place = words.option(argv, "--pgdata", "-D") or environment.get("PGDATA")
            return [_Claim(place, subject=place and process.path(place))]
        case "Stolon":
            place = words.option(argv, "--data-dir", "-d") or environment.get("STKEEPER_DATA_DIR")
            return [_Claim(place and f"{place}/postgres")]
        case "CloudNativePG" | "Kubernetes":
            return [_Claim(environment.get("PGDATA"))]
        case "Pacemaker":
            try:
                known = words.resources_in(process.read(_CIB) or "")
            except ValueError:
                return [_Claim(None)]
            return [
                _Claim(item.data_directory, None, item.name, is_paused=not item.is_managed)
                for item in known
            ]


def _patronis_claim(process: Process) -> _Claim:
    """From its file and its environment, of which the latter wins, as in Patroni's `config.py`."""
    environment = process.environment
    given = words.first_argument(process.argv)
    text = process.read(given) if given else environment.get("PATRONI_CONFIGURATION")
    settings = words.yaml_settings(text or "")
    for variable, name in (
        ("PATRONI_POSTGRESQL_DATA_DIR", "postgresql.data_dir"),
        ("PATRONI_RESTAPI_LISTEN", "restapi.listen"),
        ("PATRONI_RESTAPI_CONNECT_ADDRESS", "restapi.connect_address"),
        ("PATRONI_RESTAPI_CERTFILE", "restapi.certfile"),
        ("PATRONI_SCOPE", "scope"),
    ):
        if variable in environment:
            settings[name] = environment[variable]
    return _Claim(
        place=settings.get("postgresql.data_dir"),
        configuration=process.path(given) if given else None,
        subject=settings.get("scope"),
        settings=settings,
    )


def _is_paused(name: ManagerName, claim: _Claim, data_directory: Path) -> bool:
    if name == "repmgrd":
        return words.repmgrd_is_paused(_read(data_directory / _REPMGRDS_FILE))
    if name != "Patroni":
        return False
    said = _asked(claim.settings or {})
    if said is None:
        # The file is what the last Patroni knew here, or what a backup has brought back.
        said = words.says_pause(_read(data_directory / _PATRONIS_FILE))
    return said is True


def _asked(settings: Mapping[str, str]) -> bool | None:
    """What Patroni's REST API says of the pause; None if it does not answer for this scope."""
    for name in ("restapi.listen", "restapi.connect_address"):
        host, _, port = settings.get(name, "").rpartition(":")
        host = host.strip("[]")
        if not port.isdigit():
            continue
        here = "127.0.0.1" if host in ("", "*", "0.0.0.0") else "::1" if host == "::" else host
        answer = _get(here, int(port), encrypted="restapi.certfile" in settings)
        said = words.says_pause(answer, settings.get("scope", "")) if answer else None
        if said is not None:
            return said
    return None


def _get(host: str, port: int, *, encrypted: bool) -> str | None:
    """GET /patroni, past every proxy; the status code only tells the server's role."""
    if encrypted:
        context = ssl.create_default_context()
        # Certificates are made out to the address that other members use.
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection: http.client.HTTPConnection = http.client.HTTPSConnection(
            host, port, timeout=_REST_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_REST_SECONDS)
    try:
        connection.request("GET", "/patroni")
        return connection.getresponse().read(1 << 20).decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def _by_unit(data_directory: Path) -> list[Manager]:
    """Managers that systemd is about to start, or that go by another name within their unit."""
    if not systemd_runs():
        return []
    postmaster = find_postmaster(data_directory)
    own = unit_of(postmaster.pid) if postmaster is not None else None
    return [
        Manager(name, "in charge", f"unit {unit} is {state}", unit=unit)
        for unit, state in words.units_in(_list_units()).items()
        if (name := words.manager_of_unit(unit)) is not None
        and (state in ("activating", "reloading") or (state == "active" and unit == own))
    ]


def _list_units() -> str:
    patterns = (f"{name}*.service" for name in UNITS)
    return systemctl("list-units", "--all", "--plain", "--no-legend", "--no-pager", *patterns)


def _processes() -> Iterator[Process]:
    own = _namespace("self")
    for entry in os.listdir(_PROC):
        if not entry.isdigit():
            continue
        argv = tuple(_fields(entry, "cmdline"))
        if words.manager_of(argv) is None:
            continue
        try:
            directory = os.readlink(_PROC / entry / "cwd")
        except OSError:
            directory = "/"
        there = _namespace(entry)
        yield Process(
            pid=int(entry),
            argv=argv,
            environment=dict(
                pair.split("=", 1) for pair in _fields(entry, "environ") if "=" in pair
            ),
            directory=directory,
            is_elsewhere=there is not None and there != own,
            unit=unit_of(int(entry)) if systemd_runs() else None,
        )


def _namespace(pid: str) -> str | None:
    try:
        return os.readlink(_PROC / pid / "ns/mnt")
    except OSError:
        return None


def _fields(pid: str, name: str) -> list[str]:
    try:
        raw = (_PROC / pid / name).read_bytes()
    except OSError:
        return []
    return [os.fsdecode(part) for part in raw.rstrip(b"\0").split(b"\0")] if raw else []


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
