"""Taking, verifying and entering a base backup."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from pgrescue.backup.model import BackupWork
from pgrescue.backup.places import tablespace_directories
from pgrescue.backup.steps import take_command
from pgrescue.catalog.basebackup import read_backup
from pgrescue.catalog.cache import CatalogCache
from pgrescue.catalog.model import Backup
from pgrescue.catalog.windows import with_window
from pgrescue.errors import StepFailed
from pgrescue.run.backup_place import was_renamed
from pgrescue.run.deletion import make_anew
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import BackupExecution
from pgrescue.run.executors.basebackup_watch import Watched, follow, size_on_disk
from pgrescue.run.explained import tool_failed
from pgrescue.run.records import Entered
from pgrescue.verify.backup import verify_backup
from pgrescue.wal.archive import WalArchive, scan_archive
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId

_POLL_SECONDS = 0.25
_ARCHIVED_WITHIN_SECONDS = 30.0
_NEEDED_WITHIN_SECONDS = 60.0
"""For WAL without which the backup is none."""
_SHOWN_PROBLEMS = 3
_NOT_ARCHIVED = "WAL is not archived: this backup leads back to its own end only."


def prepare(execution: BackupExecution) -> str:
    """Empty directories of this run's own."""
    work = execution.work
    places = [item.destination for item in work.tablespaces]
    for path in (work.partial, *tablespace_directories(work.destination, places)):
        make_anew(execution, path)
    return work.partial


def take(execution: BackupExecution) -> str:
    """Run pg_basebackup to its end, telling how far it is."""
    prepare(execution)
    running = execution.programs.start(take_command(execution.work))
    try:
        taken, said = follow(execution, running, _watched(execution.work))
    except BaseException:
        running.end()
        raise
    completed = running.poll()
    assert completed is not None
    if completed.exit_code != 0:
        unchanged = f"Nothing of it is left; {execution.work.root} has no half backup."
        raise tool_failed(
            said or completed.output,
            completed.exit_code,
            program="pg_basebackup",
            unchanged=unchanged,
            for_backup=True,
            next_steps=(f"then take it again: pgrescue resume {execution.directory.id}",),
        )
    size, _ = size_on_disk(_watched(execution.work), taken.done_bytes)
    return f"{taken.done_bytes} bytes of files, {size} bytes on disk, WAL to {taken.stop_lsn}"


def _watched(work: BackupWork) -> Watched:
    return Watched(
        place=work.partial,
        format=work.format,
        owner=work.owner,
        conninfo=work.conninfo,
        application=work.application,
        major=work.major,
        checkpoint=work.checkpoint,
        checkpoint_bound=work.checkpoint_bound,
        estimated_bytes=work.estimated_bytes,
    )


def verify(execution: BackupExecution) -> str:
    """Read all of it again, and compare it with its manifest."""
    backup = _read(execution, execution.work.partial)

    def report(done: int, name: str) -> None:
        execution.check_abort()
        execution.progress(done, backup.restore_bytes, name)

    takes_wal = execution.work.wal_method != "none"
    found = verify_backup(backup, report, must_carry_wal=takes_wal)
    if not found.ok:
        shown = " ".join(problem.message for problem in found.problems[:_SHOWN_PROBLEMS])
        run = execution.directory.id
        raise StepFailed(
            f"The backup is not what its manifest says: {len(found.problems)} problems.",
            shown,
            unchanged=f"It stays hidden at {execution.work.partial}, for you to look at.",
            next_steps=(
                "look at the disk and its cabling: dmesg",
                f"pgrescue undo {run}   removes it",
                "then take another backup",
            ),
        )
    against = "compared with its manifest" if found.is_proved else "read; it has no manifest"
    return f"{found.files} files, {found.bytes} bytes, {against}"


def publish(execution: BackupExecution) -> str:
    """Rename it, sync, and enter it in the catalog."""
    work = execution.work
    partial, destination = Path(work.partial), Path(work.destination)
    if not was_renamed(work, execution.state()):
        if os.path.lexists(destination):
            raise StepFailed(
                f"{destination} exists already.",
                "Something appeared there since the plan was made.",
                unchanged=f"It is untouched, and the new backup stays hidden at {partial}.",
                next_steps=(f"move it away, then: pgrescue resume {execution.directory.id}",),
            )
        backup = _read(execution, work.partial)
        if work.wal_method == "none":
            _await_its_wal(execution, backup)
        os.rename(partial, destination)
    sync_directory(destination.parent)
    backup = _read(execution, work.destination)
    verified = execution.state().done("verify") and backup.has_manifest
    if verified:
        cache = CatalogCache(Path(work.catalog_cache))
        cache.set_verified(destination, datetime.now(UTC))
        cache.save()
    execution.journal.append(
        Entered(
            backup=backup.id,
            path=work.destination,
            size_bytes=backup.size_bytes,
            verified=verified,
        )
    )
    _see_that_it_is_archived(execution, backup)
    return f"{backup.id}, {backup.size_bytes} bytes; {_window_opened(work, backup)}"


