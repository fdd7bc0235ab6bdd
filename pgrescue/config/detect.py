"""What can be found out about a cluster, running or stopped, before it has a configuration."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from pgrescue.config.archive_command import archive_directory
from pgrescue.config.binaries import Programs, find_programs, program_of
from pgrescue.config.candidates import Candidate, only_candidate
from pgrescue.config.debian import debian_cluster_of
from pgrescue.config.model import ClusterConfig
from pgrescue.config.session import CannotAskServer
from pgrescue.config.settings import ask_server, read_settings
from pgrescue.config.supervisor import find_supervisor
from pgrescue.errors import InvalidFormat, UsageError
from pgrescue.postgres.account import Account, account_by_name, account_by_uid
from pgrescue.postgres.conf_file import parse_assignments
from pgrescue.postgres.control_file import RELATIVE_PATH, parse_control_file
from pgrescue.postgres.data_directory import read_pg_version
from pgrescue.postgres.postmaster import find_postmaster

_ARCHIVING = ("on", "always")


@dataclass(frozen=True, slots=True)
class Detection:
    """A proposed configuration: where each value comes from, and what to look at."""

    cluster: ClusterConfig
    origins: dict[str, str]
    """A sentence for each of the cluster's keys that was found out."""
    notes: tuple[str, ...]
    """What was guessed, or could not be found out."""
    running: bool


def detect_cluster(name: str, data_directory: Path | None, bin_directory: Path | None) -> Detection:
    """Look at a cluster; with no data directory given, at the only one of this host.

    Raises `UsageError` if there is nothing to look at, or no permission to.
    """
    if data_directory is None:
        candidate = only_candidate()
    else:
        candidate = Candidate(data_directory.absolute(), "named by you")
    try:
        return _Look(name, candidate, bin_directory).detection()
    except PermissionError as error:
        raise UsageError(
            f"{error.filename} cannot be looked at.",
            "Permission denied: only root and the cluster's owner may.",
            next_steps=("run it as root: sudo pgrescue init",),
        ) from error


