"""Running the same command again through sudo, for clusters that are configured so."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import pgrescue
from pgrescue.errors import PgRescueError, Refused

_KEPT = ("PGRESCUE_STATE", "TZ", "NO_COLOR", "TERM", "COLORTERM", "LANG", "LC_ALL")


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
    command = sudo_command(config.path, argv, interactive=sys.stdin.isatty())
    try:
        os.execvp(command[0], command)
    except OSError as error:
        raise Refused(
            "sudo cannot be run.",
            f"The cluster {cluster.name} is configured with sudo = true: {error.strerror}.",
            next_steps=("run pgrescue as root, or as the cluster's owner",),
        ) from error


def sudo_command(config: Path | None, argv: Sequence[str], *, interactive: bool) -> tuple[str, ...]:
    """The command that does the same as root; without a terminal sudo must not ask."""
    home = str(Path(pgrescue.__file__).parent.parent)
    kept = [f"{name}={os.environ[name]}" for name in _KEPT if name in os.environ]
    named = () if config is None else (f"PGRESCUE_CONFIG={config.absolute()}",)
    return (
        "sudo",
        *(() if interactive else ("-n",)),
        "--",
        "/usr/bin/env",
        *kept,
        *named,
        f"PYTHONPATH={home}",
        sys.executable,
        "-m",
        "pgrescue",
        *argv,
    )
