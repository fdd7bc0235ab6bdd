"""A very big archive: the first screen, and locating a time in it, beside listing it with ls.

    python benchmarks/big_archive.py [--segments 100000] [--rounds 5]

The archive is synthetic: segments of 1 MB, sparse files, three commits in each, one a minute. Each
round runs every program once as a process of its own, with an empty state directory: nothing has
been read of the archive before. Medians are printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from pgrescue.wal.transactions import microseconds_of
from tests.support.wal_writer import PAGE, SEGMENT, WalWriter

BEGUN = datetime(2026, 1, 1, tzinfo=UTC)
COMMITS = 3
LOCATE = """
import sys, time
from datetime import datetime
from pathlib import Path
from pgrescue.history.lines import Lines, locate
from pgrescue.wal.archive import scan_archive
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore
from pgrescue.wal.transactions import microseconds_of
archive = scan_archive(Path(sys.argv[1]))
refs = Lines(archive, 1 << 20).of(1)
asked = []
class Counting(WalIndex):
    def summary(self, ref, *, checked=False):
        asked.append(ref.name)
        return super().summary(ref, checked=checked)
wanted = microseconds_of(datetime.fromisoformat(sys.argv[2]))
begun = time.perf_counter()
found = locate(Counting(IndexStore(None), 0), refs, wanted)
print(time.perf_counter() - begun, len(set(asked)), found)
"""


def main() -> None:
    """Make the archive, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--segments", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="pgrescue-benchmark-", dir="/tmp"))
    try:
        (work / "wal").mkdir()
        make_archive(work / "wal", arguments.segments)
        measure(work, arguments.segments, arguments.rounds)
    finally:
        shutil.rmtree(work)


def make_archive(wal: Path, count: int) -> None:
    """Segments that follow each other, each but for its first page a hole."""
    last = 0
    for number in range(5, 5 + count):
        writer = WalWriter(number * SEGMENT)
        writer.last = last or writer.last
        for commit in range(COMMITS):
            minutes = (number - 5) * COMMITS + commit
            moment = microseconds_of(BEGUN + timedelta(minutes=minutes))
            data = bytes([255, 8]) + struct.pack("<q", moment)
            writer.record(data, rmid=1, xid=1000 + minutes)
        last = writer.record(b"", rmid=0, info=0x40)
        name = f"{1:08X}{number // 4096:08X}{number % 4096:08X}"
        descriptor = os.open(wal / name, os.O_WRONLY | os.O_CREAT)
        os.write(descriptor, bytes(writer.content[:PAGE]))
        os.ftruncate(descriptor, SEGMENT)
        os.close(descriptor)


def measure(work: Path, segments: int, rounds: int) -> None:
    """Run everything in turn, after one round that only warms the cache."""
    wal = work / "wal"
    configuration = work / "pgrescue.toml"
    configuration.write_text(
        f'[clusters.main]\ndata_directory = "{work}/data"\nwal_archive = "{wal}"\n'
    )
    configuration.chmod(0o600)
    middle = BEGUN + timedelta(minutes=segments * COMMITS // 2, seconds=30)
    timeline = [sys.executable, "-m", "pgrescue", "-c", str(configuration), "timeline", "--json"]
    commands = {
        "ls -l": ["ls", "-l", str(wal)],
        "pgrescue timeline": timeline,
        "locate": [sys.executable, "-c", LOCATE, str(wal), middle.isoformat()],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    located: list[float] = []
    asked = ""
    for number in range(rounds + 1):
        for name, command in commands.items():
            state = tempfile.mkdtemp(dir=work)
            begun = time.perf_counter()
            environment = {**os.environ, "PGRESCUE_STATE": state}
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True, env=environment)
            taken = time.perf_counter() - begun
            if number:
                seconds[name].append(taken)
            if number and name == "locate":
                own, asked, _ = done.stdout.decode().split()
                located.append(float(own))
    sys.stdout.write(f"{segments} segments, medians of {rounds} rounds\n")
    for name, values in seconds.items():
        spread = f"[{min(values):.2f} {max(values):.2f}]"
        sys.stdout.write(f"{name:20} {statistics.median(values):6.2f} s   {spread}\n")
    sys.stdout.write(
        f"locating a time, once listed: {statistics.median(located):.3f} s, {asked} segments read\n"
    )


if __name__ == "__main__":
    main()
