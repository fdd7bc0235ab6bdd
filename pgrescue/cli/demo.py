"""`pgrescue demo`: a sandbox cluster with backups, a WAL archive and a disaster."""

from __future__ import annotations

import argparse
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate
from pgrescue.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from pgrescue.demo.session import Request

_EXAMPLES = """\
examples:
  pgrescue demo
      builds a small shop, drops a table by accident, opens the UI on it
  pgrescue demo --dir /var/tmp/practice
      the same in a directory to come back to
  pgrescue demo --headless
      plays the whole story without a terminal and checks the result
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the command line."""
    parser = commands.add_parser(
        "demo",
        help="practise on a sandbox cluster",
        description="Build a sandbox cluster with backups, a WAL archive and a disaster, and open "
        "it in the UI. Nothing outside its directory is touched, and no process stays behind.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--headless",
        action="store_true",
        help="play the story with the commands: restore, undo, restore; compare every time",
    )
    parser.add_argument(
        "--dir",
        type=Path,
        metavar="DIR",
        help="where the demo lives: new, empty, or with a demo in it (default: a temporary one)",
    )
    parser.add_argument(
        "--keep",
        action="store_true",
        help="keep the temporary directory even if all went well",
    )
    parser.add_argument("--json", action="store_true", help="report the headless story as JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 if all went as it should."""
    if not arguments.headless and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(
            "The demo's UI needs a terminal.",
            "Standard input or output is not one.",
            next_steps=("pgrescue demo --headless",),
        )
    from pgrescue.demo.session import Request

    request = Request(directory=arguments.dir, keep=arguments.keep)
    try:
        return _headless(request, arguments.json) if arguments.headless else _ui(request)
    except KeyboardInterrupt:
        _say("Interrupted; nothing of the demo runs any more.")
        return ExitCode.INTERRUPTED


def _headless(request: Request, as_json: bool) -> int:
    from pgrescue import codec
    from pgrescue.demo.session import run_headless

    report = run_headless(request, _say)
    if as_json:
        sys.stdout.write(codec.dumps(report) + "\n")
    _say("Everything is as it should be." if report.ok else "The demo went wrong.")
    return ExitCode.DONE if report.ok else ExitCode.FAILED


def _ui(request: Request) -> int:
    from pgrescue.demo.session import run_in_ui
    from pgrescue.tui.app import run_tui

    return run_in_ui(request, _say, lambda config, notice: run_tui(config, None, notice))


def _say(line: str) -> None:
    """Narrate; a terminal that has gone must not keep the demo from cleaning up."""
    with contextlib.suppress(OSError):
        narrate(line)
