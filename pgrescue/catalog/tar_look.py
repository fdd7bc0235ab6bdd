"""Looking into a tar backup: first members only, or every archive to its very end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from pgrescue.catalog.layout import Layout, compression_of
from pgrescue.catalog.look import (
    LABEL,
    SMALL,
    TABLESPACE_MAP,
    Look,
    SmallFile,
    TablespaceLook,
    is_kept,
    unreadable,
)
from pgrescue.catalog.model import Problem, WalInside
from pgrescue.catalog.tar_end import ends_plausibly, zstd_frames_are_whole
from pgrescue.catalog.tar_stream import DamagedArchive, Member, TarStream, TruncatedArchive
from pgrescue.compression import DECOMPRESSION_ERRORS
from pgrescue.postgres.control_file import RELATIVE_PATH as CONTROL_FILE
from pgrescue.wal.page import LONG_HEADER_SIZE, SegmentHeader, parse_segment_header
from pgrescue.wal.segment import NAME

WHOLE_LIMIT = 256 * 1024 * 1024
"""Bytes of compressed archives of one backup that are still read to their end unasked."""


@dataclass(slots=True)
class _Archive:
    """What was seen of one tar file so far."""

    files: dict[str, SmallFile] = field(default_factory=dict)
    data_bytes: int = 0
    header: SegmentHeader | None = None
    segments: list[str] = field(default_factory=list)
    whole: bool = False
    problem: Problem | None = None


def look_into_tar(layout: Layout, whole: bool) -> Look:
    """Look into the archives of a backup.

    Compressed archives of more than WHOLE_LIMIT together are looked at quickly unless `whole`:
    that cannot see damage in their middle, and of zstd not even a cut end.
    """
    sizes = {name: (layout.path / name).stat().st_size for name in layout.archives}
    packed = sum(size for name, size in sizes.items() if compression_of(name) != "none")
    whole = whole or packed <= WHOLE_LIMIT
    seen = {name: _look(layout.path / name, whole) for name in sizes}
    base_name = layout.bases[0] if layout.bases else None
    wal_name = layout.wals[0] if layout.wals else None
    base = seen.get(base_name or "") or _Archive()
    wal = seen.get(wal_name or "") or _Archive()
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
    )


def _all_whole(archives: Iterable[_Archive]) -> bool:
    return all(archive.whole for archive in archives)


def _wal_inside(base: _Archive, wal: _Archive | None) -> WalInside:
    if wal is not None and (wal.segments or not wal.whole):
        return "tar"
    return "base" if base.header else "none"


def _look(path: Path, whole: bool) -> _Archive:
    """Read one archive as far as needed; a doubt after a quick look is settled by reading on."""
    if not whole and compression_of(path.name) != "none":
        archive = _read(path, quick=True)
        if archive.problem is None and _is_convincing(path, archive):
            return archive
    return _read(path, quick=False)


def _is_convincing(path: Path, archive: _Archive) -> bool:
    expected = {"base": LABEL in archive.files, "pg_wal": archive.header is not None}
    return expected.get(_role(path), True) and ends_plausibly(path)


def _role(path: Path) -> str:
    """`base`, `pg_wal` or a tablespace's OID."""
    return path.name.partition(".")[0]


def _read(path: Path, quick: bool) -> _Archive:
    archive = _Archive()
    try:
        with TarStream(path) as stream:
            for member in stream.members():
                _take(archive, stream, member)
                if quick and _is_enough(_role(path), archive, member):
                    archive.segments.clear()
                    return archive
        if path.name.endswith(".zst") and not zstd_frames_are_whole(path):
            raise TruncatedArchive
        archive.whole = True
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
    directory, _, last = member.name.rpartition("/")
    if directory in ("", "pg_wal") and NAME.fullmatch(last):
        archive.segments.append(last)
        if archive.header is None:
            archive.header = parse_segment_header(stream.content(member, LONG_HEADER_SIZE))
        return
    if not directory.startswith("pg_wal"):
        archive.data_bytes += member.size
    if is_kept(member.name) and member.size <= SMALL:
        archive.files[member.name] = SmallFile(stream.content(member), member.modified_at)
