"""Starting what a plan says, and watching it."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json
from pgrescue.errors import ExitCode

if TYPE_CHECKING:
    from pgrescue.plan.sealed import SealedPlan


def start_and_watch(plan: SealedPlan, arguments: argparse.Namespace) -> int:
    """Start a run and follow it to its end, or return at once with --detach."""
    from pgrescue.cli.watch import watch
    from pgrescue.run.acts import start

    directory = start(plan)
    if arguments.detach:
        narrate(f"The run {directory.id} has started; pgrescue attach {directory.id} shows it.")
        if arguments.json:
            print_json({"event": "started", "run": directory.id})
        return ExitCode.DONE
    return watch(directory, as_json=arguments.json)
