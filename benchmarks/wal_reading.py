"""Reading WAL: the commit index, incidents and the full check beside pg_waldump.

    python benchmarks/wal_reading.py --bin /usr/lib/postgresql/15/bin [--wal DIR] [--rounds 5]

Without --wal an archive is made by pgbench (a few minutes) in a temporary directory. Every round
runs each program once as a process of its own, in turn; medians and their ratios are printed.
One processor unless the name says otherwise.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

INDEX = """
import sys
from pathlib import Path
from pgrescue.history.lines import line_of
from pgrescue.wal.archive import scan_archive
from pgrescue.wal.headers import identify_archive
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore
archive = scan_archive(Path(sys.argv[1]))
size = identify_archive(archive).segment_size
index = WalIndex(IndexStore(None), int(sys.argv[2]))
found = index.summaries(line_of(archive, 1, size), checked=sys.argv[3] == "crc")
print(sum(summary.found.commits.count for summary in found))
"""
INCIDENTS = """
import sys
from pathlib import Path
from pgrescue.config.model import ClusterConfig
from pgrescue.postgres.service import ServiceSpec
from pgrescue.survey.past import Past, open_archive
from pgrescue.wal.index import WalIndex
from pgrescue.wal.index_store import IndexStore
place = Path(sys.argv[1])
cluster = ClusterConfig("main", place, ServiceSpec("pg_ctl"), (), wal_archive=place)
past = Past(cluster, open_archive(cluster), [], WalIndex(IndexStore(None), int(sys.argv[2])), None)
print(len(past.incidents().incidents))
"""


def main() -> None:
    """Make or take an archive, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="PostgreSQL's programs")
    parser.add_argument("--wal", type=Path, help="an archive on timeline 1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--segments", type=int, default=200, help="how many to make")
    parser.add_argument("--quiet", action="store_true", help="make a quiet archive")
    arguments = parser.parse_args()
    if arguments.wal is not None:
        measure(arguments.bin, arguments.wal, arguments.rounds)
        return
    work = Path(tempfile.mkdtemp(prefix="pgrescue-benchmark-", dir="/tmp"))
    try:
        wal = make_archive(arguments.bin, work, arguments.segments, quiet=arguments.quiet)
        measure(arguments.bin, wal, arguments.rounds)
    finally:
        shutil.rmtree(work)


def measure(programs: Path, wal: Path, rounds: int) -> None:
    """Run everything in turn, `rounds` times after one round that only warms the cache."""
    names = sorted(name for name in os.listdir(wal) if len(name) == 24)
    waldump = [str(programs / "pg_waldump"), "-p", str(wal), names[0], names[-1]]
    commands: dict[str, list[str]] = {
        "pg_waldump -r Transaction": [*waldump, "-r", "Transaction"],
        "pg_waldump": waldump,
        "pg_waldump --stats": [*waldump, "--stats"],
        "commit index": python(INDEX, wal, "0", "no"),
        "commit index, 2 workers": python(INDEX, wal, "2", "no"),
        "full check with CRC": python(INDEX, wal, "0", "crc"),
        "full check, 2 workers": python(INDEX, wal, "2", "crc"),
        "incidents": python(INCIDENTS, wal, "0"),
        "incidents, 2 workers": python(INCIDENTS, wal, "2"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name, command in commands.items():
            pinned = command if "workers" in name else ["taskset", "-c", "0", *command]
            # pg_waldump ends with an error where the last segment does.
            taken = timed(pinned, check=name[0] != "p")
            if number:
                seconds[name].append(taken)
    size = sum((wal / name).stat().st_size for name in names) / 1e6
    sys.stdout.write(f"{len(names)} segments, {size:.0f} MB, medians of {rounds} rounds\n")
    reference = statistics.median(seconds["pg_waldump -r Transaction"])
    for name, values in seconds.items():
        median = statistics.median(values)
        sys.stdout.write(
            f"{name:28} {median:8.2f} s {size / median:8.0f} MB/s   "
            f"{reference / median:6.2f} times pg_waldump -r Transaction   "
            f"[{min(values):.2f} {max(values):.2f}]\n"
        )


def python(program: str, *arguments: object) -> list[str]:
    """This interpreter on a small program."""
    return [sys.executable, "-c", program, *map(str, arguments)]


def timed(command: list[str], *, check: bool) -> float:
    """Wall seconds of a whole process whose output nobody reads."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=check)
    return time.perf_counter() - begun


def make_archive(programs: Path, work: Path, segments: int, *, quiet: bool) -> Path:
    """A cluster under pgbench, or one in which next to nothing happens between WAL switches."""
    work.chmod(0o755)
    data, wal = work / "data", work / "wal"
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []

    def run(*command: str) -> None:
        subprocess.run([*account, *command], check=True, stdout=subprocess.DEVNULL, cwd=work)

    if account:
        shutil.chown(work, "postgres")
    run("mkdir", str(wal))
    run(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N")
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(work),
        "archive_mode": "on",
        "archive_command": f"cp %p {wal}/%f",
        "fsync": "off",
        "synchronous_commit": "off",
        "shared_buffers": "512MB",
    }
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.writelines(f"{name} = '{value}'\n" for name, value in settings.items())
    run(str(programs / "pg_ctl"), "-D", str(data), "-l", str(work / "log"), "-w", "start")
    connection = ("-h", str(work), "-U", "postgres")
    try:
        run(str(programs / "pgbench"), *connection, "-i", "-q", "-s", "30", "postgres")
        step = quiet_step(programs, connection) if quiet else busy_step(programs, connection)
        fill(wal, segments, lambda: run(*step))
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-m", "fast", "stop")
    return wal


def busy_step(programs: Path, connection: tuple[str, ...]) -> tuple[str, ...]:
    """Ten seconds of pgbench's simple update: its other transactions wait for each other."""
    program = str(programs / "pgbench")
    return (
        program,
        *connection,
        "-n",
        "-N",
        "-M",
        "prepared",
        "-c",
        "4",
        "-j",
        "2",
        "-T",
        "10",
        "postgres",
    )


def quiet_step(programs: Path, connection: tuple[str, ...]) -> tuple[str, ...]:
    """Twenty switches with one small commit before each."""
    work = ["-c", "update pgbench_branches set bbalance = 1 where bid = 1", "-c"]
    switches = [part for _ in range(20) for part in (*work, "select pg_switch_wal()")]
    return (str(programs / "psql"), *connection, "-q", *switches, "postgres")


def fill(wal: Path, segments: int, step: Callable[[], None]) -> None:
    """Work until enough is archived."""
    while sum(len(name) == 24 for name in os.listdir(wal)) < segments:
        step()


if __name__ == "__main__":
    main()