class _Look:
    """One look at one cluster; gathers origins and notes on the way."""

    def __init__(self, name: str, candidate: Candidate, bin_directory: Path | None) -> None:
        self._name = name
        self._data_directory = candidate.data_directory
        self._bin_directory = bin_directory
        self._origins: dict[str, str] = {}
        self._notes: list[str] = []
        self._exists = _is_data_directory(candidate.data_directory)
        self._server = find_postmaster(candidate.data_directory)
        self._debian = debian_cluster_of(candidate.data_directory)
        self._origins["data_directory"] = f"{candidate.origin}; {self._state()}"

    def detection(self) -> Detection:
        """Everything that can be found out."""
        owner = self._owner()
        settings = self._settings(owner)
        supervisor = find_supervisor(
            self._data_directory, self._server.pid if self._server else None, self._debian
        )
        self._origins["service"] = supervisor.origin
        if supervisor.warning:
            self._notes.append(supervisor.warning)
        programs = self._programs(settings)
        wal_archive = self._wal_archive(settings)
        cluster = ClusterConfig(
            name=self._name,
            data_directory=self._data_directory,
            service=supervisor.spec,
            wal_archive=wal_archive,
            restore_command=None if wal_archive else self._restore_command(settings),
            bin_directory=programs.directory if programs else None,
            config_directory=self._config_directory(settings),
            owner=owner.name if owner else None,
        )
        return Detection(cluster, self._origins, tuple(self._notes), self._server is not None)

    def _state(self) -> str:
        if self._server is not None:
            port = f", port {self._server.port}" if self._server.port else ""
            return f"its server runs as process {self._server.pid}{port}"
        if not self._exists:
            return "it is missing or empty now"
        try:
            control = parse_control_file((self._data_directory / RELATIVE_PATH).read_bytes())
        except (FileNotFoundError, InvalidFormat) as error:
            self._notes.append(f"{self._data_directory / RELATIVE_PATH} cannot be used: {error}")
            return "no server runs on it"
        return f"no server runs on it, pg_control says '{control.state}'"

    def _owner(self) -> Account | None:
        try:
            uid = self._data_directory.stat().st_uid
        except FileNotFoundError:
            account = account_by_name("postgres")
            if account is None:
                self._notes.append("The owner is unknown: the data directory is missing. Set it.")
            else:
                self._origins["owner"] = "the usual account; the data directory is missing"
            return account
        if uid == 0:
            self._notes.append("The data directory belongs to root; no server can run on it so.")
            return account_by_name("postgres")
        self._origins["owner"] = "owns the data directory"
        return account_by_uid(uid)

    def _settings(self, owner: Account | None) -> dict[str, str]:
        if self._server is not None and owner is not None:
            try:
                return ask_server(self._server, owner)
            except CannotAskServer as error:
                self._notes.append(f"The running server could not be asked: {error.cause}")
        directory = self._debian.config_directory if self._debian else self._data_directory
        if (self._data_directory / "postgresql.conf").exists():
            directory = self._data_directory
        return read_settings(directory, self._data_directory)

    def _config_directory(self, settings: dict[str, str]) -> Path | None:
        key = "config_directory"
        if config_file := settings.get("config_file"):
            directory = Path(config_file).parent
            if os.path.realpath(directory) == os.path.realpath(self._data_directory):
                return None
            self._origins[key] = "the running server's config_file"
            return directory
        if self._debian is None or (self._data_directory / "postgresql.conf").exists():
            return None
        self._origins[key] = "its postgresql.conf names the data directory"
        return self._debian.config_directory

    def _programs(self, settings: dict[str, str]) -> Programs | None:
        found = self._find_programs(settings)
        if found is not None:
            self._origins["bin_directory"] = found.origin
        return found

    def _find_programs(self, settings: dict[str, str]) -> Programs | None:
        if self._bin_directory is not None:
            return Programs(self._bin_directory.absolute(), "named by you")
        program = program_of(self._server.pid) if self._server else None
        if program is not None and program.exists():
            return Programs(program.parent, "where the running server's program is")
        major = self._major(settings)
        found = None if major is None else find_programs(major)
        if found is None:
            what = "PostgreSQL" if major is None else f"PostgreSQL {major}"
            self._notes.append(f"The programs of {what} were not found; set bin_directory.")
        return found

    def _major(self, settings: dict[str, str]) -> int | None:
        number = settings.get("server_version_num", "")
        if number.isdigit():
            return int(number) // 10000
        major = read_pg_version(self._data_directory)
        if major is None and self._debian is not None and self._debian.version.isdigit():
            return int(self._debian.version)
        return major

    def _wal_archive(self, settings: dict[str, str]) -> Path | None:
        if not settings:
            self._notes.append("No settings of the cluster are there to be read; set wal_archive.")
            return None
        if settings.get("archive_mode", "off") not in _ARCHIVING:
            self._notes.append(
                "archive_mode is off: without a WAL archive, only the moment of a backup's end "
                "can be recovered."
            )
            return None
        command = settings.get("archive_command", "")
        directory = archive_directory(command)
        if directory is None:
            way = settings.get("archive_library") or command or "nothing"
            self._notes.append(
                f"WAL is archived by `{way}`, which names no directory on this host; set "
                "wal_archive, or restore_command to fetch it."
            )
            return None
        if not directory.is_dir():
            self._notes.append(f"archive_command writes to {directory}, which is no directory.")
            return None
        self._origins["wal_archive"] = f"read off archive_command: {command}"
        self._notes.append(f"Guessed from archive_command that {directory} is the WAL archive.")
        return directory

    def _restore_command(self, settings: dict[str, str]) -> str | None:
        command = settings.get("restore_command", "")
        if "%f" not in command or "%p" not in command:
            return None
        self._origins["restore_command"] = "the cluster's own setting"
        return command


def _is_data_directory(path: Path) -> bool:
    """Whether a cluster is there; False for a missing or empty directory.

    Raises `UsageError` for a path that holds something else.
    """
    try:
        entries = os.listdir(path)
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        raise UsageError(f"{path} is not a directory.") from error
    if "PG_VERSION" in entries:
        return True
    if not entries:
        return False
    steps: tuple[str, ...] = ()
    if "postgresql.conf" in entries:
        named = parse_assignments((path / "postgresql.conf").read_text(errors="replace"))
        if "data_directory" in named:
            steps = (f"name the data directory: --data-directory {named['data_directory']}",)
    raise UsageError(
        f"{path} is not a data directory.",
        "It holds files, but no PG_VERSION.",
        next_steps=steps,
    )
