"""Running the same command again through sudo, for clusters that are configured so."""

from __future__ import annotations

import argparse
import os
import site
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pgrescue
from pgrescue.errors import PgRescueError, Refused

_KEPT = ("PGRESCUE_STATE", "TZ", "NO_COLOR", "TERM", "COLORTERM", "LANG", "LC_ALL")
_WITHOUT_SUDO = "run pgrescue as root, or as the cluster's owner"


def elevate_if_configured(arguments: argparse.Namespace, argv: Sequence[str]) -> None:
    """Replace this process by itself under sudo, if the cluster's configuration asks for it."""
    if os.geteuid() == 0:
        return
    from pgrescue.config.load import load_config

    try:
        config = load_config(arguments.config)
        cluster = config.cluster(arguments.cluster)
    except PgRescueError:
        return  # the command itself says what is wrong, or needs no configuration
    if not cluster.sudo:
        return
    interactive = sys.stdin.isatty()
    command = sudo_command(config.path, argv, interactive=interactive)
    try:
        if not interactive:
            _try_sudo(sudo_command(config.path, ("--version",), interactive=False), cluster.name)
        os.execvp(command[0], command)
    except OSError as error:
        raise Refused(
            "sudo cannot be run.",
            f"The cluster {cluster.name} is configured with sudo = true: {error.strerror}.",
            next_steps=(_WITHOUT_SUDO,),
        ) from error


def _try_sudo(command: Sequence[str], cluster: str) -> None:
    """Raise `Refused` if sudo will not do it: after the exec nobody could say so in our form."""
    tried = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if tried.returncode == 0:
        return
    said = tried.stderr.strip().splitlines()
    raise Refused(
        "pgrescue could not run itself again through sudo.",
        f"The cluster {cluster} is configured with sudo = true, and without a terminal sudo "
        f"cannot ask for a password. It said: {said[-1] if said else 'nothing'}",
        next_steps=(
            "run it in a terminal, where sudo can ask",
            "allow it without a password in sudoers(5): NOPASSWD",
            _WITHOUT_SUDO,
        ),
    )


def sudo_command(config: Path | None, argv: Sequence[str], *, interactive: bool) -> tuple[str, ...]:
    """The command that does the same as root; without a terminal sudo must not ask."""
    kept = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    named = () if config is None else (f"PGRESCUE_CONFIG={config.absolute()}",)
    return (
        "sudo",
        *(() if interactive else ("-n",)),
        "--",
        "/usr/bin/env",
        *kept,
        *named,
        f"PYTHONPATH={os.pathsep.join(_import_path())}",
        sys.executable,
        "-m",
        "pgrescue",
        *argv,
    )


def _import_path() -> list[str]:
    """Where root, who has another environment, finds this program and what it needs."""
    found = [str(Path(pgrescue.__file__).parent.parent)]
    found += filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))
    if site.ENABLE_USER_SITE:
        found.append(site.getusersitepackages())
    return found
