"""`pgrescue restore`: execute exactly one plan."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pgrescue.cli.restore_options import add_restore_options, given_options, request_from
from pgrescue.cli.session import confirm_plan, open_desk
from pgrescue.cli.wal_range import progress_teller
from pgrescue.errors import UsageError

if TYPE_CHECKING:
    from pgrescue.plan.model import Plan

_EXAMPLES = """\
examples:
  pgrescue restore --to latest --yes
  pgrescue restore --before-xid 63886 --action promote --yes
  pgrescue restore --plan plan.json --yes           exactly the plan that was reviewed
  pgrescue restore --into /srv/clone --port 5440 --yes
  pgrescue restore --old-data delete --confirm db1/main

The run goes on if the terminal is lost; pgrescue attach shows it again.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `restore` to the command line."""
    parser = commands.add_parser(
        "restore",
        help="execute a restore",
        description="Plan a restore, ask for a confirmation, and execute it; or execute a plan "
        "that was made before.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_restore_options(parser)
    parser.add_argument("--plan", type=Path, metavar="FILE", help="execute exactly this plan")
    parser.add_argument("--yes", action="store_true", help="do not ask; for what can be undone")
    parser.add_argument("--confirm", metavar="HOST/CLUSTER", help="for what cannot be undone")
    parser.add_argument("--detach", action="store_true", help="return once the run has started")
    parser.add_argument("--json", action="store_true", help="one JSON object per event")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Plan, confirm, start, watch."""
    from pgrescue.cli.start import execute, refusals_told
    from pgrescue.plan.render_text import summary
    from pgrescue.run.notify import kind_of

    if arguments.plan is not None:
        plan = _saved(arguments.plan)
        _check_nothing_else_is_asked(plan, arguments)
        with refusals_told(plan.cluster, kind_of(plan), plan.notify):
            return execute(plan, summary(plan), partial(_confirm, plan, arguments), arguments)
    desk, kind = open_desk(arguments), "drill" if arguments.into else "restore"
    with refusals_told(desk.cluster.name, kind, desk.notify):
        plan = desk.plan(
            request_from(arguments, desk.config.time_zone), progress_teller("reading ahead")
        )
        return execute(plan, summary(plan), partial(_confirm, plan, arguments), arguments)


def _question(plan: Plan) -> str:
    """What will happen, before somebody says yes to it."""
    if plan.mode == "clone":
        return f"Make a clone of {plan.identity} at {plan.target} in {plan.work.data_directory}?"
    lines = [f"The server of {plan.identity} is stopped, its clients are disconnected."]
    lines += [f"{move.path} is set aside as {move.aside}." for move in plan.work.moves]
    return "\n".join([*lines, f"Restore {plan.identity} to {plan.target}?"])


def _saved(file: Path) -> Plan:
    from pgrescue.plan.model import Plan
    from pgrescue.run.plan_file import load_plan

    plan = load_plan(file, by_hand=True)
    if not isinstance(plan, Plan):
        raise UsageError(
            f"{file} is no plan of a restore.",
            f"It is: {plan.subject}.",
            next_steps=("make one: pgrescue plan --json >plan.json",),
        )
    return plan


def _check_nothing_else_is_asked(plan: Plan, arguments: argparse.Namespace) -> None:
    """Raise `UsageError` for options beside `--plan`: the plan alone says what is done, and where.

    Who asks for a clone with a plan in place must not get the plan.
    """
    if given := given_options(arguments):
        raise UsageError(
            f"{', '.join(given)} does not go with --plan.",
            "A plan is executed exactly as it is.",
            next_steps=("leave --plan out, or make another plan: pgrescue plan --json >plan.json",),
        )
    if arguments.cluster not in (None, plan.cluster):
        raise UsageError(
            f"{arguments.plan} is a plan of the cluster {plan.cluster}, not {arguments.cluster}.",
            next_steps=(f"if it is the one that you mean: --cluster {plan.cluster}",),
        )


def _confirm(plan: Plan, arguments: argparse.Namespace) -> None:
    """A yes for what can be undone; the cluster's name for what cannot."""
    deletes = f"This deletes the old data of {plan.identity} and cannot be undone."
    question = _question(plan) if plan.reversible else deletes
    confirm_plan(question, plan.identity, arguments, by_name=not plan.reversible)
