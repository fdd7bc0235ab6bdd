"""WAL around a restore: rescuing what only the old cluster has, and serving all of it."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pgrescue.catalog.contents import is_wal
from pgrescue.plan.fetch_wal import NAME as FETCH_WAL
from pgrescue.plan.work import fetch_wal_text
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.old_data import clear_own
from pgrescue.run.run_directory import sync_directory
from pgrescue.run.unpack import Destination, Unpacker, tar_entries
from pgrescue.survey.archive import unarchived_segments
from pgrescue.wal.archive import WalArchive, scan_archive


def rescue_wal(execution: RestoreExecution) -> str:
    """Copy the segments that the archive lacks from the old `pg_wal`, before it moves."""
    work = execution.work
    execution.make_directory(work.staging)
    tail = f"{work.staging}/tail"
    execution.make_directory(tail)
    archive: WalArchive | None = scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    source = Path(work.old_wal or "")
    names = unarchived_segments(source, archive, work.system_identifier)
    histories = [
        name
        for name in (os.listdir(source) if source.is_dir() else [])
        if name.endswith(".history") and not (archive and int(name[:8], 16) in archive.histories)
    ]
    for name in (*names, *histories):
        execution.check_abort()
        copy_owned(execution, source / name, Path(tail, name))
    sync_directory(Path(tail))
    return f"{len(names)} segments that the archive lacks"


def place_wal(execution: RestoreExecution) -> str:
    """Unpack the backup's WAL into the staging directory and write the script that serves it."""
    work, part = execution.work, execution.work.chain[-1]
    place = Path(work.staging, "backup")
    if part.wal_archive is not None:
        clear_own(execution, str(place))
        unpacker = Unpacker(work, None, lambda _done, _name: execution.check_abort())
        to_staging = Destination(place, "wal", "pg_wal/", left_out=_is_no_wal)
        unpacker.write_all(tar_entries(Path(part.path, part.wal_archive)), to_staging)
    script = Path(work.staging, FETCH_WAL)
    execution.write_owned(script, fetch_wal_text(work), mode=0o700)
    return f"{len(os.listdir(place))} WAL files, served by {script}"


def _is_no_wal(name: str) -> bool:
    """What recovery will not ask for: marks of archiving, and what somebody else has put there."""
    return "/" in name or not is_wal(name)


def copy_owned(execution: RestoreExecution, source: Path, destination: Path) -> None:
    """Copy a file for the server's account, whole or not at all, and sync it."""
    temporary = destination.with_name(f"{destination.name}.pgrescue-new")
    shutil.copyfile(source, temporary)
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    execution.give_to_owner(temporary, execution.work.mode & 0o666)
    temporary.rename(destination)
