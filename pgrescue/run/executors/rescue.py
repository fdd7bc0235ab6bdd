"""Rescuing the WAL that the archive lacks: copied, compared and walked before it counts."""

from __future__ import annotations

import filecmp
import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import takewhile
from pathlib import Path

from pgrescue.catalog.entries import open_regular
from pgrescue.errors import StepFailed
from pgrescue.plan.work import held_directory, tail_directory
from pgrescue.postgres.lsn import Lsn
from pgrescue.run.deletion import clear_own
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.ownership import create_anew
from pgrescue.survey.wal_tail import (
    is_archived,
    is_behind,
    is_shorter,
    look_at_tail,
)
from pgrescue.wal.archive import WalArchive, scan_archive
from pgrescue.wal.pages import SegmentFile
from pgrescue.wal.segment import HISTORY_NAME, NAME, SegmentId
from pgrescue.wal.summarize import summarize

_CHUNK_BYTES = 1 << 20
_UNFINISHED = ".pgrescue-new"


class _Unreadable(StepFailed):
    """WAL that cannot be read where it lies."""


def rescue_wal(execution: RestoreExecution) -> str:
    """Copy the segments that the archive lacks from the old `pg_wal`, before it moves; and those
    that earlier runs have rescued from it.

    Raises `StepFailed` if one cannot be read, if a copy is not what was read, or if the copies do
    not reach as far as the plan promises. A clone takes nothing away: of what cannot be read for
    it, or has gone with a server that was started meanwhile, it is noted.
    """
    work, takes_nothing = execution.work, execution.plan.mode == "clone"
    execution.make_directory(work.staging)
    tail = tail_directory(work)
    execution.make_directory(tail)
    archive: WalArchive | None = scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    held = Path(held_directory(work))
    own = [Path(work.old_wal), held] if work.old_wal else []
    found = look_at_tail(own, archive, work.system_identifier, work.doubted_wal)
    files = {**_histories(own, archive), **found.files}
    files = _with_rescued(files, execution, archive)
    left_out = [item for item in found.unreadable if Path(item.path).name not in files]
    failed = {Path(item.path).name: item.reason for item in left_out}
    for item in left_out:
        if not takes_nothing:
            raise _unreadable(execution, Path(item.path), item.reason)
    names = []
    for name, source in files.items():
        execution.check_abort()
        try:
            if not _is_copied(source, Path(tail, name)):
                copy_owned(execution, source, Path(tail, name))
        except _Unreadable as problem:
            if not takes_nothing:
                raise
            failed[name] = problem.title
        else:
            names.append(name)
    if takes_nothing:
        _note_what_is_left_out(execution, set(names), failed)
    _remove_what_is_archived_by_now(Path(tail), set(names), archive)
    there = sorted(name for name in os.listdir(tail) if NAME.fullmatch(name))
    if not takes_nothing and archive is not None:
        check_it_is_all(execution, archive, there)
    _let_go(execution)
    copied = f"{len(there)} segments that the archive lacks"
    wanted = sorted({*there, *(name for name in files if NAME.fullmatch(name))})
    segments = tuple(takewhile(lambda name: name in there, wanted))
    if not segments:
        return copied
    return f"{copied}, whole as far as {_walk(execution, Path(tail), segments)}"


def _is_copied(source: Path, copy: Path) -> bool:
    """Whether an earlier try has got as much: read, both of them."""
    with suppress(OSError):  # copying it tells what is wrong
        return filecmp.cmp(source, copy, shallow=False)
    return False


def _let_go(execution: RestoreExecution) -> None:
    """Of the second names that segments had during the stop."""
    held = held_directory(execution.work)
    if held in execution.state().made and os.path.lexists(held):
        clear_own(execution, held)


def check_it_is_all(
    execution: RestoreExecution, archive: WalArchive, there: Collection[str]
) -> None:
    """Raise `StepFailed` if a segment that the plan counts on has gone meanwhile."""
    work, tail = execution.work, execution.plan.wal_tail
    for name in tail.segments if tail is not None else ():
        if name in there or _is_whole_elsewhere(execution, archive, name):
            continue
        raise StepFailed(
            f"{name} is not in {work.old_wal} any more.",
            "The plan counts on it, and the archive has no whole copy of it.",
            next_steps=(
                f"once the archive has got it: pgrescue resume {execution.directory.id}",
                "or make a new plan with the same options, and see what it keeps",
                f"pgrescue undo {execution.directory.id}",
            ),
        )


def _is_whole_elsewhere(execution: RestoreExecution, archive: WalArchive, name: str) -> bool:
    """Whether the archive has it by now; where its copy was damaged, one that has been mended."""
    work = execution.work
    if not is_archived(archive, name, work.wal_segment_size):
        return False
    if name not in work.doubted_wal:
        return True
    places = (work.old_wal or "", held_directory(work))
    mine = [Path(place, name) for place in places if Path(place, name).is_file()]
    return bool(mine) and not any(is_behind(archive, name, path) for path in mine)


def _with_rescued(
    files: dict[str, Path], execution: RestoreExecution, archive: WalArchive | None
) -> dict[str, Path]:
    """With what earlier runs have rescued, unless there is as much in the old `pg_wal`, or the
    archive has got it since and they have let it go."""
    found = dict(files)
    for path in map(Path, execution.work.rescued):
        is_gone = not path.exists()
        if _has(archive, path.name, execution.work.wal_segment_size) and (
            is_gone or not is_behind(archive, path.name, path)
        ):
            continue  # the archive has got it since, maybe with more in it
        if path.name not in found or (not is_gone and is_shorter(found[path.name], path)):
            found[path.name] = path
    return found


