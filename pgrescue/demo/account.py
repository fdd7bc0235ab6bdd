"""Who the sandbox's server runs as, and running PostgreSQL's tools as that account."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from pgrescue.errors import PgRescueError
from pgrescue.postgres.account import Account, account_by_name, current_account

TOOL_TIMEOUT = 120.0
"""Seconds that one tool may take on a sandbox, which is small."""


def server_account() -> Account:
    """Our own account; for root, whom PostgreSQL refuses, `postgres` or else `nobody`."""
    current = current_account()
    if current.uid != 0:
        return current
    for name in ("postgres", "nobody"):
        account = account_by_name(name)
        if account is not None and account.uid != 0:
            return account
    raise PgRescueError(
        "There is no account to run a server as.",
        "PostgreSQL refuses to run as root, and neither 'postgres' nor 'nobody' exists.",
        next_steps=("run this command as an ordinary user",),
    )


def tool_environment(account: Account) -> dict[str, str]:
    """The account's environment without libpq's variables, which would redirect its tools."""
    return {
        name: value for name, value in account.environment().items() if not name.startswith("PG")
    }


def run_tool(
    account: Account,
    argv: Sequence[str],
    *,
    cwd: Path,
    stdin: str = "",
    timeout: float = TOOL_TIMEOUT,
) -> str:
    """Run a program as `account` and return its standard output.

    `cwd` must be enterable by the account. Raises `PgRescueError` when the program cannot be
    started, fails, or takes longer than `timeout` seconds.
    """
    name = Path(argv[0]).name
    try:
        completed = subprocess.run(
            argv,
            cwd=cwd,
            env=tool_environment(account),
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
            # Ctrl-c in the terminal is for us to handle, not for a half-done tool.
            start_new_session=True,
            **account.spawn_arguments(),
        )
    except OSError as error:
        raise PgRescueError(
            f"{name} cannot be started as '{account.name}'.", str(error), unchanged=""
        ) from error
    except subprocess.TimeoutExpired as error:
        raise PgRescueError(
            f"{name} took longer than {timeout:g} seconds.", unchanged=""
        ) from error
    if completed.returncode != 0:
        said = completed.stderr.strip() or completed.stdout.strip()
        raise PgRescueError(
            f"{name} failed with exit code {completed.returncode}.", said, unchanged=""
        )
    return completed.stdout


def can_enter(account: Account, directory: Path) -> bool:
    """Whether the account may reach into the directory, through all its parents."""
    try:
        run_tool(account, ("test", "-x", str(directory)), cwd=Path("/"))
    except PgRescueError:
        return False
    return True
