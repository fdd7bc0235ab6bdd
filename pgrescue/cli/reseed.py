"""`pgrescue reseed`: fill a broken standby, or an empty directory, from a live server."""

from __future__ import annotations

import argparse
from functools import partial
from typing import TYPE_CHECKING

from pgrescue.cli.session import confirm_plan, open_desk
from pgrescue.errors import UsageError

if TYPE_CHECKING:
    from pgrescue.plan.model import Plan
    from pgrescue.reseed.model import ReseedRequest

_EXAMPLES = """\
examples:
  pgrescue reseed --source 'host=db1 user=replicator' --dry-run
  pgrescue reseed --source 'host=db1 user=replicator' --slot db2 --create-slot --yes

The old data directory is set aside, and pgrescue undo puts it back. The run goes on if the
terminal is lost; pgrescue attach shows it again.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `reseed` to the command line."""
    parser = commands.add_parser(
        "reseed",
        help="fill a standby from a live server",
        description="Copy a live server into the cluster's data directory with pg_basebackup and "
        "start it as a standby that follows it. What was there is set aside.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", required=True, metavar="CONNINFO", help="the live server, in libpq's form")
    add("--slot", metavar="NAME", help="the physical replication slot that the standby is to use")
    add("--create-slot", action="store_true", help="make that slot at the source")
    add("--checkpoint", choices=("auto", "fast", "spread"), default="auto", help="how it begins")
    add("--max-rate", metavar="RATE", help="so much a second at most, such as 50M")
    add(
        "--tablespace",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="another place for a tablespace of the source",
    )
    add(
        "--source-configuration",
        action="store_true",
        help="take over the source's configuration files, too, instead of keeping this server's",
    )
    add("--dry-run", action="store_true", help="print the plan and do nothing")
    add("--yes", action="store_true", help="do not ask")
    add(
        "--confirm",
        metavar="HOST/CLUSTER",
        help="instead of typing it, where a running primary is replaced or the source is behind",
    )
    add("--detach", action="store_true", help="return once the run has started")
    add("--json", action="store_true", help="one JSON object per event")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Plan, confirm, start, watch."""
    from pgrescue.cli.start import execute, print_dry_run, refusals_told
    from pgrescue.plan.render_text import render_text, summary

    desk = open_desk(arguments)
    if arguments.dry_run:
        plan = desk.reseed_plan(_request(arguments))
        return print_dry_run(plan, render_text(plan), as_json=arguments.json)
    with refusals_told(desk.cluster.name, "reseed", desk.notify):
        plan = desk.reseed_plan(_request(arguments))
        return execute(plan, summary(plan), partial(_confirm, plan, arguments), arguments)


def _confirm(plan: Plan, arguments: argparse.Namespace) -> None:
    """A yes, or the cluster's name where commits may be lost that are nowhere else."""
    from pgrescue.reseed.lineage import TO_BE_TYPED

    told = {finding.code for finding in plan.preflight if finding.status == "warning"}
    by_name = bool(told & TO_BE_TYPED)
    confirm_plan(_question(plan), plan.identity, arguments, by_name=by_name)


def _question(plan: Plan) -> str:
    lines = [f"The server of {plan.identity} is stopped, its clients are disconnected."]
    lines += [f"{move.path} is set aside as {move.aside}." for move in plan.work.moves]
    return "\n".join([*lines, f"Fill {plan.work.data_directory} from {plan.backup}?"])


def _request(arguments: argparse.Namespace) -> ReseedRequest:
    from pgrescue.postgres.basebackup_options import mapping_from, rate_from
    from pgrescue.reseed.model import ReseedRequest, checked_slot

    if arguments.create_slot and arguments.slot is None:
        raise UsageError("--create-slot needs --slot NAME.")
    return ReseedRequest(
        source=arguments.source,
        slot=checked_slot(arguments.slot) if arguments.slot is not None else None,
        create_slot=arguments.create_slot,
        checkpoint=arguments.checkpoint,
        max_rate=rate_from(arguments.max_rate) if arguments.max_rate else None,
        tablespaces=dict(mapping_from(text) for text in arguments.tablespace),
        own_configuration=not arguments.source_configuration,
    )
