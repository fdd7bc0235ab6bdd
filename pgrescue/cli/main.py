"""Parse the command line and hand over to one command; errors become text, JSON and exit codes."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NoReturn

from pgrescue import __version__
from pgrescue.cli import (
    backup,
    catalog,
    demo,
    doctor,
    explain,
    incidents,
    init,
    plan,
    reseed,
    restore,
    retention,
    runs,
    timeline,
)
from pgrescue.cli.output import AT_WORK, print_error
from pgrescue.errors import ExitCode, PgRescueError, UsageError

_EPILOG = """\
examples:
  pgrescue                                  open the terminal UI
  pgrescue init                             write a configuration for this machine's cluster
  pgrescue catalog                          list the backups
  pgrescue timeline                         what can be recovered, to which moment
  pgrescue incidents                        who dropped my table
  pgrescue plan --to '2026-11-22 14:02:10+01:00'    see every step, change nothing
  pgrescue restore --before-xid 63886 --yes         restore to just before a transaction
  pgrescue backup                           take a base backup and verify it
  pgrescue retention                        which backups and which WAL could go
  pgrescue status                           where the last run stands
  pgrescue explain                          what the server's log says went wrong
  pgrescue undo                             put the old data directory back
  pgrescue demo                             practise on a sandbox cluster

exit codes: 0 done, 1 failed, 2 wrong usage or configuration, 3 refused by a check,
            4 a step failed part-way, 5 target not reached, 130 interrupted
"""


class _Parser(argparse.ArgumentParser):
    """Raises `UsageError` for what it cannot understand, so that it is told like any other."""

    def error(self, message: str) -> NoReturn:
        """Called by argparse with its own words."""
        raise UsageError(
            "The command line cannot be understood.", message, next_steps=(f"{self.prog} --help",)
        )


def build_parser() -> argparse.ArgumentParser:
    """The whole command line."""
    parser = _Parser(
        prog="pgrescue",
        description='From "the database is gone" to a running, checked PostgreSQL.',
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration file")
    parser.add_argument("--cluster", metavar="NAME", help="which of the configured clusters")
    parser.add_argument("--version", action="version", version=f"pgrescue {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for module in (
        init,
        doctor,
        catalog,
        timeline,
        incidents,
        plan,
        restore,
        backup,
        reseed,
        retention,
        runs,
        explain,
        demo,
    ):
        module.register(commands)
    for command in commands.choices.values():
        _add_place_again(command)
    return parser


def _add_place_again(command: argparse.ArgumentParser) -> None:
    """Which configuration and cluster are meant may be said behind the command, too."""
    hidden = argparse.SUPPRESS
    command.add_argument("-c", "--config", type=Path, default=hidden, help=hidden)
    command.add_argument("--cluster", default=hidden, help=hidden)


def run(argv: Sequence[str]) -> int:
    """Run one command and return its exit code."""
    _open_closed_streams()
    arguments = _barely_understood(argv)
    try:
        arguments = build_parser().parse_args(argv)
        if arguments.command not in ("init", "demo"):
            from pgrescue.cli.elevate import elevate_if_configured

            elevate_if_configured(arguments, argv)
        if arguments.command is None:
            return _open_ui(arguments)
        return int(arguments.handler(arguments))
    except PgRescueError as error:
        print_error(error, arguments)
        return int(error.exit_code)
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted.\n")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has gone; there is nobody left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED
    except OSError as error:
        try:
            print_error(_refused_by_the_system(error), arguments)
        except OSError:  # standard output itself is what cannot be written
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return ExitCode.FAILED


def _open_closed_streams() -> None:
    """Open those that a parent has closed: the next file would get such a stream's number."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != fd:
                os.dup2(null, fd)
                os.close(null)
            setattr(sys, name, os.fdopen(fd, mode))


def _refused_by_the_system(error: OSError) -> PgRescueError:
    """An error that no part of the program expected, such as a full disk below our own state."""
    return PgRescueError(
        f"The operating system refused: {error.strerror or error}.",
        f"It happened at {error.filename}." if error.filename else str(error),
        unchanged="",
        next_steps=("pgrescue status tells whether a run is at work", "pgrescue doctor"),
    )


def _barely_understood(argv: Sequence[str]) -> argparse.Namespace:
    """What decides about the form of an error, should the command line be wrong."""
    commands = (word for word in argv if word in AT_WORK)
    return argparse.Namespace(command=next(commands, None), json=_wants_json(argv))


def _wants_json(argv: Sequence[str]) -> bool:
    return "--json" in argv or "--format=json" in argv or ("--format", "json") in pairwise(argv)


def _open_ui(arguments: argparse.Namespace) -> int:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        build_parser().print_help(sys.stderr)
        return ExitCode.USAGE
    from pgrescue.tui.app import run_tui

    return run_tui(arguments.config, arguments.cluster)
