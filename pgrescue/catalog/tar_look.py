"""Looking into a tar backup: first members only, or every archive to its very end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.catalog.contents import NOT_WORTH_READING, Part, differs, forbidden
from pgrescue.catalog.layout import Layout, compression_of
from pgrescue.catalog.look import (
    LABEL,
    SMALL,
    TABLESPACE_MAP,
    UNSAFE,
    Look,
    SmallFile,
    TablespaceLook,
    is_kept,
    printable,
    unreadable,
)
from pgrescue.catalog.model import Problem, WalInside
from pgrescue.catalog.tar_end import ends_plausibly, zstd_frames_are_whole
from pgrescue.catalog.tar_stream import DamagedArchive, Member, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE
from pgrescue.postgres.manifest import Manifest
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.segment import NAME

WHOLE_LIMIT = 256 * 1024 * 1024
"""Bytes of compressed archives of one backup that are still read to their end unasked."""
UNASKED_BYTES = 4 << 30
UNASKED_RATIO = 16
"""What an archive may unpack to, in bytes or times its size, and still be read unasked."""
_KEPT_BYTES = 16 << 20
"""Of small files together: there may be many in `conf.d`."""
_PARTS: dict[str, Part] = {"base": "data", "pg_wal": "wal"}


class _ForbiddenMember(Exception):
    """A member that no base backup has: what comes behind it is not looked at."""


class _TooLong(Exception):
    """More than is read unasked."""


@dataclass(slots=True)
class _Archive:
    """What was seen of one tar file so far."""

    part: Part
    prefix: str
    """What the manifest puts before its names."""
    manifest: Manifest | None
    most: int | None
    """Bytes of members that are read unasked; None: all of them."""
    names: set[str] = field(default_factory=set)
    """Of the files so far."""
    directories: set[str] = field(default_factory=set)
    """In which there was something so far."""
    kept_bytes: int = 0
    read_bytes: int = 0
    files: dict[str, SmallFile] = field(default_factory=dict)
    data_bytes: int = 0
    header: SegmentHeader | None = None
    segments: list[str] = field(default_factory=list)
    whole: bool = False
    differing: str | None = None
    """The first file that is not the manifest's, and why."""
    problem: Problem | None = None


def look_into_tar(layout: Layout, whole: bool, manifest: Manifest | None) -> Look:
    """Look into the archives of a backup; what is read is compared with the manifest's sizes.

    Compressed archives of more than WHOLE_LIMIT together are looked at quickly unless `whole`:
    that cannot see damage in their middle, and of zstd not even a cut end. So are smaller ones
    that unpack to very much.
    """
    sizes = {name: (layout.path / name).stat().st_size for name in layout.archives}
    packed = sum(size for name, size in sizes.items() if compression_of(name) != "none")
    most = None if whole else max(UNASKED_BYTES, UNASKED_RATIO * packed)
    whole = whole or packed <= WHOLE_LIMIT
    seen = {name: _look(layout.path / name, whole, manifest, most) for name in sizes}
    base_name = layout.bases[0] if layout.bases else None
    wal_name = layout.wals[0] if layout.wals else None
    base = seen.get(base_name or "") or _Archive("data", "", None, None)
    wal = seen.get(wal_name or "") or _Archive("wal", "pg_wal/", None, None)
    problems = [archive.problem for archive in seen.values() if archive.problem]
    if base.whole and not base.problem and LABEL in base.files and CONTROL_FILE not in base.files:
        problems.append(
            Problem("truncated", f"{base_name} has no {CONTROL_FILE}, which is written last.")
        )
    data = [archive for name, archive in seen.items() if name != wal_name]
    return Look(
        files=base.files,
        size_bytes=sum(sizes.values()),
        data_bytes=sum(archive.data_bytes for archive in data) if _all_whole(data) else None,
        wal_inside=_wal_inside(base, wal if wal_name else None),
        wal_header=wal.header or base.header,
        wal_segments=tuple(wal.segments if wal_name else base.segments),
        tablespaces={
            oid: TablespaceLook(name, seen[name].data_bytes if seen[name].whole else None, None)
            for oid, name in layout.tablespaces.items()
        },
        base_archive=base_name,
        wal_archive=wal_name,
        read_whole=_all_whole(seen.values()),
        problems=tuple(problems),
        differing=next((a.differing for a in seen.values() if a.differing), None),
    )


def _all_whole(archives: Iterable[_Archive]) -> bool:
    return all(archive.whole for archive in archives)


def _wal_inside(base: _Archive, wal: _Archive | None) -> WalInside:
    if wal is not None and (wal.segments or not wal.whole):
        return "tar"
    return "base" if base.header else "none"


