"""Finding and ending what a sandbox has started, so that no process stays behind."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pgrescue.errors import PgRescueError
from pgrescue.postgres.postmaster import is_alive, parent_pid

_PROC = Path("/proc")
_SERVER_COMMANDS = ("postgres", "postmaster")
_GRACE = 20.0
"""Seconds between asking a process to end and insisting."""


def wait_until(condition: Callable[[], bool], what: str, timeout: float = 60.0) -> None:
    """Poll until the condition holds; raises `PgRescueError` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            raise PgRescueError(f"Waited {timeout:g} seconds in vain for {what}.", unchanged="")
        time.sleep(0.02)


def exists(pid: int) -> bool:
    """Whether the pid is taken, be it by a dead process that nobody has reaped yet."""
    return (_PROC / str(pid)).exists()


def servers_below(directory: Path) -> list[int]:
    """Pids of live PostgreSQL processes that work in this directory or below it."""
    root = os.path.realpath(directory)
    return [pid for pid in _pids() if _is_server(pid) and _works_below(pid, root)]


def processes_with(variable: str, value: str) -> list[int]:
    """Pids of other live processes that were started with this environment variable."""
    entry = os.fsencode(f"{variable}={value}")
    return [pid for pid in _pids() if pid != os.getpid() and entry in _environment(pid)]


def stop_servers_below(directory: Path) -> None:
    """Stop every server that works below the directory, ever more firmly; wait for its end."""
    for request in (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL):
        pids = servers_below(directory)
        # Children end with their postmaster, the one process whose parent is none of them.
        roots = [pid for pid in pids if parent_pid(pid) not in pids]
        if _end(roots, request, lambda: not servers_below(directory)):
            return
    raise PgRescueError(
        f"Servers below {directory} do not end.",
        f"Their pids: {servers_below(directory)}",
        unchanged="",
    )


def stop_processes_with(variable: str, value: str) -> None:
    """End every other process that was started with this environment variable."""
    for request in (signal.SIGTERM, signal.SIGKILL):
        pids = processes_with(variable, value)
        if _end(pids, request, lambda: not processes_with(variable, value)):
            return
    raise PgRescueError(
        f"Processes of {value} do not end.",
        f"Their pids: {processes_with(variable, value)}",
        unchanged="",
    )


def _end(pids: list[int], request: signal.Signals, done: Callable[[], bool]) -> bool:
    for pid in pids:
        try:
            os.kill(pid, request)
        except ProcessLookupError:
            continue
    try:
        wait_until(done, "the end of processes", _GRACE)
    except PgRescueError:
        return False
    return True


def _pids() -> Iterator[int]:
    for entry in os.listdir(_PROC):
        if entry.isdigit() and is_alive(int(entry)):
            yield int(entry)


def _is_server(pid: int) -> bool:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip() in _SERVER_COMMANDS
    except OSError:
        return False


def _works_below(pid: int, root: str) -> bool:
    try:
        where = os.readlink(_PROC / str(pid) / "cwd")
    except OSError:
        return False
    return where == root or where.startswith(root + "/")


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []
