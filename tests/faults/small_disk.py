"""A small file system of its own, and a runner that finds it full at one exact place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pgrescue.demo.processes import stop_processes_with, stop_servers_below
from pgrescue.run.plan_file import load_plan
from pgrescue.run.run_directory import create_run
from tests.support.cluster import Workspace
from tests.support.command import command_environment, document

MIB = 1 << 20
_RUNNER = """
import os, sys
from pgrescue.run.__main__ import main
from pgrescue.run.journal import Journal
from pgrescue.run.records import StepBegan
step, disk, leave, append = sys.argv[1], sys.argv[2], int(sys.argv[3]), Journal.append
def filling(journal, record):
    append(journal, record)
    if isinstance(record, StepBegan) and record.step == step:
        space = os.statvfs(disk)
        size = space.f_bavail * space.f_frsize - leave
        with open(disk + "/somebody-elses", "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
Journal.append = filling
main(sys.argv[4], sys.argv[5])
"""


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """A mounted file system; somebody else may fill it."""

    path: Path
    kind: str

    @property
    def free(self) -> int:
        """Bytes that everybody but root can use."""
        space = os.statvfs(self.path)
        return space.f_bavail * space.f_frsize

    def make_room(self) -> None:
        """Somebody else's file goes."""
        (self.path / "somebody-elses").unlink()


@contextmanager
def small_disk(workspace: Workspace, size: int) -> Iterator[SmallDisk]:
    """ext4 in a file; a tmpfs where there are no loop devices. Skips where nothing can be mounted.

    Servers on it and the sandboxes below it are gone before it is.
    """
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    place, image = workspace.path / "disk", workspace.path / "disk.image"
    place.mkdir(mode=0o755)
    with image.open("wb") as file:
        file.truncate(size)
    made = _try("mkfs.ext4", "-q", "-m", "0", "-N", "8192", str(image))
    kind = "ext4" if made and _try("mount", "-o", "loop", str(image), str(place)) else "tmpfs"
    if kind == "tmpfs" and not _try("mount", "-t", kind, "-o", f"size={size}", kind, str(place)):
        pytest.skip("nothing can be mounted here")
    place.chmod(0o777)
    try:
        yield SmallDisk(place, kind)
    finally:
        stop_processes_with("PGRESCUE_STATE", str(workspace.state))
        stop_servers_below(place)
        for sandbox in [one for one in workspace.sandboxes if place in one.directory.parents]:
            sandbox.destroy()
            workspace.sandboxes.remove(sandbox)
        subprocess.run(("umount", str(place)), check=True)
        place.rmdir()
        image.unlink()


def _try(*command: str) -> bool:
    try:
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def run_into_a_full_disk(
    workspace: Workspace, disk: SmallDisk, step: str, leave: int, *options: str
) -> dict[str, Any]:
    """Restore, and have all but `leave` bytes taken when that step begins; the run's status."""
    shown = workspace.run("plan", *options, "--json", check=True)
    plan = load_plan(workspace.state / "plans" / f"{document(shown)['id']}.json")
    before = os.environ.get("PGRESCUE_STATE")
    os.environ["PGRESCUE_STATE"] = str(workspace.state)
    try:
        directory = create_run(plan)
    finally:
        del os.environ["PGRESCUE_STATE"]
        if before is not None:
            os.environ["PGRESCUE_STATE"] = before
    argv = (
        *(sys.executable, "-c", _RUNNER, step, str(disk.path), str(leave)),
        *(str(directory.path), "restore"),
    )
    subprocess.run(argv, env=command_environment(workspace.state), cwd="/", timeout=120, check=True)
    status: dict[str, Any] = document(workspace.run("status", "--json", check=True))
    return status
