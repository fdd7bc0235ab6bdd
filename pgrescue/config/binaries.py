"""Where a PostgreSQL server's programs are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

PACKAGED = ("/usr/lib/postgresql/{major}/bin", "/usr/pgsql-{major}/bin")
"""Where the packages for Debian and Ubuntu, and for Red Hat's family, put them."""

_VERSION = re.compile(r"\) (\d+)(?:\.(\d+))?")
_PROC = Path("/proc")


@dataclass(frozen=True, slots=True)
class Programs:
    """A directory with `postgres` in it, and a sentence on how it was found."""

    directory: Path
    origin: str


def program_of(pid: int) -> Path | None:
    """The running server's program, if it is still the file on disk and may be looked up."""
    try:
        target = os.readlink(_PROC / str(pid) / "exe")
    except OSError:
        return None
    return None if target.endswith(" (deleted)") else Path(target)


def find_programs(major: int) -> Programs | None:
    """The installed programs of a major version: from packages, else from PATH."""
    for pattern in PACKAGED:
        directory = Path(pattern.format(major=major))
        if (directory / "postgres").exists():
            return Programs(directory, f"where PostgreSQL {major} is packaged")
    on_path = shutil.which("postgres")
    if on_path is not None:
        directory = Path(os.path.realpath(on_path)).parent
        version = program_version(directory / "postgres")
        if version is not None and version.split(".")[0] == str(major):
            return Programs(directory, f"PostgreSQL {version} on PATH")
    return None


def program_version(program: Path) -> str | None:
    """The version that a PostgreSQL program prints, such as "15.18"; None if it does not run."""
    try:
        result = subprocess.run(
            [program, "--version"], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.search(result.stdout)
    if match is None:
        return None
    return match[1] if match[2] is None else f"{match[1]}.{match[2]}"
