"""Writing a base backup's files: from a tar or a directory, every file checked as it is written."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path, PurePosixPath

from pgrescue.catalog.entries import CHUNK_BYTES, SourceFile
from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.errors import StepFailed
from pgrescue.plan.model import Work
from pgrescue.postgres.manifest import CHANGEABLE, Manifest

_DAMAGED: tuple[type[Exception], ...] = (TruncatedArchive, DamagedArchive, *DECOMPRESSION_ERRORS)


@dataclass(slots=True)
class Written:
    """What has been written so far."""

    bytes: int = 0
    files: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the entries of one archive or directory go."""

    root: Path
    manifest_prefix: str
    """What the manifest puts before these names: `pg_tblspc/OID/` for a tablespace."""
    redirect: Callable[[str], Path | None]
    """Another place for a name, or None for the ordinary one."""


class Unpacker:
    """Writes entries with the owner and modes that PostgreSQL demands, and checks them."""

    def __init__(
        self, work: Work, manifest: Manifest | None, report: Callable[[int, str], None]
    ) -> None:
        self._work = work
        self._manifest = manifest
        self._report = report
        self._chown = os.geteuid() == 0
        self.written = Written()

    def write_all(self, entries: Iterator[SourceFile], destination: Destination) -> None:
        """Write every entry; raises `StepFailed` on damage, hostile names and mismatches."""
        for entry in entries:
            name = _safe_name(entry.name)
            if not name:
                continue
            place = destination.redirect(name) or destination.root / name
            if entry.is_directory:
                self._make_directory(place)
            else:
                self._write(entry, place, destination.manifest_prefix + name)

    def check_complete(self) -> None:
        """Raise `StepFailed` if the manifest lists files that were not there."""
        if self._manifest is None:
            return
        missing = set(self._manifest.files) - self.written.files - CHANGEABLE
        if missing:
            raise StepFailed(
                f"The backup lacks {len(missing)} of its files.",
                f"The manifest lists them, the backup has not got them, such as {min(missing)}.",
                unchanged="The old data is untouched where it was set aside.",
                next_steps=("pgrescue catalog", "choose another backup"),
            )

    def _make_directory(self, place: Path) -> None:
        if not place.is_dir():
            place.mkdir(mode=self._work.mode)
            self._give(place)

    def _write(self, entry: SourceFile, place: Path, listed: str) -> None:
        expected = self._manifest.files.get(listed) if self._manifest else None
        if self._manifest is not None and expected is None and _must_be_listed(listed):
            raise _mismatch(listed, "it is in the backup but not in its manifest")
        digest = expected.digest() if expected is not None else None
        if not place.parent.is_dir():
            self._make_directory(place.parent)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            fd = os.open(place, flags, self._work.mode & 0o666)
        except FileExistsError as error:
            raise _mismatch(listed, "it is in the backup twice") from error
        size = 0
        with FileIO(fd, "wb") as file:
            if self._chown:
                os.fchown(fd, self._work.owner.uid, self._work.owner.gid)
            for chunk in entry.chunks:
                _write_whole(file, chunk)
                size += len(chunk)
                if digest is not None:
                    digest.update(chunk)
                self.written.bytes += len(chunk)
                self._report(self.written.bytes, listed)
        if expected is not None and listed not in CHANGEABLE:
            if size != expected.size:
                raise _mismatch(listed, f"it has {size} bytes, the manifest says {expected.size}")
            if digest is not None and digest.hexdigest() != (expected.checksum or "").lower():
                raise _mismatch(listed, "its checksum is not the manifest's")
        self.written.files.add(listed)

    def _give(self, place: Path) -> None:
        if self._chown:
            os.chown(place, self._work.owner.uid, self._work.owner.gid)
        place.chmod(self._work.mode)


def _write_whole(file: FileIO, chunk: bytes) -> None:
    """Write every byte: a full disk takes a part first, and refuses only the next call."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[file.write(rest) :]


def tar_entries(path: Path) -> Iterator[SourceFile]:
    """The entries of a tar archive, read to its very end; raises `StepFailed` on damage."""
    try:
        with TarStream(path) as stream:
            for member in stream.members():
                if not member.is_file and not member.is_directory:
                    raise _mismatch(
                        member.name, "it is a link or a device, which no base backup holds"
                    )
                chunks = stream.chunks(member, CHUNK_BYTES)
                yield SourceFile(member.name, member.is_directory, chunks)
    except _DAMAGED as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> StepFailed:
    """The error for an archive that cannot be read to its end."""
    if isinstance(error, OSError) and error.errno is not None:
        return StepFailed(
            f"Unpacking {path.name} failed: {os.strerror(error.errno)}.",
            str(error),
            unchanged="The old data is untouched where it was set aside.",
            next_steps=("make room or mend the cause, then: pgrescue resume", "pgrescue undo"),
        )
    kind = "ends too early" if isinstance(error, TruncatedArchive | EOFError) else "is damaged"
    return StepFailed(
        f"The archive {path.name} {kind}.",
        f"{path}: {error or type(error).__name__}",
        unchanged="The old data is untouched where it was set aside.",
        next_steps=("pgrescue undo", "choose another backup: pgrescue catalog"),
    )


def _safe_name(name: str) -> str:
    """A name that stays below its root; raises `StepFailed` for one that would not."""
    parts = PurePosixPath(name).parts
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise _mismatch(name, "its name leads out of the data directory")
    return "/".join(part for part in parts if part != ".")


def _must_be_listed(name: str) -> bool:
    return not name.startswith("pg_wal/") and name not in CHANGEABLE


def _mismatch(name: str, what: str) -> StepFailed:
    return StepFailed(
        f"The backup does not hold what it should: {name!r}.",
        f"{name!r}: {what}.",
        unchanged="The old data is untouched where it was set aside.",
        next_steps=("pgrescue undo", "choose another backup: pgrescue catalog"),
    )
