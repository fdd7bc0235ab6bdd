"""One run at a time on a data directory: a kernel lock, which dies with its holder."""

from __future__ import annotations

import fcntl
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

from pgrescue.errors import Refused
from pgrescue.run.run_directory import private_directory


@contextmanager
def locked(data_directory: str, run: str) -> Iterator[None]:
    """Hold the lock of a data directory; raises `Refused`, naming the run that has it."""
    digest = hashlib.sha256(os.path.realpath(data_directory).encode(errors="surrogateescape"))
    path = private_directory("locks") / f"{digest.hexdigest()[:32]}.lock"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(fd, 200, 0).decode(errors="replace").strip() or "unknown"
            raise Refused(
                f"The run {holder} is at work on {data_directory}.",
                "Two runs on one data directory would destroy each other's work.",
                next_steps=(f"pgrescue attach {holder}",),
            ) from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, run.encode(), 0)
        yield
    finally:
        os.close(fd)
