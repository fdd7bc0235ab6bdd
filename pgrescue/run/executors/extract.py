"""Extracting base backup and tablespaces; `pg_control` is kept back until everything is there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from pgrescue.catalog.contents import is_wal
from pgrescue.catalog.entries import SourceFile, plain_entries, tablespace_entries
from pgrescue.errors import PgRescueError, StepFailed
from pgrescue.plan.layout import INSIDE
from pgrescue.plan.model import BackupPart, TablespaceWork
from pgrescue.plan.work import (
    COMBINED_MODE,
    chain_directory,
    combine_command,
    combined_directory,
    combined_tablespace,
)
from pgrescue.postgres.control_file import RELATIVE_PATH as PG_CONTROL
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.postgres.manifest import Manifest, read_manifest
from pgrescue.postgres.service import Command
from pgrescue.run.deletion import make_anew, make_data_directory_anew
from pgrescue.run.durable import sync_directory
from pgrescue.run.execution import RestoreExecution
from pgrescue.run.explained import tool_failed
from pgrescue.run.ownership import read_owned
from pgrescue.run.programs import Completed
from pgrescue.run.unpack import Destination, Unpacker, tar_entries

HELD_BACK = "pg_control"
"""Name under which `pg_control` waits in the staging directory."""
_WAL_DIRECTORIES = ("archive_status", "summaries")
_POLL_SECONDS = 0.1


def extract(execution: RestoreExecution) -> str:
    """Fill the new data directory, or the directories that a chain is combined from."""
    work = execution.work
    execution.make_directory(work.staging)
    make_anew(execution, f"{work.staging}/backup")
    Path(work.staging, HELD_BACK).unlink(missing_ok=True)
    if len(work.chain) == 1:
        return _extract_full(execution)
    make_anew(execution, f"{work.staging}/chain")
    files = 0
    for number, part in enumerate(work.chain):
        if part.format == "tar":
            files += _extract_member(execution, number, part)
    return f"{files} files of {len(work.chain)} backups"


def _extract_full(execution: RestoreExecution) -> str:
    work, part = execution.work, execution.work.chain[0]
    data = Path(work.data_directory)
    make_data_directory_anew(execution)
    manifest = _manifest(part)
    reporter = _reporter(execution, work.restore_bytes)
    unpacker = Unpacker(work, manifest, reporter, work.restore_bytes)
    staging = Path(work.staging)

    def redirect(name: str) -> Path | None:
        if name == PG_CONTROL:
            return staging / HELD_BACK
        return _wal_redirect(name, staging)

    to_data = Destination(data, "data", "", redirect, _is_left_out)
    unpacker.write_all(_entries(part, manifest), to_data)
    for item in part.tablespaces:
        root = tablespace_root(execution, item)
        to_tablespace = Destination(
            root,
            "tablespace",
            f"pg_tblspc/{item.oid}/",
            prepare=_version_directories(execution, root),
        )
        unpacker.write_all(_tablespace_entries(part, item, manifest), to_tablespace)
        if part.format == "plain":
            (data / "pg_tblspc" / str(item.oid)).symlink_to(item.destination)
    unpacker.check_complete()
    make_wal_directory(execution, data)
    return _result(unpacker, part)


def _extract_member(execution: RestoreExecution, number: int, part: BackupPart) -> int:
    """Unpack one member of an incremental chain, tablespaces beside it."""
    work = execution.work
    root = Path(chain_directory(work, number))
    manifest = _manifest(part)
    unpacker = Unpacker(work, manifest, _reporter(execution, None))
    root.mkdir(mode=work.mode)
    execution.give_to_owner(root, work.mode)
    last = part is work.chain[-1]
    staging = Path(work.staging)

    def redirect(name: str) -> Path | None:
        return _wal_redirect(name, staging) if last else None

    to_member = Destination(root, "data", "", redirect, _is_left_out)
    unpacker.write_all(_entries(part, manifest), to_member)
    for item in part.tablespaces:
        place = Path(f"{root}.{item.oid}")
        place.mkdir(mode=work.mode)
        execution.give_to_owner(place, work.mode)
        unpacker.write_all(
            _tablespace_entries(part, item, manifest),
            Destination(place, "tablespace", f"pg_tblspc/{item.oid}/"),
        )
        (root / "pg_tblspc" / str(item.oid)).symlink_to(place)
    unpacker.check_complete()
    if manifest is not None:
        execution.write_owned(root / MANIFEST, read_owned(Path(part.path, MANIFEST)))
    return len(unpacker.written.files)


def combine(execution: RestoreExecution) -> str:
    """Make a full data directory of the chain beside the right place; then move it there."""
    work = execution.work
    data = Path(work.data_directory)
    combined = _make_unstartable(execution, combined_directory(work))
    make_data_directory_anew(execution)
    for item in work.chain[-1].tablespaces:
        tablespace_root(execution, item)
        make_anew(execution, combined_tablespace(work, item))
    completed = _run_to_the_end(execution, combine_command(work))
    if completed.exit_code != 0:
        raise tool_failed(
            completed.output,
            completed.exit_code,
            program="pg_combinebackup",
            next_steps=(
                f"pgrescue undo {execution.directory.id}",
                "restore the full backup instead: pgrescue plan --backup ID",
            ),
        )
    move_in(execution, combined)
    for item in work.chain[-1].tablespaces:
        source = Path(combined_tablespace(work, item))
        settle_tablespace(execution, data, item, source)
    _keep_own_wal(execution, data)
    return f"{len(work.chain)} backups combined"


def _run_to_the_end(execution: RestoreExecution, command: Command) -> Completed:
    """However long it takes; it is ended with us, when a stop is asked for or a disk fills up."""
    running = execution.programs.start(command)
    try:
        while (completed := running.poll()) is None:
            execution.wait(_POLL_SECONDS)
    except BaseException:
        running.end()
        raise
    return completed


def _make_unstartable(execution: RestoreExecution, path: str) -> Path:
    """An empty directory in which no server starts, not even while it is emptied."""
    if path in execution.state().made:
        Path(path, PG_CONTROL).unlink(missing_ok=True)
    make_anew(execution, path)
    execution.give_to_owner(Path(path), COMBINED_MODE)
    return Path(path)


def move_in(execution: RestoreExecution, source: Path) -> None:
    """Move a whole cluster into the data directory, but for `pg_control`, which waits in the
    staging directory."""
    work = execution.work
    data = Path(work.data_directory)
    os.rename(source / PG_CONTROL, Path(work.staging, HELD_BACK))
    for entry in sorted(source.iterdir()):
        os.rename(entry, data / entry.name)
    sync_directory(data)


def settle_tablespace(
    execution: RestoreExecution, data: Path, item: TablespaceWork, source: Path
) -> None:
    """Move a tablespace's files to their place and point the link in `pg_tblspc` there."""
    for version in source.iterdir():
        target = tablespace_root(execution, item) / version.name
        make_anew(execution, str(target))
        # One by one: the directory itself stays the one that the journal knows.
        for entry in sorted(version.iterdir()):
            os.rename(entry, target / entry.name)
        version.rmdir()
    source.rmdir()
    link = data / "pg_tblspc" / str(item.oid)
    link.unlink()
    link.symlink_to(item.destination)


