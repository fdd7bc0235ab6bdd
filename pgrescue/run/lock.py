"""One run at a time on a data directory and on each tablespace: locks that die with their holder.

A place is locked twice. A file in the state directory reaches as far as that is shared, be it
between containers. An abstract Unix socket (unix(7)) reaches over the whole machine, whoever runs
pgrescue with whatever state directory: nothing else can be locked by every account without leaving
files beside the data.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from pgrescue.config.state import private_directory
from pgrescue.errors import Refused
from pgrescue.postgres.account import account_by_uid

_BACKLOG = 4096
"""Each refused run asks once who is there, and nobody answers."""
_CREDENTIALS = struct.Struct("iII")


@contextmanager
def locked(places: Iterable[str], run: str) -> Iterator[None]:
    """Hold the locks of all places of a run; raises `Refused`, naming the run that has one."""
    with ExitStack() as held:
        real = sorted({os.path.realpath(place) for place in places})
        names = {name: place for place in real for name in _names(place)}
        for name, place in names.items():
            held.enter_context(_on_this_machine(name, place))
        for place in real:
            held.enter_context(_in_the_state_directory(place, run))
        yield


def _names(place: str) -> list[str]:
    """By its path, and if it exists also by identity: a bind mount knows it by another path."""
    names = [_digest(place)]
    with suppress(OSError):
        status = os.stat(place)
        names.append(f"{status.st_dev}-{status.st_ino}")
    return [f"\0pgrescue/{name}" for name in names]


@contextmanager
def _on_this_machine(name: str, place: str) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as holder:
        try:
            holder.bind(name)
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            raise _refused(place, _holder(name)) from error
        holder.listen(_BACKLOG)  # from now on the kernel tells whoever asks which process this is
        yield


@contextmanager
def _in_the_state_directory(place: str, run: str) -> Iterator[None]:
    path = private_directory("locks") / f"{_digest(place)}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            run_at_work = os.pread(fd, 200, 0).decode(errors="replace").strip()
            raise _refused(place, (run_at_work, "")) from error
        with suppress(OSError):  # on a full disk the lock holds all the same
            os.pwrite(fd, run.encode(), 0)
            os.ftruncate(fd, len(run.encode()))
        yield
    finally:
        os.close(fd)


def _holder(name: str) -> tuple[str, str]:
    """The run that holds a lock, and in words which process that is, as far as can be told."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(name)
            raw = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        except OSError:
            return "", ""
    pid, uid, _ = _CREDENTIALS.unpack(raw)
    who = f"It is process {pid} of {account_by_uid(uid).name}"
    directory = _run_directory_of(pid)
    if directory is None:
        return "", f"{who}."
    return directory.name, f"{who}, and its state directory is {directory.parent.parent}."


def _run_directory_of(pid: int) -> Path | None:
    """What a runner was started for: `python -m pgrescue.run RUN_DIRECTORY PURPOSE`."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_text(errors="replace").split("\0")
    except OSError:
        return None
    paths = (Path(word) for word in words)
    return next((path for path in paths if path.parent.name == "runs"), None)


def _refused(place: str, holder: tuple[str, str]) -> Refused:
    run, who = holder
    named = f"The run {run}" if run else "Another run"
    return Refused(
        f"{named} is at work on {place}.",
        f"Two runs at one place would destroy each other's work. {who}".strip(),
        next_steps=(f"pgrescue attach {run}" if run else "wait for its end",),
    )


def _digest(place: str) -> str:
    return hashlib.sha256(place.encode(errors="surrogateescape")).hexdigest()[:32]
