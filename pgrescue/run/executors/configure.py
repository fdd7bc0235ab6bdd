"""Recovery settings and signal file; completing the directory; taking the settings out again."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.settings import RECOVERY_BLOCK, auto_conf_after
from pgrescue.plan.work import tablespace_mapping
from pgrescue.postgres.conf_file import without_block, without_settings
from pgrescue.postgres.control_file import RELATIVE_PATH as PG_CONTROL
from pgrescue.postgres.data_directory import AUTO_CONF
from pgrescue.postgres.postmaster import find_postmaster
from pgrescue.postgres.tablespace_map import format_tablespace_map
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.extract import HELD_BACK
from pgrescue.run.ownership import read_owned
from pgrescue.survey.filesystem import existing_ancestor


def configure(execution: RestoreExecution) -> str:
    """Write the recovery settings and the signal file, remove leftovers of the backup."""
    work = execution.work
    data = Path(work.data_directory)
    for name in work.removed_files:
        (data / name).unlink(missing_ok=True)
    for name, text in work.added_files.items():
        if not (data / name).exists():
            execution.write_owned(data / name, text)
    auto_conf = data / AUTO_CONF
    before = read_owned(auto_conf)
    recovery = {k: v for k, v in work.settings.items() if k not in work.lasting_settings}
    after = auto_conf_after(before, recovery, work.lasting_settings, execution.plan.target)
    execution.write_owned(auto_conf, after)
    execution.write_owned(data / work.signal_file, "")
    _write_tablespace_map(execution, data)
    if work.wal_link is not None:
        link_wal(execution, data, work.wal_link)
    return f"{work.signal_file} and {len(work.settings)} settings"


def _write_tablespace_map(execution: RestoreExecution, data: Path) -> None:
    mapping = tablespace_mapping(execution.work)
    if mapping:
        text = format_tablespace_map(mapping, execution.work.major)
        execution.write_owned(data / "tablespace_map", text)
    else:
        # A combined chain has its links already; its map still names the old places.
        (data / "tablespace_map").unlink(missing_ok=True)


def link_wal(execution: RestoreExecution, data: Path, target: str) -> None:
    """Give the new cluster a `pg_wal` on the same disk as the old one had."""
    link = data / "pg_wal"
    if link.is_symlink():
        return
    execution.make_directory(target)
    status = Path(target, "archive_status")
    status.mkdir(mode=execution.work.mode, exist_ok=True)
    execution.give_to_owner(status, execution.work.mode)
    if link.exists():
        shutil.rmtree(link)  # made by the extraction, and empty but for status files
    link.symlink_to(target)


def complete(execution: RestoreExecution) -> str:
    """Put `pg_control` in place and have everything on disk before anything is started."""
    work = execution.work
    data = Path(work.data_directory)
    held = Path(work.staging, HELD_BACK)
    target = data / PG_CONTROL
    sync_everything(execution)
    if held.exists():
        os.rename(held, target)
    elif not target.exists():
        raise StepFailed(
            "pg_control is missing.",
            f"The backup's {PG_CONTROL} is neither in {work.staging} nor in place.",
            next_steps=(f"pgrescue undo {execution.directory.id}",),
        )
    execution.give_to_owner(target, work.mode & 0o666)
    sync_directory(target.parent)
    sync_directory(Path(work.staging))
    return "everything is on disk"


def sync_everything(execution: RestoreExecution) -> None:
    """Write all that has been restored to disk, wherever it lies."""
    work = execution.work
    places = [work.data_directory, work.staging, *(item.destination for item in work.tablespaces)]
    places += [work.wal_link] if work.wal_link is not None else []
    for place in {existing_ancestor(Path(place)) for place in places}:
        sync_filesystem(place)


def sync_filesystem(path: Path) -> None:
    """Write everything of the file system that holds `path` to disk (syncfs(2)).

    Raises `StepFailed` if the kernel reports that something could not be written.
    """
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.syncfs(fd) != 0:
            reason = os.strerror(ctypes.get_errno())
            raise StepFailed(f"{path} could not be synced to disk: {reason}.")
    finally:
        os.close(fd)


def tidy(execution: RestoreExecution) -> str:
    """Take the recovery block out of the configuration, so that it misleads nobody later."""
    work = execution.work
    path = Path(work.data_directory, AUTO_CONF)
    before = read_owned(path)
    recovery = {k: v for k, v in work.settings.items() if k not in work.lasting_settings}
    after = without_block(before, RECOVERY_BLOCK)
    if after == before:
        # ALTER SYSTEM has rewritten the file meanwhile and dropped the marker lines.
        after = without_settings(before, recovery)
    if after != before:
        execution.write_owned(path, after)
    # Even where nothing is left to remove: who removed it may have been killed before this.
    postmaster = find_postmaster(Path(work.data_directory))
    if postmaster is not None:
        os.kill(postmaster.pid, signal.SIGHUP)
    return "recovery settings removed" if after != before else "nothing was left"
