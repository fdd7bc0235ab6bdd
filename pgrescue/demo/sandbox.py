"""A throw-away cluster made of real server binaries: data, sockets, backups, WAL archive."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.account import TOOL_TIMEOUT, run_tool, server_account
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.endpoint import (
    SUPERUSER,
    choose_endpoint,
    load_endpoint,
    make_socket_directory,
    save_endpoint,
)
from pgrescue.demo.processes import exists, servers_below, stop_servers_below, wait_until
from pgrescue.errors import PgRescueError
from pgrescue.postgres.account import Account
from pgrescue.postgres.archiving import archive_command
from pgrescue.postgres.conf_file import quote
from pgrescue.postgres.lsn import Lsn
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.postgres.service import ServiceSpec

StopMode = Literal["smart", "fast", "immediate"]


class Sandbox:
    """One cluster below one directory, run as an account that PostgreSQL accepts.

    Every method raises `PgRescueError` with the tool's own words when a tool fails.
    """

    def __init__(self, directory: Path, binaries: ServerBinaries) -> None:
        """Describe the sandbox in `directory`, which `init` makes if it is not there yet.

        The server's account must be able to enter the directory's parents.
        """
        self.directory = directory.absolute()
        self.binaries = binaries
        self.account: Account = server_account()
        self.data = self.directory / "data"
        self.backups = self.directory / "backups"
        self.wal = self.directory / "wal"
        self.tablespaces = self.directory / "tablespaces"
        self.log = self.directory / "log"
        self.endpoint = load_endpoint(self.directory) or choose_endpoint(self.directory)

    def conninfo(self, database: str = "postgres") -> str:
        """Connection parameters in libpq's form."""
        return self.endpoint.conninfo(database)

    def cluster_config(self, name: str, database: str = "postgres") -> ClusterConfig:
        """What a configuration of pgrescue says about this cluster."""
        return ClusterConfig(
            name=name,
            data_directory=self.data,
            service=ServiceSpec(kind="pg_ctl"),
            backups=(self.backups,),
            wal_archive=self.wal,
            bin_directory=self.binaries.bin_directory,
            owner=self.account.name,
            conninfo=self.conninfo(database),
            log=self.log,
        )

    def init(
        self,
        segment_size_mb: int = 16,
        checksums: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Make the directories and an empty cluster that archives its WAL; does not start it.

        `settings` are added to `postgresql.conf` and win over the sandbox's own.
        """
        for directory in (self.directory, self.backups, self.wal, self.tablespaces):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._hand_over(directory)
        self.log.touch(mode=0o600)
        self._hand_over(self.log)
        save_endpoint(self.endpoint, self.directory)
        self._tool(
            "initdb",
            f"--pgdata={self.data}",
            f"--username={SUPERUSER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            f"--wal-segsize={segment_size_mb}",
            *_checksum_options(checksums, self.binaries.major),
        )
        with (self.data / "postgresql.conf").open("a") as configuration:
            for name, value in {**self._settings(), **(settings or {})}.items():
                configuration.write(f"{name} = {quote(value)}\n")

    def start(self, timeout: float = 60.0) -> None:
        """Start the server and wait until it takes connections (in recovery: as a hot standby)."""
        make_socket_directory(self.endpoint, self.account)
        # Relative: pg_ctl hands these to a shell between double quotes, where $() would be run.
        where = ("-D", self.data.name, "-l", self.log.name)
        try:
            self._tool("pg_ctl", "start", "-w", "-t", f"{timeout:.0f}", *where)
        except PgRescueError as error:
            raise PgRescueError(
                "The sandbox's server does not start.",
                f"{error.cause}\n{self._log_tail()}",
                unchanged="",
            ) from error

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server if it runs, and wait for its end."""
        if self.is_running():
            self._tool("pg_ctl", "stop", "-w", "-m", mode, "-D", str(self.data))

    def crash(self) -> None:
        """Kill the postmaster as a power failure would, and wait until nothing is left of it."""
        postmaster = find_postmaster(self.data)
        if postmaster is None:
            raise PgRescueError("The sandbox's server does not run.")
        os.kill(postmaster.pid, signal.SIGKILL)
        wait_until(lambda: not servers_below(self.data), "the end of the killed server")
        # A pid that is not reaped yet would pass for a running server at the next start.
        wait_until(lambda: not exists(postmaster.pid), "the reaping of the killed server")

    def is_running(self) -> bool:
        """Whether a server runs on the data directory."""
        return find_postmaster(self.data) is not None

    def sql(
        self, query: str, database: str = "postgres", timeout: float = TOOL_TIMEOUT
    ) -> list[str]:
        """Rows as text, columns separated by `|`; every statement is its own transaction."""
        return self.sql_at(self.conninfo(database), query, timeout)

    def sql_at(self, conninfo: str, query: str, timeout: float = TOOL_TIMEOUT) -> list[str]:
        """As `sql`, on any server that the sandbox's account can reach, such as a clone."""
        options = ("-XAtq", "-v", "ON_ERROR_STOP=1", "-d", conninfo, "-f", "-")
        return self._tool("psql", *options, stdin=query, timeout=timeout).splitlines()

    def base_backup(self, name: str, *options: str) -> Path:
        """Take a base backup into `backups/NAME`, with any further options of pg_basebackup."""
        target = self.backups / name
        connection = ("-d", self.conninfo())
        self._tool("pg_basebackup", *connection, "-D", str(target), "-c", "fast", *options)
        return target

    def switch_wal(self, timeout: float = 60.0) -> str:
        """End the current WAL segment and wait until it is archived; returns its name."""
        (switched,) = self.sql("select pg_switch_wal()")
        # One byte back: with nothing to switch it is the next segment's first position.
        (name,) = self.sql(f"select pg_walfile_name('{Lsn(Lsn.parse(switched) - 1)}')")
        wait_until((self.wal / name).exists, f"the archiving of {name}", timeout)
        return name

    def create_tablespace(self, name: str) -> Path:
        """Make a tablespace in a directory of its own, outside the data directory."""
        path = self.tablespaces / name
        path.mkdir(mode=0o700)
        self._hand_over(path)
        location = str(path).replace("'", "''")
        self.sql(f"create tablespace {name} location '{location}'")
        return path

    def destroy(self) -> None:
        """Stop every server below the directory, clones included, and delete it all."""
        stop_servers_below(self.directory)
        for directory in (self.directory, Path(self.endpoint.socket_directory)):
            if directory.exists():
                shutil.rmtree(directory)

    def _settings(self) -> dict[str, str]:
        return {
            "listen_addresses": "",
            "port": str(self.endpoint.port),
            "unix_socket_directories": self.endpoint.socket_directory,
            "unix_socket_permissions": "0700",
            "max_connections": "30",
            "shared_buffers": "32MB",
            "wal_level": "replica",
            "archive_mode": "on",
            "archive_command": archive_command(str(self.wal)),
            "track_commit_timestamp": "on",
            "fsync": "off",
        }

    def _tool(
        self, name: str, *options: str, stdin: str = "", timeout: float = TOOL_TIMEOUT
    ) -> str:
        return run_tool(
            self.account,
            (self.binaries.program(name), *options),
            cwd=self.directory,
            stdin=stdin,
            timeout=timeout,
        )

    def _hand_over(self, path: Path) -> None:
        os.chown(path, self.account.uid, self.account.gid)

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-12:])


def _checksum_options(checksums: bool, major: int) -> tuple[str, ...]:
    """Since 18 data checksums are on unless switched off."""
    if checksums:
        return ("--data-checksums",)
    return ("--no-data-checksums",) if major >= 18 else ()