def _keep_own_wal(execution: RestoreExecution, data: Path) -> None:
    """Plain chains carry WAL in pg_wal: it is served from the staging directory like any other."""
    place = Path(execution.work.staging, "backup")
    for entry in sorted((data / "pg_wal").iterdir()):
        if entry.is_file():
            os.rename(entry, place / entry.name)
    make_wal_directory(execution, data)


def _wal_redirect(name: str, staging: Path) -> Path | None:
    """WAL inside the backup goes beside the data directory; marks of its archiving stay."""
    head, _, rest = name.partition("/")
    belongs_beside = head == "pg_wal" and "/" not in rest and is_wal(rest)
    return staging / "backup" / rest if belongs_beside else None


def make_wal_directory(execution: RestoreExecution, data: Path) -> None:
    for name in ("pg_wal", "pg_wal/archive_status"):
        place = data / name
        place.mkdir(mode=execution.work.mode, exist_ok=True)
        execution.give_to_owner(place, execution.work.mode)


def _manifest(part: BackupPart) -> Manifest | None:
    if not part.has_manifest:
        return None
    try:
        return read_manifest(Path(part.path))
    except (OSError, PgRescueError) as error:
        raise StepFailed(f"The manifest of {part.id} cannot be read.", str(error)) from error


def _entries(part: BackupPart, manifest: Manifest | None) -> Iterator[SourceFile]:
    root = Path(part.path)
    if part.base_archive is None:
        return plain_entries(root)
    return tar_entries(root / part.base_archive, manifest.total_bytes if manifest else 0)


def _is_left_out(name: str) -> bool:
    """A backup's manifest, what pgrescue has set aside in it, and what is no WAL in its `pg_wal`.

    `pg_wal` has directories of its own, such as `archive_status`.
    """
    head, _, rest = name.partition("/")
    if head == "pg_wal" and rest and rest not in _WAL_DIRECTORIES:
        return not is_wal(rest)
    return name == MANIFEST or head == INSIDE


def _tablespace_entries(
    part: BackupPart, item: TablespaceWork, manifest: Manifest | None
) -> Iterator[SourceFile]:
    if part.format == "plain":
        return tablespace_entries(Path(item.archive))
    archive = Path(part.path, item.archive)
    return tar_entries(archive, manifest.total_bytes if manifest else 0)


def _version_directories(execution: RestoreExecution, root: Path) -> Callable[[str], None]:
    """Makes a tablespace's version directory this run's own before anything is written there."""
    made: set[str] = set()

    def prepare(name: str) -> None:
        version = name.partition("/")[0]
        if version not in made:
            make_anew(execution, str(root / version))
            made.add(version)

    return prepare


def tablespace_root(execution: RestoreExecution, item: TablespaceWork) -> Path:
    """A tablespace's directory by the name that it has without links, made if it is missing.

    By that name the old one is set aside, too: the journal must know both as the same place.
    """
    root = Path(item.destination)
    if not root.exists():
        execution.make_parents(root)
        root.mkdir(mode=execution.work.mode)
        execution.give_to_owner(root, execution.work.mode)
    return Path(os.path.realpath(root))


def _reporter(execution: RestoreExecution, total: int | None) -> Callable[[int, str], None]:
    def report(done: int, name: str) -> None:
        execution.check_abort()
        execution.progress(done, total, name)

    return report


def _result(unpacker: Unpacker, part: BackupPart) -> str:
    count = len(unpacker.written.files)
    checked = "all as the manifest says" if part.has_manifest else "no manifest to compare with"
    return f"{count} files, {unpacker.written.bytes} bytes, {checked}"
