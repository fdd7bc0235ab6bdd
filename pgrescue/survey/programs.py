"""The server binaries of a major version."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from pgrescue.config.binaries import find_programs, program_version
from pgrescue.plan.facts import Programs


def programs_for(major: int | None, configured: Path | None) -> Programs:
    """The configured binaries if they are of that version, else installed ones."""
    if configured is not None:
        version = program_version(configured / "postgres")
        if version is None:
            return Programs(str(configured), None, f"{configured}/postgres cannot be run.")
        if major is None or version.split(".")[0] == str(major):
            return Programs(str(configured), f"PostgreSQL {version}", None)
    found = find_programs(major) if major is not None else None
    if found is None:
        return Programs(None, None, f"PostgreSQL {major} is not installed on this machine.")
    version = program_version(found.directory / "postgres")
    return Programs(str(found.directory), f"PostgreSQL {version}", None)


def client_major(bin_directory: str | None) -> int | None:
    """The major version of the pg_basebackup that is there."""
    version = program_version(Path(bin_directory, "pg_basebackup")) if bin_directory else None
    return int(version.split(".")[0]) if version else None


def compression_refusal(bin_directory: str, method: str) -> str | None:
    """Why that pg_basebackup (of 15 or later) was not built for a compression, in its own words.

    It looks at its options before it connects, and there is nothing to connect to.
    """
    program = f"{bin_directory}/pg_basebackup"
    nowhere = ("--pgdata=-", "--wal-method=none", "--no-password", "--dbname=host=/dev/null")
    try:
        result = subprocess.run(
            (program, "--format=tar", f"--compress=client-{method}", *nowhere),
            env={name: value for name, value in os.environ.items() if not name.startswith("PG")}
            | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    _, known, reason = result.stderr.partition("invalid compression specification: ")
    return reason.strip() if known else None
