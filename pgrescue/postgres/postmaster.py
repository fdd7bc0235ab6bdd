"""Which server runs on a data directory: `postmaster.pid`, checked against `/proc`.

Format: `src/include/utils/pidfile.h`. The file alone proves nothing: it survives a crash, travels
in file-level copies, and its pid may be somebody else's by now. The process table decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_COMMANDS = ("postgres", "postmaster")


@dataclass(frozen=True, slots=True)
class PidFile:
    """The lines of `postmaster.pid` that are there; later ones may be missing for a moment."""

    pid: int
    is_single_user: bool
    """A negative pid says so."""
    data_directory: str
    started: int
    port: int | None
    socket_directory: str | None
    listen_address: str | None
    status: str | None
    """`starting`, `stopping`, `ready` (also a hot standby) or `standby`."""


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A live server process on a data directory."""

    pid: int
    data_directory: str
    port: int | None
    socket_directory: str | None
    listen_address: str | None
    status: str | None
    is_single_user: bool = False
    """Whether it is somebody's `postgres --single`, which no service has started."""
    misnamed: int | None = None
    """The live process that `postmaster.pid` names instead: pg_ctl would stop that one."""


def parse_pid_file(text: str) -> PidFile | None:
    """Read `postmaster.pid`; None if even its first line makes no sense."""
    lines = text.split("\n")

    def line(index: int) -> str | None:
        return lines[index].strip() or None if index < len(lines) else None

    try:
        number = int(lines[0])
    except ValueError:
        return None
    started, port = line(2), line(3)
    return PidFile(
        pid=abs(number),
        is_single_user=number < 0,
        data_directory=line(1) or "",
        started=int(started) if started and started.isdigit() else 0,
        port=int(port) if port and port.isdigit() else None,
        socket_directory=line(4),
        listen_address=line(5),
        status=line(7),
    )


def read_pid_file(data_directory: Path) -> PidFile | None:
    """The data directory's `postmaster.pid`, if there is one that can be read."""
    try:
        return parse_pid_file((data_directory / "postmaster.pid").read_text(errors="replace"))
    except OSError:
        return None


def find_postmaster(data_directory: Path) -> Postmaster | None:
    """The live server on this directory, whatever its pid file says or if it has none.

    A postmaster's working directory is its data directory, so the process table is searched
    for a `postgres` process there; the pid file only adds port and socket.
    """
    target = os.path.realpath(data_directory)
    pid_file = read_pid_file(data_directory)
    pids = _postmasters_in(target)
    if not pids and pid_file is not None and _is_hidden_postgres(pid_file.pid):
        pids = [pid_file.pid]
    misnamed = _misnamed(pid_file, target) if pids else None
    for pid in pids:
        known = pid_file if pid_file is not None and pid_file.pid == pid else None
        return Postmaster(
            pid=pid,
            data_directory=target,
            port=known.port if known else None,
            socket_directory=known.socket_directory if known else None,
            listen_address=known.listen_address if known else None,
            status=known.status if known else None,
            is_single_user=_is_single_user(pid, known),
            misnamed=misnamed if known is None else None,
        )
    return None


def _misnamed(pid_file: PidFile | None, target: str) -> int | None:
    if pid_file is None or not is_alive(pid_file.pid) or _works_in(pid_file.pid, target):
        return None
    return pid_file.pid


def _is_single_user(pid: int, known: PidFile | None) -> bool:
    return (known is not None and known.is_single_user) or " --single" in process_title(pid)


def server_processes(data_directory: Path) -> list[int]:
    """Pids of every live PostgreSQL process whose working directory is this data directory.

    Also if it was deleted under them: they live on for a while and hold port and socket.
    """
    target = os.path.realpath(data_directory)
    return [pid for pid in _postgres_pids() if _works_in(pid, target)]


def servers_below(directory: Path) -> dict[int, str]:
    """Live PostgreSQL processes that work in a directory or somewhere inside it, and where."""
    target = os.path.realpath(directory)
    found = dict.fromkeys(server_processes(directory), target)
    for pid in _postgres_pids():
        place = working_directory(pid)
        if place is not None and place.startswith(f"{target.rstrip('/')}/"):
            found.setdefault(pid, place)
    return found


def served_directories() -> list[str]:
    """The data directories of all servers on this machine, as far as we may look."""
    found = set()
    for pid in _postgres_pids():
        try:
            found.add(os.readlink(_PROC / str(pid) / "cwd"))
        except OSError:
            continue  # it has ended, or is another account's
    return sorted(place for place in found if os.path.isfile(f"{place}/PG_VERSION"))


def has_zombies() -> bool:
    """Whether ended PostgreSQL processes wait for their parent to take notice.

    Until then their pids count as alive, and lock files that name them as valid.
    """
    pids = (int(entry) for entry in os.listdir(_PROC) if entry.isdigit())
    return any(_command(pid) in _COMMANDS and not is_alive(pid) for pid in pids)


def parent_pid(pid: int) -> int | None:
    """The parent of a live process, or None."""
    fields = _stat_fields(pid)
    return int(fields[1]) if fields else None


def is_alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    fields = _stat_fields(pid)
    return fields is not None and fields[0] not in "ZX"


def start_time(pid: int) -> int | None:
    """When the process started, in clock ticks since boot: tells a reused pid apart."""
    fields = _stat_fields(pid)
    return int(fields[19]) if fields else None


def process_title(pid: int) -> str:
    """The process's title as `ps` shows it, empty if it is gone."""
    try:
        raw = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return ""
    return raw.replace(b"\0", b" ").decode(errors="replace").strip()


def _postmasters_in(target: str) -> list[int]:
    pids = [pid for pid in _postgres_pids() if _works_in(pid, target)]
    # Children share the working directory; the postmaster is the one whose parent does not.
    roots = [pid for pid in pids if parent_pid(pid) not in pids]
    return sorted(roots, key=lambda pid: (not _is_there(pid, target), pid))


def _works_in(pid: int, target: str) -> bool:
    """Whether the process works in a directory, whatever path led it there, or in one deleted."""
    return _is_there(pid, target) or working_directory(pid) == f"{target} (deleted)"


def _is_there(pid: int, target: str) -> bool:
    """By identity: a bind mount or a container knows the same directory by another path."""
    try:
        return os.path.samestat(os.stat(_PROC / str(pid) / "cwd"), os.stat(target))
    except OSError:
        return False


def _is_hidden_postgres(pid: int) -> bool:
    """A live PostgreSQL process of another account, whose directory we may not look up."""
    return _command(pid) in _COMMANDS and is_alive(pid) and working_directory(pid) is None


def _postgres_pids() -> Iterator[int]:
    for entry in os.listdir(_PROC):
        if entry.isdigit() and _command(int(entry)) in _COMMANDS:
            pid = int(entry)
            if is_alive(pid):
                yield pid


def _command(pid: int) -> str:
    try:
        return (_PROC / str(pid) / "comm").read_text(errors="replace").strip()
    except OSError:
        return ""


def working_directory(pid: int) -> str | None:
    """Where a process works; None if that cannot be told."""
    try:
        return os.readlink(_PROC / str(pid) / "cwd")
    except OSError:
        return None


def _stat_fields(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; the second may hold spaces."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
