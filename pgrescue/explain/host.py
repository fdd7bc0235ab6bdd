"""What an explanation may ask the machine; answered by `survey/host_evidence.py`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from pgrescue.postgres.backup_label import BackupLabel
from pgrescue.postgres.control_file import ControlFile
from pgrescue.postgres.history_file import TimelineHistory


@dataclass(frozen=True, slots=True)
class FileSeen:
    """A file or directory as it is now."""

    path: str
    size: int
    mode: int
    owner: str
    is_directory: bool
    kind: str
    """What its first bytes say, such as `gzip`, `WAL of PostgreSQL 15` or `zeros`."""


class Host(Protocol):
    """One cluster on this machine, for reading only. None means: not known."""

    @property
    def places(self) -> Mapping[str, str]:
        """For commands: `data`, `archive`, `bin`, `account`, and `again`, which goes on."""

    def archived(self, name: str) -> FileSeen | None:
        """A WAL file of the archive, in whatever form it is there."""

    def next_archived(self, name: str) -> str | None:
        """The first later segment of the same timeline that the archive has."""

    def file(self, path: str) -> FileSeen | None:
        """A file; a relative path is the data directory's."""

    def settings(self, name: str) -> tuple[tuple[str, str], ...]:
        """Every value that a configuration file gives a setting, with the file; the last counts."""

    def process(self, pid: int) -> str | None:
        """The command of a living process."""

    def free(self, path: str) -> tuple[int, int | None, str] | None:
        """Bytes and inodes that the server can still use on a path's file system (None where it
        counts no inodes), and whose quota it is that leaves no more."""

    def control(self) -> ControlFile | None:
        """The data directory's pg_control."""

    def label(self) -> BackupLabel | None:
        """The data directory's backup_label."""

    def histories(self) -> Mapping[int, TimelineHistory]:
        """The archive's timeline history files."""


class NoHost:
    """Nothing is known but the log itself."""

    places: Mapping[str, str] = {}

    def archived(self, name: str) -> None:
        """Nothing."""

    def next_archived(self, name: str) -> None:
        """Nothing."""

    def file(self, path: str) -> None:
        """Nothing."""

    def settings(self, name: str) -> tuple[tuple[str, str], ...]:
        """Nothing."""
        return ()

    def process(self, pid: int) -> None:
        """Nothing."""

    def free(self, path: str) -> None:
        """Nothing."""

    def control(self) -> None:
        """Nothing."""

    def label(self) -> None:
        """Nothing."""

    def histories(self) -> Mapping[int, TimelineHistory]:
        """Nothing."""
        return {}
