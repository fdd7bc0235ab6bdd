"""Damaging copies of backups, on disk or so that only the manifest can tell."""

from __future__ import annotations

import gzip
import io
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import lz4.frame
import zstandard

Change = Callable[[bytes], bytes | None]
"""What becomes of a file's content; None: the file is left out."""


def flipped(path: Path, offset: int) -> None:
    """Turn the bits of one byte (from the end where negative), as a bad disk may."""
    with path.open("r+b") as file:
        file.seek(offset, os.SEEK_SET if offset >= 0 else os.SEEK_END)
        (byte,) = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 0xFF]))


def cut(path: Path, share: float) -> None:
    """Keep only the beginning of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def flip_in(content: bytes, offset: int) -> bytes:
    """The same with one byte turned round."""
    return content[:offset] + bytes([content[offset] ^ 0xFF]) + content[offset + 1 :]


def archive_of(backup: Path, name: str) -> tuple[Path, str] | None:
    """Which archive of a tar backup holds a file, and under which name; None for plain ones."""
    base = next(iter(backup.glob("base.tar*")), None)
    if base is None:
        return None
    ending = base.name.removeprefix("base")
    if name.startswith("pg_tblspc/"):
        _, oid, inside = name.split("/", 2)
        return backup / f"{oid}{ending}", inside
    own_wal = next(iter(backup.glob("pg_wal.tar*")), None)
    if name.startswith("pg_wal/") and own_wal is not None:
        return own_wal, name.removeprefix("pg_wal/")
    return base, name


def change_file(backup: Path, name: str, change: Change) -> None:
    """Change or remove one file inside a backup, whatever its form."""
    found = archive_of(backup, name)
    if found is not None:
        _rewrite(
            found[0], lambda member, content: change(content) if member == found[1] else content
        )
        return
    path = backup / name
    content = change(path.read_bytes())
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def add_file(backup: Path, name: str, content: bytes) -> None:
    """Put a file into a backup that its manifest does not know."""
    found = archive_of(backup, name)
    if found is not None:
        _rewrite(found[0], lambda _name, content: content, {found[1]: content})
    else:
        (backup / name).write_bytes(content)


def wal_inside(backup: Path) -> list[str]:
    """Names of the WAL segments that a backup carries, below `pg_wal/`."""
    if not any(backup.glob("base.tar*")):
        names = [f"pg_wal/{path.name}" for path in (backup / "pg_wal").iterdir()]
    else:
        own = next(iter(backup.glob("pg_wal.tar*")), None)
        archive = own or next(iter(backup.glob("base.tar*")))
        with tarfile.open(fileobj=io.BytesIO(_unpacked(archive))) as members:
            inside = members.getnames()
        names = [f"pg_wal/{name}" for name in inside] if own else inside
    return sorted(n for n in names if n.startswith("pg_wal/0") and len(n) == len("pg_wal/") + 24)


def copied(backup: Path, to: Path) -> Path:
    """A copy to be damaged."""
    shutil.copytree(backup, to, symlinks=True)
    return to


def _rewrite(
    archive: Path,
    change: Callable[[str, bytes], bytes | None],
    extra: dict[str, bytes] | None = None,
) -> None:
    """Write an archive anew, whole by itself, with other content."""
    out = io.BytesIO()
    with (
        tarfile.open(fileobj=io.BytesIO(_unpacked(archive))) as old,
        tarfile.open(fileobj=out, mode="w", format=tarfile.USTAR_FORMAT) as new,
    ):
        for member in old:
            file = old.extractfile(member) if member.isfile() else None
            if file is None:
                new.addfile(member)
                continue
            content = change(member.name, file.read())
            if content is not None:
                member.size = len(content)
                new.addfile(member, io.BytesIO(content))
        for name, content in (extra or {}).items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            new.addfile(member, io.BytesIO(content))
    archive.write_bytes(_packed(archive, out.getvalue()))


def _unpacked(archive: Path) -> bytes:
    data = archive.read_bytes()
    match archive.suffix:
        case ".gz":
            return gzip.decompress(data)
        case ".zst":
            with zstandard.ZstdDecompressor().stream_reader(data) as reader:
                return bytes(reader.read())
        case ".lz4":
            return bytes(lz4.frame.decompress(data))
        case _:
            return data


def _packed(archive: Path, data: bytes) -> bytes:
    match archive.suffix:
        case ".gz":
            return gzip.compress(data, 1)
        case ".zst":
            return zstandard.ZstdCompressor().compress(data)
        case ".lz4":
            return bytes(lz4.frame.compress(data))
        case _:
            return data
