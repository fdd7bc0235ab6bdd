"""`pgrescue plan`: the dry run."""

from __future__ import annotations

import argparse
import io
import sys
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import print_json
from pgrescue.cli.restore_options import add_restore_options, request_from
from pgrescue.cli.session import open_desk
from pgrescue.cli.wal_range import progress_teller
from pgrescue.errors import ExitCode
from pgrescue.printable import printable_lines

if TYPE_CHECKING:
    from pgrescue.plan.model import Plan

_EXAMPLES = """\
examples:
  pgrescue plan                                     restore to the latest state
  pgrescue plan --to '2026-11-22 14:02:10+01:00'
  pgrescue plan --before-xid 63886 --format shell   a script to run by hand
  pgrescue plan --into /srv/clone --port 5440       a clone beside the cluster

exit code: 0 if the plan could be run as it is, 3 if a check forbids it
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `plan` to the command line."""
    parser = commands.add_parser(
        "plan",
        help="the dry run: every step, change nothing",
        description="Show every step of a restore with its commands, checks and settings. "
        "Writes the plan, and what it has learnt of backups and WAL, into pgrescue's own state "
        "directory; a restore_command of yours is tried in a temporary directory.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_restore_options(parser)
    parser.add_argument(
        "--format",
        choices=("text", "shell", "markdown", "json"),
        default="text",
        help="text (default), a shell script, a runbook, or JSON",
    )
    parser.add_argument("--json", action="store_true", help="the same as --format json")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the plan."""
    # An error has the form that was asked for, too.
    arguments.json = arguments.json or arguments.format == "json"
    desk = open_desk(arguments)
    plan = desk.plan(
        request_from(arguments, desk.config.time_zone), progress_teller("reading ahead")
    )
    if arguments.json:
        print_json(public(plan))
    else:
        sys.stdout.write(_rendered(plan, arguments.format))
    return ExitCode.REFUSED if plan.blockers else ExitCode.DONE


def public(plan: Plan) -> dict[str, Any]:
    """The plan as JSON shows it: whole, so that `restore --plan FILE` can run it."""
    from pgrescue.codec import to_plain

    plain = to_plain(plan)
    assert isinstance(plain, dict)
    return plain


def _rendered(plan: Plan, form: str) -> str:
    match form:
        case "shell":
            from pgrescue.plan.render_shell import render_shell

            if sys.stdout.isatty():
                return printable_lines(render_shell(plan))
            if isinstance(sys.stdout, io.TextIOWrapper):
                # A script has the very bytes of a name, whatever the terminal's encoding.
                sys.stdout.reconfigure(errors="surrogateescape")
            return render_shell(plan)
        case "markdown":
            from pgrescue.plan.render_markdown import render_markdown

            return render_markdown(plan)
        case _:
            from pgrescue.plan.render_text import render_text

            return render_text(plan)