def _remove_what_is_archived_by_now(
    tail: Path, names: Collection[str], archive: WalArchive | None
) -> None:
    """Of an earlier try: what the old server, started since, has archived, maybe with more in it,
    goes; what has vanished from its `pg_wal` meanwhile may be the only copy, and stays."""
    for name in {*os.listdir(tail)} - {*names}:
        copy = tail / name
        if name.endswith(_UNFINISHED) or (
            is_archived(archive, name, copy.stat().st_size) and not is_behind(archive, name, copy)
        ):
            copy.unlink()
    sync_directory(tail)


def _histories(places: Sequence[Path], archive: WalArchive | None) -> dict[str, Path]:
    """The history files that the archive lacks, by name."""
    return {
        name: source / name
        for source in places
        for name in (os.listdir(source) if source.is_dir() else ())
        if HISTORY_NAME.fullmatch(name) and not _has(archive, name, 0)
    }


def _has(archive: WalArchive | None, name: str, size: int) -> bool:
    """Whether the archive has a segment of that size, or a history file."""
    if HISTORY_NAME.fullmatch(name):
        return archive is not None and int(name[:8], 16) in archive.histories
    return is_archived(archive, name, size)


def _note_what_is_left_out(
    execution: RestoreExecution, copied: set[str], failed: Mapping[str, str]
) -> None:
    """Of what a clone does not get, what the archive has not got by now either."""
    work, tail = execution.work, execution.plan.wal_tail
    archive = scan_archive(Path(work.wal_archive)) if work.wal_archive else None
    for name in sorted({*(tail.segments if tail else ()), *failed} - copied):
        if not is_archived(archive, name, work.wal_segment_size):
            why = failed.get(name, f"it is not in {work.old_wal} any more")
            execution.note(f"The clone goes without {name}: {why}")


def copy_owned(execution: RestoreExecution, source: Path, destination: Path) -> None:
    """Copy a file for the server's account, whole or not at all; synced, read again and compared.

    Raises `StepFailed` if the source cannot be read or the copy differs; OSError if it cannot be
    written.
    """
    temporary = destination.with_name(f"{destination.name}{_UNFINISHED}")
    read = hashlib.sha256()
    try:
        with os.fdopen(create_anew(temporary, 0o600), "wb") as file:
            for chunk in _chunks(execution, source):
                read.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
            # What is in memory only is dropped, so that the copy is read from where it lies.
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        with open_regular(temporary) as file:
            copied = hashlib.file_digest(file, "sha256")
        if copied.digest() != read.digest():
            raise StepFailed(
                f"The copy of {source.name} is not what was copied.",
                f"{temporary} was read again, and differs from what had been read of {source}: "
                "a fault of memory or of the device.",
                next_steps=(
                    "look for errors of the device: dmesg",
                    f"pgrescue resume {execution.directory.id}   copies it again",
                ),
            )
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    execution.give_to_owner(temporary, execution.work.mode & 0o666)
    temporary.rename(destination)


def _chunks(execution: RestoreExecution, source: Path) -> Iterator[bytes]:
    try:
        with open_regular(source) as file:
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk
    except OSError as error:
        raise _unreadable(execution, source, error.strerror or str(error)) from error


def _unreadable(execution: RestoreExecution, path: Path, reason: str) -> _Unreadable:
    return _Unreadable(
        f"{path.name} cannot be read: {reason}.",
        f"{path} holds WAL that is nowhere else; what is committed in it would be lost.",
        next_steps=(
            "look for errors of the device: dmesg",
            "copy it into the archive by other means; or, to go on without it, move it to another "
            "name",
            f"then: pgrescue resume {execution.directory.id}",
        ),
    )


def _walk(execution: RestoreExecution, tail: Path, names: tuple[str, ...]) -> Lsn:
    """Go through every record of the copies, CRCs compared; returns where the WAL in them ends.

    Where it ends early the plan has said so; `StepFailed` if it has promised more.
    """
    size, stop = execution.work.wal_segment_size, execution.plan.stop
    segments = [SegmentId.parse(name, size) for name in names]
    end = Lsn(0)
    for name, segment in zip(names, segments, strict=True):
        execution.check_abort()
        source = SegmentFile(str(tail / name))
        summary = summarize(source, segment.start(size), segment.timeline, check_crc=True)
        end = max(end, summary.end)
        if summary.is_whole:
            continue
        where = f"{name} at {summary.end}: {summary.reason or summary.end_kind}"
        goes_on = SegmentId(segment.number + 1, segment.timeline) in segments
        promised = stop.replayed_to if segment.timeline == stop.timeline else None
        if promised is not None and summary.end < promised:
            if goes_on or promised <= segment.end(size):
                raise _damaged(execution, where, promised)
        elif goes_on:
            execution.note(f"The rescued WAL is damaged in {where}.")
    return end


def _damaged(execution: RestoreExecution, where: str, promised: Lsn) -> StepFailed:
    return StepFailed(
        "The WAL that only the old pg_wal has does not reach as far as the plan says.",
        f"It ends in {where}; when the plan was made, it could be read up to {promised}.",
        next_steps=(
            "look for errors of the device: dmesg",
            "make a new plan with the same options, and see what it keeps",
            f"pgrescue undo {execution.directory.id}",
        ),
    )