def _look(path: Path, whole: bool, manifest: Manifest | None, most: int | None) -> _Archive:
    """Read one archive as far as needed; a doubt after a quick look is settled by reading on."""
    role = _role(path)
    part = _PARTS.get(role, "tablespace")
    prefix = {"data": "", "wal": "pg_wal/"}.get(part, f"pg_tblspc/{role}/")

    def read(quick: bool) -> _Archive:
        limit = most if compression_of(path.name) != "none" and not quick else None
        return _read(path, _Archive(part, prefix, manifest, limit), quick)

    if not whole and compression_of(path.name) != "none":
        archive = read(quick=True)
        if archive.problem is None and _is_convincing(path, archive):
            return archive
    try:
        return read(quick=False)
    except _TooLong:
        return read(quick=True)


def _is_convincing(path: Path, archive: _Archive) -> bool:
    expected = {"base": LABEL in archive.files, "pg_wal": archive.header is not None}
    return expected.get(_role(path), True) and ends_plausibly(path)


def _role(path: Path) -> str:
    """`base`, `pg_wal` or a tablespace's OID."""
    return path.name.partition(".")[0]


def _read(path: Path, archive: _Archive, quick: bool) -> _Archive:
    expected = archive.manifest.total_bytes if archive.manifest else 0
    try:
        with TarStream(path, expected) as stream:
            for member in stream.members():
                _take(archive, stream, member)
                if quick and _is_enough(_role(path), archive, member):
                    archive.segments.clear()
                    return archive
        if path.name.endswith(".zst") and not zstd_frames_are_whole(path):
            raise TruncatedArchive
        archive.whole = True
    except _ForbiddenMember as error:
        archive.problem = Problem(UNSAFE, f"{path.name} is no archive of a backup: {error}.")
    except (TruncatedArchive, EOFError):
        archive.problem = Problem(
            "truncated", f"{path.name} is cut off: it ends before its end marker."
        )
    except DamagedArchive as error:
        archive.problem = Problem("damaged", f"{path.name} is damaged: {error}.")
    except DECOMPRESSION_ERRORS as error:
        # A compression library's own OSErrors have no number; the system's have one.
        if isinstance(error, OSError) and error.errno is not None:
            archive.problem = unreadable(path, error)
        else:
            archive.problem = Problem("damaged", f"{path.name} cannot be decompressed: {error}.")
    if not archive.whole:
        archive.segments.clear()
    return archive


def _is_enough(role: str, archive: _Archive, member: Member) -> bool:
    """Whether a quick look may stop after this member."""
    if role == "base":
        return member.name not in (LABEL, TABLESPACE_MAP)  # these two come first
    return role != "pg_wal" or archive.header is not None  # history files may precede segments


def _take(archive: _Archive, stream: TarStream, member: Member) -> None:
    _check(archive, member)
    archive.read_bytes += member.size
    if archive.most is not None and archive.read_bytes > archive.most:
        raise _TooLong
    directory, _, last = member.name.rpartition("/")
    if directory in ("", "pg_wal") and NAME.fullmatch(last):
        archive.segments.append(last)
        if archive.header is None:
            archive.header = parse_segment_header(stream.content(member, LONG_HEADER_SIZE))
        return
    if not directory.startswith("pg_wal"):
        archive.data_bytes += member.size
    if is_kept(member.name) and member.size <= SMALL and archive.kept_bytes <= _KEPT_BYTES:
        archive.kept_bytes += member.size
        archive.files[member.name] = SmallFile(stream.content(member), member.modified_at)


def _check(archive: _Archive, member: Member) -> None:
    """Raise if no base backup has such a member: none is unpacked, either."""
    name = printable(repr(member.name))
    reason = forbidden(archive.part, member.name, member.oddity)
    if reason is None:
        reason = _clash(archive, member)
    if reason is not None:
        raise _ForbiddenMember(f"{name}: {printable(reason)}")
    if member.is_file and archive.manifest is not None:
        reason = differs(archive.manifest, archive.prefix + member.name, member.size)
        if reason is not None and member.size > NOT_WORTH_READING:
            raise _ForbiddenMember(f"{name}: {reason}")  # to read it may take for ever
        if reason is not None and archive.differing is None:
            archive.differing = f"{name}: {reason}"


def _clash(archive: _Archive, member: Member) -> str | None:
    """Why it cannot be unpacked beside what came before; otherwise it is noted."""
    name = member.name
    if name in archive.names:
        return "it is in there twice"
    if member.is_file and name in archive.directories:
        return "it is a directory in there, too"
    above = name if member.is_directory else name.rpartition("/")[0]
    if member.is_file:
        archive.names.add(name)
    while above and above not in archive.directories:
        if above in archive.names:
            return f"{above} is a file in there"
        archive.directories.add(above)
        above = above.rpartition("/")[0]
    return None
