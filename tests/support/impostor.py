"""Processes that pgrescue takes for a server, or that must not be taken for one."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pgrescue.demo.processes import wait_until
from pgrescue.demo.sandbox import Sandbox
from pgrescue.postgres.account import Account, current_account
from pgrescue.postgres.postmaster import find_postmaster


@contextmanager
def process_in(
    directory: Path, place: Path, name: str = "postgres", account: Account | None = None
) -> Iterator[int]:
    """A process of that name that works in a directory; its program is put into `place`."""
    place.mkdir(exist_ok=True)
    program = place / name
    shutil.copy("/bin/sleep", program)
    arguments = (account or current_account()).spawn_arguments()
    process = subprocess.Popen((str(program), "600"), cwd=directory, **arguments)
    try:
        # Popen may be back before the kernel has given the process its new name.
        comm = Path(f"/proc/{process.pid}/comm")
        wait_until(lambda: comm.read_text().strip() == name, f"the process {name}")
        yield process.pid
    finally:
        process.kill()
        process.wait()


@contextmanager
def single_user(sandbox: Sandbox) -> Iterator[int]:
    """A server in single-user mode on a stopped sandbox's data directory, as for a repair."""
    argv = (sandbox.binaries.program("postgres"), "--single", "-D", str(sandbox.data), "postgres")
    process = subprocess.Popen(
        argv,
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        **sandbox.account.spawn_arguments(),
    )
    try:
        wait_until(lambda: find_postmaster(sandbox.data) is not None, "the single-user server")
        yield process.pid
    finally:
        process.communicate()  # the end of its input ends it
