"""Writing a base backup's files: from a tar or a directory, every file checked as it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path, PurePosixPath

from pgrescue.catalog.contents import Part, differs, forbidden
from pgrescue.catalog.entries import CHUNK_BYTES, SourceFile
from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.errors import StepFailed
from pgrescue.plan.layout import INSIDE
from pgrescue.plan.model import Work
from pgrescue.postgres.manifest import CHANGEABLE, Manifest
from pgrescue.run.ownership import give

_DAMAGED: tuple[type[Exception], ...] = (TruncatedArchive, DamagedArchive, *DECOMPRESSION_ERRORS)


@dataclass(slots=True)
class Written:
    """What has been written so far."""

    bytes: int = 0
    data_bytes: int = 0
    """Those without WAL."""
    files: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the entries of one archive or directory go."""

    root: Path
    part: Part
    manifest_prefix: str
    """What the manifest puts before these names: `pg_tblspc/OID/` for a tablespace."""
    redirect: Callable[[str], Path | None] = lambda _: None
    """Another place for a file, or None for the ordinary one."""
    left_out: Callable[[str], bool] = lambda _: False
    """Whether a name is not restored."""
    prepare: Callable[[str], None] = lambda _: None
    """Called with each name before anything is written for it."""


class Unpacker:
    """Writes entries with the owner and modes that PostgreSQL demands, and checks them."""

    def __init__(
        self,
        work: Work,
        manifest: Manifest | None,
        report: Callable[[int, str], None],
        planned: int | None = None,
    ) -> None:
        """`planned`: bytes, without WAL, that were there when the plan was made."""
        self._work = work
        self._manifest = manifest
        self._report = report
        self._planned = planned
        self.written = Written()

    def write_all(self, entries: Iterator[SourceFile], destination: Destination) -> None:
        """Write every entry; raises `StepFailed` on damage, hostile names and mismatches."""
        for entry in entries:
            if entry.oddity is not None and self._manifest is None:
                continue  # a copy of a data directory may have links; the server sends none
            name = _safe_name(destination.part, entry)
            if not name or destination.left_out(name):
                continue
            destination.prepare(name)
            elsewhere = destination.redirect(name)
            if not entry.is_directory:
                listed = destination.manifest_prefix + name
                self._write(entry, elsewhere or destination.root / name, listed)
            elif elsewhere is None:
                self._make_directory(destination.root / name)
            else:
                raise _mismatch(name, "it is a directory and should be a file")

    def check_complete(self) -> None:
        """Raise `StepFailed` if the manifest lists files that were not there."""
        if self._manifest is None:
            return
        missing = set(self._manifest.files) - self.written.files - CHANGEABLE
        missing = {name for name in missing if not name.startswith(f"{INSIDE}/")}
        if missing:
            raise StepFailed(
                f"The backup lacks {len(missing)} of its files.",
                f"The manifest lists them, the backup has not got them, such as {min(missing)}.",
                next_steps=("pgrescue catalog", "choose another backup"),
            )

    def _make_directory(self, place: Path) -> None:
        if not place.is_dir():
            self._make_directory(place.parent)
            try:
                place.mkdir(mode=self._work.mode)
            except FileExistsError as error:
                raise _mismatch(place.name, "it is in the backup twice") from error
            give(place, self._work.owner, self._work.mode)

    def _write(self, entry: SourceFile, place: Path, listed: str) -> None:
        self._check_size(listed, entry.size)
        expected = self._manifest.files.get(listed) if self._manifest else None
        digest = expected.digest() if expected is not None else None
        self._make_directory(place.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(place, flags, self._work.mode & 0o666)
        except FileExistsError as error:
            raise _mismatch(listed, "it is in the backup twice") from error
        size = 0
        with FileIO(fd, "wb") as file:
            if os.geteuid() == 0:
                os.fchown(fd, self._work.owner.uid, self._work.owner.gid)
            for chunk in entry.chunks:
                size += len(chunk)
                if size > entry.size:
                    raise _mismatch(listed, f"it has more than the {entry.size} bytes it began as")
                _write_whole(file, chunk)
                if digest is not None:
                    digest.update(chunk)
                self.written.bytes += len(chunk)
                self._report(self.written.bytes, listed)
        if expected is not None and listed not in CHANGEABLE:
            if size != expected.size:
                raise _mismatch(listed, f"it has {size} bytes, the manifest says {expected.size}")
            if digest is not None and digest.hexdigest() != (expected.checksum or "").lower():
                raise _mismatch(listed, "its checksum is not the manifest's")
        if not listed.startswith("pg_wal/"):
            self.written.data_bytes += size
        self.written.files.add(listed)

    def _check_size(self, listed: str, size: int) -> None:
        """What cannot be right is refused before its first byte is written."""
        reason = differs(self._manifest, listed, size) if self._manifest is not None else None
        most = self._most(listed)
        if reason is None and most is not None and size > most:
            reason = f"it has {size} bytes, and may have {most} at most"
        if reason is not None:
            raise _mismatch(listed, reason)

    def _most(self, listed: str) -> int | None:
        """Bytes that a file may have which no manifest knows; None if nothing tells."""
        if listed.startswith("pg_wal/"):
            return self._work.wal_segment_size
        if self._manifest is not None or self._planned is None:
            return None
        return self._planned - self.written.data_bytes


def _write_whole(file: FileIO, chunk: bytes) -> None:
    """Write every byte: a full disk takes a part first, and refuses only the next call."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def tar_entries(path: Path, expected: int = 0) -> Iterator[SourceFile]:
    """The entries of a tar archive, read to its very end; raises `StepFailed` on damage.

    `expected`: bytes that its files are known to hold.
    """
    try:
        with TarStream(path, expected) as stream:
            for member in stream.members():
                if member.oddity is not None:
                    raise _mismatch(member.name, forbidden("data", member.name, member.oddity))
                chunks = _whole(path, stream.chunks(member, CHUNK_BYTES))
                yield SourceFile(member.name, member.is_directory, chunks, member.size)
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _whole(path: Path, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same: whoever writes them reads from here, where damage has the archive's name."""
    try:
        yield from chunks
    except _DAMAGED as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> StepFailed:
    if isinstance(error, OSError) and error.errno is not None:
        return StepFailed(
            f"The archive {path.name} cannot be read: {os.strerror(error.errno)}.",
            str(error),
            next_steps=(
                "look for errors of the device: dmesg",
                "once it can be read: pgrescue resume",
                "pgrescue undo",
            ),
        )
    kind = "ends too early" if isinstance(error, TruncatedArchive | EOFError) else "is damaged"
    return StepFailed(
        f"The archive {path.name} {kind}.",
        f"{path}: {error or type(error).__name__}",
        next_steps=("pgrescue undo", "choose another backup: pgrescue catalog"),
    )


def _safe_name(part: Part, entry: SourceFile) -> str:
    """A name that stays below its root; raises `StepFailed` for one that would not."""
    if (reason := forbidden(part, entry.name, entry.oddity)) is not None:
        raise _mismatch(entry.name, reason)
    return "/".join(one for one in PurePosixPath(entry.name).parts if one != ".")


def _mismatch(name: str, what: str | None) -> StepFailed:
    return StepFailed(
        f"The backup does not hold what it should: {name!r}.",
        f"{name!r}: {what}.",
        next_steps=("pgrescue undo", "choose another backup: pgrescue catalog"),
    )
