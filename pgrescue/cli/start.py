"""What commands that execute plans share: the dry run; telling, asking, starting, watching."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import failed, narrate, print_json
from pgrescue.errors import ExitCode, PgRescueError
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.plan.sealed import SealedPlan


@contextmanager
def refusals_told(cluster: str, kind: str, notify: str | None) -> Iterator[None]:
    """Run the notification command, if there is one, for what is not begun: cron reads nothing.

    At a terminal somebody reads it.
    """
    try:
        yield
    except PgRescueError as error:
        if notify is not None and not sys.stdin.isatty():
            from pgrescue.run.notify import tell_without_run

            tell_without_run(notify, _not_begun(error, cluster, kind))
        raise


def _not_begun(error: PgRescueError, cluster: str, kind: str) -> dict[str, Any]:
    return {
        **failed(error),
        "host": platform.node().partition(".")[0],
        "kind": kind,
        "subject": f"{kind} of {cluster}",
        "exit_code": int(error.exit_code),
        "report": None,
    }


def print_dry_run(plan: SealedPlan, text: str, *, as_json: bool) -> int:
    """Print the plan and do nothing; the exit code says whether it could be executed."""
    from pgrescue.codec import to_plain

    if as_json:
        print_json(to_plain(plan))
    else:
        sys.stdout.write(text)
    return ExitCode.REFUSED if plan.blockers else ExitCode.DONE


def execute(
    plan: SealedPlan, summary: str, ask: Callable[[], None], arguments: argparse.Namespace
) -> int:
    """Tell what will happen and what speaks against it, ask, start, and follow it to its end.

    `ask` raises `Refused` unless it is confirmed; it is not asked where a check forbids it anyway.
    With --detach this returns once the run has started.
    """
    from pgrescue.cli.watch import watch
    from pgrescue.run.acts import start

    narrate(summary)
    for finding in plan.preflight:
        if finding.status != "ok":
            narrate(f"{finding.status.upper()}: {printable(finding.message)}")
    if not plan.blockers:
        ask()
    directory = start(plan)
    if arguments.detach:
        narrate(f"The run {directory.id} has started; pgrescue attach {directory.id} shows it.")
        if arguments.json:
            print_json({"event": "started", "run": directory.id})
        return ExitCode.DONE
    return watch(directory, as_json=arguments.json)
