"""The files of a recovery as segments to read, wherever they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from pgrescue.catalog.tar_stream import DamagedArchive, TarStream, TruncatedArchive
from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.index import SegmentRef
from pgrescue.wal.pages import SegmentFile, WalSource
from pgrescue.wal.recovery_path import PathStep


@dataclass(frozen=True, slots=True)
class SegmentInTar:
    """A segment inside a backup's tar file."""

    archive: str
    name: str

    def open(self) -> BinaryIO:
        """Its bytes, read into memory; raises OSError and what decompressing raises."""
        try:
            with TarStream(Path(self.archive)) as stream:
                for member in stream.members():
                    if member.name.rpartition("/")[2] == self.name:
                        return BytesIO(stream.content(member))
        except (TruncatedArchive, DamagedArchive) as error:
            raise OSError(f"{self.archive} is damaged: {error}") from error
        raise FileNotFoundError(2, "no such segment in the archive", f"{self.archive}:{self.name}")

    def size(self) -> int | None:
        """Known only from the tar file's headers, which are read with the bytes."""
        return None


def segment_refs(steps: Sequence[PathStep], segment_size: int) -> list[SegmentRef]:
    """References to the files of a recovery path, in their order."""
    return [
        SegmentRef(
            step.name,
            step.timeline,
            Lsn(step.number * segment_size),
            _source(str(step.file.location), step.name),
        )
        for step in steps
    ]


def _source(location: str, name: str) -> WalSource:
    """A file of its own begins with the segment's name; any other is a backup's tar file."""
    if location.rpartition("/")[2].startswith(name):
        return SegmentFile(location)
    return SegmentInTar(location, name)
