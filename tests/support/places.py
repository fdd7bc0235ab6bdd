"""Restored clusters as tests look at them, and ports that no other test uses."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pgrescue.demo.account import run_tool
from pgrescue.demo.processes import stop_servers_below
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.postmaster import find_postmaster

_WORKER = os.environ.get("PYTEST_XDIST_WORKER", "main")
_FIRST_PORT = 20000 + zlib.crc32(f"{_WORKER} {os.getpid()}".encode()) % 9000
_PORTS: Iterator[int] = itertools.count(_FIRST_PORT)
_ROWS = "select n from epochs order by n"


def free_port() -> int:
    """A port below the ephemeral ones that this process has not handed out before."""
    for port in _PORTS:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise AssertionError("there are always more ports")


@dataclass(frozen=True, slots=True)
class Place:
    """A data directory and the server that may run on it."""

    data: Path
    sandbox: Sandbox
    """Whose account and programs work on it."""

    @property
    def is_running(self) -> bool:
        """Whether a server runs there."""
        return find_postmaster(self.data) is not None

    @property
    def conninfo(self) -> str:
        """Where its server listens, from its own words."""
        postmaster = find_postmaster(self.data)
        assert postmaster is not None, f"no server runs in {self.data}"
        host = postmaster.socket_directory or "127.0.0.1"
        quoted = host.replace("\\", "\\\\").replace("'", "\\'")
        return f"host='{quoted}' port={postmaster.port} user=postgres dbname=postgres"

    def sql(self, query: str) -> list[str]:
        """Rows as text."""
        return self.sandbox.sql_at(self.conninfo, query)

    def rows(self) -> list[int]:
        """The epochs that the server shows."""
        return [int(row) for row in self.sql(_ROWS)]

    def in_recovery(self) -> bool:
        """Whether the server is read-only."""
        return self.sql("select pg_is_in_recovery()") == ["t"]

    def start(self, *settings: str) -> None:
        """Start its server by hand, with settings such as `name=value`."""
        options = " ".join(f"-c {setting}" for setting in settings)
        log = self.data.with_name(f"{self.data.name}.by-hand.log")
        log.touch()
        os.chown(log, self.sandbox.account.uid, self.sandbox.account.gid)
        argv = [self.sandbox.binaries.program("pg_ctl"), "start", "-w", "-D", str(self.data)]
        run_tool(self.sandbox.account, [*argv, "-l", str(log), "-o", options], cwd=Path("/"))

    def remove(self) -> None:
        """Stop its server and delete it with everything that a restore put beside it."""
        if self.data.exists():
            stop_servers_below(self.data)
        for path in self.data.parent.glob(f"{self.data.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
