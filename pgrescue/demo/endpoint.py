"""Where a sandbox's server listens: a Unix socket nobody else uses, never the network."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pgrescue import codec
from pgrescue.errors import PgRescueError
from pgrescue.postgres.account import Account

SUPERUSER = "postgres"

_FILE = "endpoint.json"
_MAX_SOCKET_PATH = 107
"""Bytes of `sun_path` in sockaddr_un, less the closing zero."""
_LONGEST_NAME = ".s.PGSQL.65535"
_PLAIN = re.compile(r"[A-Za-z0-9_./+=@-]+")
"""Paths that need no quoting in a connection string or in unix_socket_directories."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server's port number and the directory of its socket."""

    port: int
    socket_directory: str

    def conninfo(self, database: str) -> str:
        """Connection parameters in libpq's form."""
        return f"host={self.socket_directory} port={self.port} user={SUPERUSER} dbname={database}"


def load_endpoint(directory: Path) -> Endpoint | None:
    """The endpoint that the sandbox in this directory was given, if it has one."""
    try:
        text = (directory / _FILE).read_text()
    except FileNotFoundError:
        return None
    return codec.from_plain(codec.loads(text), Endpoint)


def save_endpoint(endpoint: Endpoint, directory: Path) -> None:
    """Keep the endpoint, so that the sandbox can be started again later."""
    (directory / _FILE).write_text(codec.dumps(endpoint, indent=2) + "\n")


def choose_endpoint(directory: Path) -> Endpoint:
    """A free port, and `sockets` below the directory or, where that is too long, below /tmp."""
    sockets = os.path.abspath(directory / "sockets")
    too_long = len(os.fsencode(f"{sockets}/{_LONGEST_NAME}")) > _MAX_SOCKET_PATH
    if too_long or not _PLAIN.fullmatch(sockets):
        sockets = tempfile.mkdtemp(prefix="pgr-", dir="/tmp")
    return Endpoint(_free_port(), sockets)


def make_socket_directory(endpoint: Endpoint, account: Account) -> None:
    """Make sure that the directory is there and is the account's alone.

    Raises `PgRescueError` if somebody else has put something in its place.
    """
    path = Path(endpoint.socket_directory)
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if path.is_symlink() or found.st_uid not in (os.geteuid(), account.uid):
        raise PgRescueError(f"{path} belongs to somebody else.", "The server's socket goes there.")
    os.chown(path, account.uid, account.gid)
    path.chmod(0o700)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
