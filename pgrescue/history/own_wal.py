"""The WAL that a backup carries itself; what is inside a tar file is read in one pass."""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pgrescue.catalog.model import Backup
from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import ArchivedFile
from pgrescue.wal.index_store import stamp_of
from pgrescue.wal.pages import Identity
from pgrescue.wal.segment import MAX_SEGMENT_SIZE, SegmentId

_IN_MEMORY = 64 << 20
"""Bytes of segments that are kept in memory; more go to a file without a name."""
_KEPT = 4 << 30
_LEFT_FREE = 1 << 30
"""A rescue must not be what fills the file system for temporary files."""


def own_segments(backup: Backup, size: int) -> dict[str, ArchivedFile]:
    """The segments that the backup carries itself: listed, or those from its start to its stop."""
    details = backup.details
    if details is None or details.wal_inside == "none" or backup.start_lsn is None:
        return {}
    if details.wal_segments:
        names = details.wal_segments
    else:
        timeline = backup.timeline or 1
        first = SegmentId.at(backup.start_lsn, timeline, size).number
        last = SegmentId.before(backup.stop_lsn or Lsn(backup.start_lsn + 1), timeline, size).number
        names = tuple(SegmentId(number, timeline).name(size) for number in range(first, last + 1))
    place = f"{backup.path}/pg_wal" if backup.format == "plain" else backup.path
    if backup.format == "plain":
        return {name: ArchivedFile(name, f"{place}/{name}", size) for name in names}
    holder = details.wal_archive or details.base_archive
    return {name: ArchivedFile(name, f"{place}/{holder}", size) for name in names}


class TarSegments:
    """The segments of one tar file that are wanted, in the order in which they come.

    What a pass goes by is kept, and the pass goes on only when something further is asked for. A
    tar file that has changed is begun anew. Several threads may ask.
    """

    def __init__(self, archive: str, wanted: Collection[str]) -> None:
        self.archive = archive
        self._wanted = frozenset(wanted)
        self._lock = threading.Lock()
        self._stamp: bytes | None = None
        self._pass: _Pass | None = None

    def content(self, name: str) -> bytes:
        """One segment's bytes; raises OSError and what decompressing raises."""
        with self._lock:
            stamp = stamp_of(self.archive)
            if self._pass is None or stamp is None or stamp != self._stamp:
                # Taken before the file is opened: one that is exchanged in between is begun anew.
                self._stamp = stamp
                self._pass = _Pass(self.archive, self._wanted)
            found = self._pass.content(name)
            if found is None:  # gone by, when there was no room to keep it
                found = _Pass(self.archive, {name}).content(name)
        if found is None:
            raise FileNotFoundError(2, "no such segment in the archive", name)
        return found


@dataclass(frozen=True, slots=True)
class SegmentInTar:
    """A segment inside a backup's tar file."""

    segments: TarSegments
    name: str

    def open(self) -> BinaryIO:
        """Its bytes, read into memory; raises OSError and what decompressing raises."""
        return BytesIO(self.segments.content(self.name))

    def size(self) -> int | None:
        """Known only from the tar file's headers, which are read with the bytes."""
        return None

    def identity(self) -> Identity:
        """As long as the tar file is the same, so is every segment in it."""
        return Identity(f"{self.segments.archive}//{self.name}", self.segments.archive)


class _Pass:
    """One pass over a tar file, as far as it has come."""

    def __init__(self, archive: str, wanted: Collection[str]) -> None:
        self._missing = set(wanted)
        self._coming = _members(archive, wanted)
        self._error: Exception | None = None
        self._kept: dict[str, tuple[int, int]] = {}
        self._end = 0
        self._full = False
        # Beyond its size it becomes a file without a name: it goes with the process, however
        # that ends.
        self._file = tempfile.SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115
        weakref.finalize(self, self._file.close)

    def content(self, name: str) -> bytes | None:
        """A segment that was kept or is still to come; None if it has gone by and was not kept."""
        if name in self._kept:
            begin, size = self._kept[name]
            self._file.seek(begin)
            return self._file.read(size)
        try:
            for found, content in self._coming:
                self._missing.discard(found)
                self._keep(found, content)
                if found == name:
                    return content
        except DECOMPRESSION_ERRORS as error:
            self._error = error.with_traceback(None)
        if name not in self._missing:
            return None
        raise self._error or FileNotFoundError(2, "no such segment in the archive", name)

    def _keep(self, name: str, content: bytes) -> None:
        end = self._end + len(content)
        try:
            if self._full or end > _KEPT or (end > _IN_MEMORY and _free() < end + _LEFT_FREE):
                return
            self._file.seek(self._end)
            self._file.write(content)
            self._file.flush()
        except OSError:  # no room after all; what was kept may be lost with it
            self._full = True
            self._kept.clear()
            return
        self._kept[name] = (self._end, len(content))
        self._end = end


def _members(archive: str, wanted: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The wanted segments as they come; raises OSError and what decompressing raises."""
    missing = set(wanted)
    try:
        with TarStream(Path(archive)) as stream:
            for member in stream.members():
                name = member.name.rpartition("/")[2]
                if name not in missing:
                    continue
                missing.remove(name)
                if member.size > MAX_SEGMENT_SIZE:
                    raise DamagedArchive(f"{name} is said to have {member.size} bytes")
                yield name, stream.content(member)
                if not missing:
                    return
    except (TruncatedArchive, DamagedArchive) as error:
        raise OSError(f"{archive} is damaged: {error}") from error


def _free() -> int:
    return shutil.disk_usage(tempfile.gettempdir()).free
