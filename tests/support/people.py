"""Running pgrescue as somebody else than the tests: other accounts, with no privileges of ours."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from pgrescue.postgres.account import Account, account_by_name
from tests.support.cluster import Workspace
from tests.support.command import ROOT, TIMEOUT, Completed

SYSTEM_PYTHON = "/usr/bin/python3"
_PATHS = os.pathsep.join((str(ROOT), sysconfig.get_path("purelib")))
_NEEDED = "import pgrescue, crc32c, isal, lz4, msgspec, psycopg, textual, zstandard"


def unavailable(account: Account) -> str | None:
    """Why that account cannot run this source tree with the tests' packages, if so."""
    if os.geteuid() != 0:
        return "becoming another account needs root"
    try:
        tried = _run(account, (SYSTEM_PYTHON, "-c", _NEEDED), Path("/"), {})
    except OSError as error:
        return f"{SYSTEM_PYTHON} cannot be run: {error.strerror}"
    if tried.returncode == 0:
        return None
    return f"'{account.name}' cannot run pgrescue with {SYSTEM_PYTHON}: {tried.stderr[-300:]}"


def run_as(
    account: Account, workspace: Workspace, *args: str, env: Mapping[str, str] | None = None
) -> Completed:
    """Run `pgrescue -c CONFIG ARGS` as that account, with a state directory of its own."""
    state = workspace.path / f"state-of-{account.name}"
    if not state.exists():
        state.mkdir(mode=0o700)
        os.chown(state, account.uid, account.gid)
    argv = (SYSTEM_PYTHON, "-m", "pgrescue", "-c", str(workspace.config), *args)
    return _run(account, argv, workspace.path, {"PGRESCUE_STATE": str(state), **(env or {})})


@contextmanager
def plain_user() -> Iterator[Account]:
    """A new account without any rights, deleted afterwards."""
    name = f"pgrescue{os.getpid()}"
    subprocess.run(("useradd", "--system", "--shell", "/bin/sh", name), check=True)
    try:
        account = account_by_name(name)
        assert account is not None
        yield account
    finally:
        subprocess.run(("userdel", name), check=True)


def _run(account: Account, argv: tuple[str, ...], where: Path, env: Mapping[str, str]) -> Completed:
    inherited = {
        name: value for name, value in account.environment().items() if not name.startswith("PG")
    }
    return subprocess.run(
        argv,
        cwd=where,
        env={**inherited, "PYTHONPATH": _PATHS, "PYTHONDONTWRITEBYTECODE": "1", **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
        **account.spawn_arguments(),
    )
