"""WAL that a stop may remove: held under a second name until it has been rescued."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

from pgrescue.errors import StepFailed
from pgrescue.plan.work import held_directory, tail_directory
from pgrescue.postgres.postmaster import server_processes
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.executors.rescue import check_it_is_all, copy_owned
from pgrescue.run.executors.service import stop
from pgrescue.survey.wal_tail import look_at_tail
from pgrescue.wal.archive import scan_archive

_NEW = ".pgrescue-new"


def stop_server(execution: RestoreExecution) -> str:
    """Stop the server; the WAL that its stop may remove is held before."""
    _hold_wal(execution)
    return stop(execution)


def _hold_wal(execution: RestoreExecution) -> None:
    """Give every segment that the archive lacks a second name, while its server runs.

    The checkpoint of a stop removes what the server takes for archived, the newest one, too, or
    renames it to be written anew (`ShutdownXLOG`, `RemoveOldXlogFiles` in
    `src/backend/access/transam/xlog.c`). Under the second name it stays, with all that is written
    until then. Raises `StepFailed`, the server still running, if what the plan counts on has gone.
    """
    work = execution.work
    if not work.old_wal or not server_processes(Path(work.data_directory)):
        return
    pg_wal, place = Path(work.old_wal), Path(held_directory(work))
    archive = scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    found = look_at_tail([pg_wal], archive, work.system_identifier, work.doubted_wal)
    if archive is not None:
        unread = (Path(item.path).name for item in found.unreadable)
        check_it_is_all(execution, archive, {*found.names, *unread, *_kept_already(execution)})
    doubted = (name for name in work.doubted_wal if (pg_wal / name).is_file())
    names = sorted({*found.names, *doubted})
    if not names:
        return
    execution.make_directory(work.staging)
    execution.make_directory(str(place))
    for name in names:
        execution.check_abort()
        if not _linked(pg_wal / name, place / name) and _is_finished(pg_wal, name, names):
            _copy(execution, pg_wal / name, place / name)
    sync_directory(place)
    execution.check_abort()


def _kept_already(execution: RestoreExecution) -> set[str]:
    """What earlier tries, and earlier runs, have got of the segments."""
    work = execution.work
    places = [Path(tail_directory(work)), Path(held_directory(work))]
    names = {name for place in places if place.is_dir() for name in os.listdir(place)}
    return names | {Path(path).name for path in work.rescued}


def _linked(path: Path, held: Path) -> bool:
    """Whether a segment has its second name, or is gone; not on another filesystem."""
    new = held.with_name(f"{held.name}{_NEW}")
    new.unlink(missing_ok=True)
    try:
        os.link(path, new, follow_symlinks=False)
    except FileNotFoundError:
        return True  # archived and removed meanwhile
    except OSError:
        return False
    new.replace(held)
    new.unlink(missing_ok=True)  # two names of one file: then a rename does nothing
    return True


def _is_finished(pg_wal: Path, name: str, names: Collection[str]) -> bool:
    """Whether the server writes nothing more to it: the beginning of a segment is not worth a copy.

    Of the newest one the server says so when it is to be archived.
    """
    if name != max(names, key=lambda one: (one[8:], one[:8])):
        return True
    status = pg_wal / "archive_status"
    return any((status / f"{name}.{word}").exists() for word in ("ready", "done"))


def _copy(execution: RestoreExecution, path: Path, held: Path) -> None:
    try:
        copy_owned(execution, path, held)
    except StepFailed:
        if path.exists():
            raise
    if not path.exists():  # removed meanwhile, or renamed and written anew
        held.unlink(missing_ok=True)