def _read(execution: BackupExecution, path: str) -> Backup:
    """The backup as its files say; raises `StepFailed` if it is not usable."""
    backup = read_backup(Path(path), whole=False)
    if not backup.usable:
        problems = " ".join(problem.message for problem in backup.problems if problem.fatal)
        raise StepFailed(
            "What was taken is no usable backup.",
            problems or "No reason is known.",
            unchanged=f"It is at {path}, for you to look at.",
            next_steps=(f"pgrescue undo {execution.directory.id}   removes it",),
        )
    identifier = execution.work.system_identifier
    if backup.system_identifier not in (None, identifier):
        raise StepFailed(
            "Another cluster than the planned one was backed up.",
            f"Its system identifier is {backup.system_identifier}, not {identifier}.",
            unchanged=f"It is at {path}, for you to look at.",
            next_steps=("look which server answers there now, then make a new plan",),
        )
    return backup


def _await_its_wal(execution: BackupExecution, backup: Backup) -> None:
    """What carries no WAL is a backup once the archive has what it needs; raises `StepFailed`."""
    work, run = execution.work, execution.directory.id
    deadline = time.monotonic() + _NEEDED_WITHIN_SECONDS
    while (found := with_window(backup, _archive(work))).window is None:
        if time.monotonic() > deadline:
            problems = " ".join(problem.message for problem in found.problems if problem.fatal)
            raise StepFailed(
                "The archive does not have the WAL without which the backup is worth nothing.",
                problems or "It is not known from where to where it can be recovered.",
                unchanged=f"The backup stays hidden at {work.partial}.",
                next_steps=(
                    "look at the server's archiving: pgrescue doctor --test-archiving",
                    f"once the WAL is in {work.wal_archive}: pgrescue resume {run}",
                    f"pgrescue undo {run}   removes it",
                ),
            )
        execution.progress(0, None, "waiting for its WAL in the archive")
        execution.wait(_POLL_SECONDS)


def _archive(work: BackupWork) -> WalArchive | None:
    """What is in the archive now; None if it cannot be read."""
    try:
        return scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    except OSError:
        return None


def _window_opened(work: BackupWork, backup: Backup) -> str:
    """From where to where this backup can be recovered now."""
    window = with_window(backup, _archive(work)).window
    if window is None:
        return "it cannot be recovered without more WAL"
    return f"recoverable from {window.from_lsn} to {window.to_lsn}"


def _reaches(work: BackupWork, first: SegmentId, size: int) -> bool:
    """Whether somebody archives, though this server does not: the primary, or pg_receivewal.

    Then what came just before the backup is there.
    """
    archive = _archive(work)
    numbers = archive.numbers(first.timeline, size) if archive is not None else ()
    return any(number >= first.number - 1 for number in numbers)


def _see_that_it_is_archived(execution: BackupExecution, backup: Backup) -> None:
    """Tell, without failing, whether recovery can go beyond the backup's end."""
    work = execution.work
    if work.wal_archive is None:
        execution.note(_NOT_ARCHIVED)
        return
    if backup.start_lsn is None or backup.stop_lsn is None or backup.details is None:
        return
    size = backup.details.wal_segment_size or DEFAULT_SEGMENT_SIZE
    first = SegmentId.at(backup.start_lsn, backup.timeline or 1, size)
    last = SegmentId.before(backup.stop_lsn, backup.timeline or 1, size)
    if not work.archives and not _reaches(work, first, size):
        execution.note(_NOT_ARCHIVED)
        return
    if work.in_recovery:
        # No backup of a standby makes the primary end a segment.
        archive = _archive(work)
        if archive is None or last.name(size) not in archive.segments:
            execution.note(
                f"{last.name(size)}, with which the backup ends, comes into the archive once the "
                "primary has filled it: recovery can go beyond the backup's end from then on."
            )
        return
    deadline = time.monotonic() + _ARCHIVED_WITHIN_SECONDS
    while True:
        try:
            archive = scan_archive(Path(work.wal_archive))
        except OSError as error:
            execution.note(f"The archive {work.wal_archive} cannot be read: {error.strerror}.")
            return
        if last.name(size) in archive.segments:
            break
        if time.monotonic() > deadline:
            execution.note(
                f"{last.name(size)}, with which the backup ends, has not arrived in "
                f"{work.wal_archive}: look at the server's archiving (pgrescue doctor)."
            )
            return
        execution.progress(0, None, f"waiting for {last.name(size)} in the archive")
        execution.wait(_POLL_SECONDS)
    later = [number for number in archive.numbers(last.timeline, size) if number > last.number]
    behind = replace(last, number=last.number + 1)
    if later and later[0] != behind.number:
        execution.note(
            f"In the archive {behind.name(size)} is missing behind the backup: recovery cannot go "
            "beyond it."
        )


EXECUTORS: Mapping[str, Callable[[BackupExecution], str]] = {
    "prepare": prepare,
    "take": take,
    "verify": verify,
    "publish": publish,
}
"""Which executor does which step. A test holds this equal to the planner's steps."""
