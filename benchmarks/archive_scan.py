"""How long the picture of an archive with 100,000 segments takes, next to `ls -l` of it.

    python benchmarks/archive_scan.py [SEGMENTS]

The segments are empty and sparse, on two timelines with one fork and three gaps. Both are run in
turns, so that a busy machine slows both.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pgrescue.postgres.lsn import Lsn
from pgrescue.wal.archive import scan_archive
from pgrescue.wal.segment import DEFAULT_SEGMENT_SIZE, SegmentId
from pgrescue.wal.timelines import ArchivePicture, archive_picture

ROUNDS = 5
GAPS = 3


def make_archive(directory: Path, count: int) -> None:
    """Two timelines: the second leaves the first in the middle, and that goes on for a while."""
    fork = count // 2
    missing = {(n + 1) * count // (GAPS + 2) for n in range(GAPS)}
    switch = Lsn(fork * DEFAULT_SEGMENT_SIZE + DEFAULT_SEGMENT_SIZE // 2)
    (directory / "00000002.history").write_text(f"1\t{switch}\tno recovery target specified\n")
    parent = [SegmentId(number, 1) for number in range(1, fork + 10)]
    child = [SegmentId(number, 2) for number in range(fork, count + GAPS - 8)]
    for segment in (*parent, *child):
        if segment.number not in missing:
            path = directory / segment.name(DEFAULT_SEGMENT_SIZE)
            descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
            os.ftruncate(descriptor, DEFAULT_SEGMENT_SIZE)
            os.close(descriptor)


def look(directory: Path) -> ArchivePicture:
    """What pgrescue does: names and sizes, timelines, forks and gaps."""
    return archive_picture(scan_archive(directory), DEFAULT_SEGMENT_SIZE)


def list_with_ls(directory: Path) -> None:
    """What anybody would do first."""
    command = ["ls", "-l", str(directory)]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)


def seconds(work: Callable[[Path], object], directory: Path) -> float:
    """The wall-clock time of one run."""
    started = time.perf_counter()
    work(directory)
    return time.perf_counter() - started


def main() -> None:
    """Make the archive, measure in turns, print medians and their ratio."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    with tempfile.TemporaryDirectory(prefix="pgrescue-archive-scan-") as name:
        directory = Path(name)
        make_archive(directory, count)
        picture = look(directory)
        ours: list[float] = []
        listed: list[float] = []
        for _ in range(ROUNDS):
            ours.append(seconds(look, directory))
            listed.append(seconds(list_with_ls, directory))
    mine, other = statistics.median(ours), statistics.median(listed)
    out = sys.stdout.write
    out(f"{picture.segments} segments, {len(picture.timelines)} timelines, ")
    out(f"{len(picture.gaps)} gaps, {len(picture.problems)} problems\n")
    out(f"scan, timelines and gaps  {mine:.3f} s  (best {min(ours):.3f}, worst {max(ours):.3f})\n")
    out(f"ls -l                     {other:.3f} s  ")
    out(f"(best {min(listed):.3f}, worst {max(listed):.3f})\n")
    out(f"ratio                     {mine / other:.2f}\n")


if __name__ == "__main__":
    main()
