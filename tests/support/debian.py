"""A cluster as Debian makes it: configuration in /etc, run by pg_ctlcluster."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

from pgrescue.config.model import ClusterConfig
from pgrescue.demo.binaries import ServerBinaries
from pgrescue.demo.endpoint import Endpoint, choose_endpoint
from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox, StopMode
from pgrescue.postgres.archiving import archive_command
from pgrescue.postgres.conf_file import quote
from pgrescue.postgres.service import ServiceSpec

_SOCKETS = "/var/run/postgresql"


def unavailable() -> str | None:
    """Why no Debian cluster can be made here, if so."""
    if os.geteuid() != 0:
        return "making a Debian cluster needs root"
    if shutil.which("pg_createcluster") is None:
        return "postgresql-common is not installed"
    return None


class DebianSandbox(Sandbox):
    """A sandbox whose cluster is known to postgresql-common; data, backups and WAL as ever."""

    def __init__(self, directory: Path, binaries: ServerBinaries) -> None:
        """Describe it; `init` makes it."""
        super().__init__(directory, binaries)
        self.version = str(binaries.major)
        self.name = f"pgrescue_test_{os.getpid()}_{choose_endpoint(directory).port}"
        self.endpoint = Endpoint(choose_endpoint(directory).port, _SOCKETS)
        self.configuration = Path("/etc/postgresql", self.version, self.name)
        self.log = Path(f"/var/log/postgresql/postgresql-{self.version}-{self.name}.log")

    def cluster_config(self, name: str, database: str = "postgres") -> ClusterConfig:
        """As little as a DBA would have to write."""
        return ClusterConfig(
            name=name,
            data_directory=self.data,
            service=ServiceSpec("pg_ctlcluster", version=self.version, cluster=self.name),
            backups=(self.backups,),
            wal_archive=self.wal,
            config_directory=self.configuration,
        )

    def init(
        self,
        segment_size_mb: int = 16,
        checksums: bool = True,
        settings: Mapping[str, str] | None = None,
    ) -> None:
        """Make the cluster; its settings go into conf.d."""
        self.directory.mkdir(mode=0o755)
        for directory in (self.backups, self.wal):
            directory.mkdir(mode=0o700)
            shutil.chown(directory, self.account.uid, self.account.gid)
        self._run(
            *("pg_createcluster", "-p", str(self.endpoint.port), "-d", str(self.data)),
            *(self.version, self.name, "--", f"--wal-segsize={segment_size_mb}", "--no-sync"),
        )
        chosen = {
            "listen_addresses": "127.0.0.1",
            "archive_mode": "on",
            "archive_command": archive_command(str(self.wal)),
            "track_commit_timestamp": "on",
            "fsync": "off",
            **(settings or {}),
        }
        lines = (f"{name} = {quote(value)}\n" for name, value in chosen.items())
        (self.configuration / "conf.d" / "test.conf").write_text("".join(lines))

    def start(self, timeout: float = 60.0) -> None:
        """Start it as its administrator would."""
        self._run("pg_ctlcluster", self.version, self.name, "start")
        wait_until(lambda: self.status().startswith("online"), "the cluster's start", timeout)

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop it as its administrator would."""
        self._run("pg_ctlcluster", self.version, self.name, "stop", "-m", mode)

    def status(self) -> str:
        """What pg_lsclusters says: `online`, `down`, `online,recovery`."""
        listed = self._run("pg_lsclusters", "-h").splitlines()
        return next(words[3] for line in listed if (words := line.split())[1] == self.name)

    def destroy(self) -> None:
        """Have the cluster dropped with its configuration and log; never touch its sockets' place.

        What pg_dropcluster cannot do because the data is gone is done by hand.
        """
        subprocess.run(("pg_dropcluster", "--stop", self.version, self.name), check=False)
        for directory in (self.directory, self.configuration):
            if directory.exists():
                shutil.rmtree(directory)
        self.log.unlink(missing_ok=True)

    def _run(self, *argv: str) -> str:
        completed = subprocess.run(argv, capture_output=True, text=True, cwd="/", check=False)
        assert completed.returncode == 0, (argv, completed.stdout, completed.stderr)
        return completed.stdout
