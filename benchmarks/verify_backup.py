"""Verifying a backup: pgrescue beside pg_verifybackup (plain) and beside only unpacking it (tar).

    python benchmarks/verify_backup.py --bin /usr/lib/postgresql/15/bin [--scale 50] [--rounds 5]

A cluster is filled by pgbench and backed up in several forms. Every round runs each program once as
a process of its own, in turn; medians and ratios are printed. pg_verifybackup and pgrescue check
the WAL, too; `tar` only writes the files to /dev/null.
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
from pathlib import Path

FORMS: dict[str, tuple[str, ...]] = {
    "plain": ("-Fp",),
    "tar": ("-Ft",),
    "tar.gz": ("-Ft", "-z"),
    "tar.zst": ("-Ft", "--compress=client-zstd"),
}
VERIFY = """
import sys
from pathlib import Path
from pgrescue.catalog.basebackup import read_backup
from pgrescue.verify.backup import verify_backup
found = verify_backup(read_backup(Path(sys.argv[1])))
assert found.is_proved, found.problems
"""


def main() -> None:
    """Make the backups, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bin", type=Path, required=True, help="PostgreSQL's programs")
    parser.add_argument("--scale", type=int, default=50, help="of pgbench; 15 MB each")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    work = Path(tempfile.mkdtemp(prefix="pgrescue-benchmark-", dir="/tmp"))
    try:
        make_backups(arguments.bin, work, arguments.scale)
        measure(arguments.bin, work, arguments.rounds)
    finally:
        shutil.rmtree(work)


def measure(programs: Path, work: Path, rounds: int) -> None:
    """Run everything in turn, after one round that only warms the cache."""
    pairs = {
        "plain": [str(programs / "pg_verifybackup"), "-q", str(work / "plain")],
        "tar": ["tar", "-xOf", str(work / "tar" / "base.tar")],
        "tar.gz": ["tar", "-xOzf", str(work / "tar.gz" / "base.tar.gz")],
        "tar.zst": ["tar", "-xO", "--zstd", "-f", str(work / "tar.zst" / "base.tar.zst")],
    }
    seconds: dict[str, tuple[list[float], list[float]]] = {form: ([], []) for form in pairs}
    for number in range(rounds + 1):
        for form, peer in pairs.items():
            ours = [sys.executable, "-c", VERIFY, str(work / form)]
            taken = timed(ours), timed(peer)
            if number:
                for values, value in zip(seconds[form], taken, strict=True):
                    values.append(value)
    size = sum(path.stat().st_size for path in (work / "plain").rglob("*") if path.is_file())
    sys.stdout.write(f"{size / 1e6:.0f} MB of files, medians of {rounds} rounds\n")
    for form, (ours_taken, peer_taken) in seconds.items():
        ours_median, peer_median = map(statistics.median, (ours_taken, peer_taken))
        sys.stdout.write(
            f"{form:8} pgrescue {ours_median:6.2f} s   {pairs[form][0].rpartition('/')[2]:16}"
            f"{peer_median:6.2f} s   ratio {peer_median / ours_median:5.2f}\n"
        )


def timed(command: list[str]) -> float:
    """Wall seconds of a whole process whose output nobody reads."""
    begun = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - begun


def make_backups(programs: Path, work: Path, scale: int) -> None:
    """A cluster, filled, and backed up in every form."""
    work.chmod(0o755)
    account = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if account:
        shutil.chown(work, "postgres")

    def run(*command: str) -> None:
        subprocess.run([*account, *command], check=True, stdout=subprocess.DEVNULL, cwd=work)

    data = work / "data"
    run(str(programs / "initdb"), "-D", str(data), "-U", "postgres", "-A", "trust", "-N")
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(
            f"listen_addresses = ''\nunix_socket_directories = '{work}'\nfsync = off\n"
        )
    run(str(programs / "pg_ctl"), "-D", str(data), "-l", str(work / "log"), "-w", "start")
    address = ("-h", str(work), "-U", "postgres")
    try:
        run(str(programs / "pgbench"), *address, "-i", "-q", "-s", str(scale), "postgres")
        for form, options in FORMS.items():
            target = ("-D", str(work / form), "-c", "fast", "-Xs")
            run(str(programs / "pg_basebackup"), *address, *target, *options)
    finally:
        run(str(programs / "pg_ctl"), "-D", str(data), "-w", "-m", "fast", "stop")


if __name__ == "__main__":
    main()
