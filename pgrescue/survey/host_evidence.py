"""What this machine can add to an explanation; reads only, and never raises."""

from __future__ import annotations

import pwd
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from pgrescue.compression import HEADS
from pgrescue.errors import InvalidFormat
from pgrescue.explain.host import FileSeen
from pgrescue.postgres.account import Account, account_by_uid
from pgrescue.postgres.backup_label import BackupLabel, parse_backup_label
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.data_directory import read_assignments, read_control_file
from pgrescue.postgres.history_file import TimelineHistory
from pgrescue.postgres.postmaster import is_alive, process_title
from pgrescue.survey.free_space import free_at
from pgrescue.wal.archive import ArchivedFile, WalArchive, scan_archive
from pgrescue.wal.page import LONG_HEADER_SIZE, parse_segment_header


class ClusterHost:
    """One cluster's places on this machine, as `explain.host.Host` asks for them."""

    def __init__(
        self,
        data_directory: Path,
        *,
        archive: Path | None = None,
        bin_directory: str | None = None,
        account: str | None = None,
        config_directory: str | None = None,
        again: str | None = None,
    ) -> None:
        """`again`: what goes on once the cause is mended, if not a plain start."""
        self._data = data_directory
        self._archive = archive
        self._config_directory = config_directory
        named = {
            "data": str(data_directory),
            "archive": str(archive) if archive else None,
            "bin": bin_directory,
            "account": account,
            "again": again,
        }
        self.places: Mapping[str, str] = {key: value for key, value in named.items() if value}

    @cached_property
    def _wal(self) -> WalArchive | None:
        try:
            return scan_archive(self._archive) if self._archive else None
        except OSError:
            return None

    def archived(self, name: str) -> FileSeen | None:
        """A WAL file of the archive, in whatever form it is there."""
        if self._wal is None:
            return None
        files: tuple[Mapping[str, ArchivedFile], ...]
        files = (self._wal.segments, self._wal.partials, self._wal.backup_histories)
        for kind in files:
            if name in kind:
                return _seen(kind[name].path)
        return _seen(self._wal.path / name)

    def next_archived(self, name: str) -> str | None:
        """The first later segment of the same timeline that the archive has."""
        if self._wal is None:
            return None
        later = (other for other in self._wal.segments if other[:8] == name[:8] and other > name)
        return min(later, default=None)

    def file(self, path: str) -> FileSeen | None:
        """A file; a relative path is the data directory's, `data` the directory itself."""
        named = self.places.get(path)
        return _seen(Path(named) if named else self._data / path)

    def settings(self, name: str) -> tuple[tuple[str, str], ...]:
        """Every value that a configuration file gives a setting, with the file; the last counts."""
        return tuple(
            (value, str(file))
            for file in self._configuration()
            for key, value in _assignments(file)
            if key == name
        )

    def _configuration(self) -> list[Path]:
        main = Path(self._config_directory or self._data, "postgresql.conf")
        return [main, self._data / "postgresql.auto.conf"]

    def process(self, pid: int) -> str | None:
        """The command of a living process."""
        return process_title(pid) or "one without a command line" if is_alive(pid) else None

    def free(self, path: str) -> tuple[int, int | None, str] | None:
        """What is free for the server on a path's file system, as the protocol has it."""
        try:
            free = free_at(self._data / path, self._owner())
        except (OSError, ValueError):
            return None
        return free.bytes, free.inodes, free.quota

    def _owner(self) -> Account | None:
        try:
            status = self._data.stat()
        except FileNotFoundError:
            return None
        return account_by_uid(status.st_uid, status.st_gid)

    def control(self) -> ControlFile | None:
        """The data directory's pg_control."""
        return read_control_file(self._data)[0]

    def label(self) -> BackupLabel | None:
        """The data directory's backup_label, also once recovery has renamed it."""
        for name in ("backup_label", "backup_label.old"):
            try:
                return parse_backup_label((self._data / name).read_text(errors="replace"))
            except (OSError, InvalidFormat):
                continue
        return None

    def histories(self) -> Mapping[int, TimelineHistory]:
        """The archive's timeline history files."""
        return self._wal.histories if self._wal else {}


def _assignments(file: Path) -> Iterator[tuple[str, str]]:
    try:
        yield from read_assignments(file)
    except OSError:
        return


def _seen(path: Path) -> FileSeen | None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    is_directory = stat.S_ISDIR(status.st_mode)
    return FileSeen(
        path=str(path),
        size=status.st_size,
        mode=stat.S_IMODE(status.st_mode),
        owner=_name(status.st_uid),
        is_directory=is_directory,
        kind="" if is_directory else _kind(path),
    )


def _kind(path: Path) -> str:
    try:
        with path.open("rb") as file:
            head = file.read(LONG_HEADER_SIZE)
    except OSError:
        return ""
    header = parse_segment_header(head)
    if header is not None:
        return f"WAL of PostgreSQL {header.major}"
    if head and not head.strip(b"\0"):
        return "zeros"
    return next((kind for start, kind in HEADS.items() if head.startswith(start)), "")


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
