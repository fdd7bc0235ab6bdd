"""Server binaries of several major versions, for tests that must hold on all of them."""

from __future__ import annotations

import os
import re
from pathlib import Path

from pgrescue.demo.account import run_tool, server_account
from pgrescue.demo.binaries import NEEDED, Origin, ServerBinaries, find_server_binaries
from pgrescue.errors import PgRescueError

SERVERS = "PGRESCUE_TEST_SERVERS"
"""Environment variable with further `bin` directories to test with, separated by colons.

Each holds at least `initdb`, `postgres`, `pg_ctl`, `pg_basebackup`, `psql` and, to know the truth
about a history, `pg_waldump`, all of which the server's account can run. Without it, the tests use
what is installed and what comes with the demo extra.
"""

ORIGINS: tuple[Origin, ...] = ("installed", "embedded")
_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


def servers_by_major(work: Path) -> dict[int, ServerBinaries]:
    """The binaries of every major version there is, oldest first.

    Of several for one major the directory named first wins, then installed ones. `work` is a
    directory that the server's account can enter; a copy of the wheel's files may be put there.
    """
    found: dict[int, ServerBinaries] = {}
    for binaries in (*named_servers(), *_usual_servers(work)):
        found.setdefault(binaries.major, binaries)
    return dict(sorted(found.items()))


def named_servers() -> list[ServerBinaries]:
    """The binaries in the directories of PGRESCUE_TEST_SERVERS; a useless one fails the tests."""
    return [examine(directory) for directory in further_directories()]


def further_directories() -> list[Path]:
    """What PGRESCUE_TEST_SERVERS names, complete or not."""
    named = os.environ.get(SERVERS, "").split(os.pathsep)
    return [Path(directory) for directory in named if directory]


def examine(directory: Path) -> ServerBinaries:
    """The binaries in one directory, which must be complete."""
    missing = [name for name in NEEDED if not (directory / name).exists()]
    if missing:
        raise AssertionError(f"{SERVERS}: {', '.join(missing)} missing in {directory}")
    program = (str(directory / "postgres"), "--version")
    version = _VERSION.search(run_tool(server_account(), program, cwd=Path("/")))
    if version is None:
        raise AssertionError(f"{SERVERS}: the server in {directory} does not say its version")
    return ServerBinaries(directory.absolute(), int(version[2]), version[1], "installed")


def _usual_servers(work: Path) -> list[ServerBinaries]:
    found = []
    for origin in ORIGINS:
        try:
            found.append(find_server_binaries(work, prefer=origin))
        except PgRescueError:
            continue
    return found
