"""What every command needs first: configuration, cluster, and an answer where one is due."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pgrescue.errors import Refused
from pgrescue.printable import printable_lines

if TYPE_CHECKING:
    from pgrescue.desk import Desk


def open_desk(arguments: argparse.Namespace) -> Desk:
    """The desk for the cluster that the command line names."""
    from pgrescue.config.load import load_config
    from pgrescue.desk import Desk

    config = load_config(arguments.config)
    return Desk(config, config.cluster(arguments.cluster))


def confirm_plan(
    question: str, identity: str, arguments: argparse.Namespace, *, by_name: bool
) -> None:
    """A yes, or what deserves more than that: host and cluster, typed or by --confirm.

    Raises `Refused` for the name of another cluster, whatever is asked.
    """
    given = arguments.confirm
    if given not in (None, identity):
        raise Refused(
            f"'{given}' is not the cluster that this plan is for.",
            f"It is {identity}.",
            next_steps=("name the cluster and the configuration that you mean: --cluster, -c",),
        )
    if by_name:
        option = f"--confirm {identity}"
        confirm(question, given=given == identity, option=option, expected=identity)
    else:
        confirm(question, given=arguments.yes or given == identity, option="--yes")


def confirm(question: str, *, given: bool, option: str, expected: str = "yes") -> None:
    """Raise `Refused` unless it was confirmed, by option or by typing `expected`.

    Nothing is asked where standard input is no terminal.
    """
    if given:
        return
    if not sys.stdin.isatty():
        raise Refused(
            "This needs a confirmation, and there is no terminal to ask.",
            question,
            next_steps=(f"add {option}",),
        )
    sys.stderr.write(printable_lines(f"{question}\nType {expected} to go on: "))
    sys.stderr.flush()
    if sys.stdin.readline().strip() != expected:
        raise Refused("Not confirmed.")
