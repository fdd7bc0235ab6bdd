"""`pgrescue retention` and `pgrescue prune`: what could go, and taking it away."""

from __future__ import annotations

import argparse
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import narrate, print_json
from pgrescue.cli.session import confirm_plan, open_desk
from pgrescue.errors import ExitCode

if TYPE_CHECKING:
    from pgrescue.config.retention_policy import RetentionPolicy
    from pgrescue.retention.model import Advice
    from pgrescue.retention.prune_model import PrunePlan

_ADVICE_EXAMPLES = """\
examples:
  pgrescue retention                                what the configured policy means today
  pgrescue retention --keep-count 3 --keep-days 7   what another one would mean
  pgrescue retention --json | jq '.removable[].id'

The policy is the table [clusters.NAME.retention]; without one everything is kept. Every rule keeps
something, and a backup could go if no rule keeps it. Whatever the rules say, the newest usable full
backup stays, the newest of all, the newest that leads to the timeline the cluster is on, and every
backup that an incremental one builds upon. Nothing is removed here.
"""
_PRUNE_EXAMPLES = """\
examples:
  pgrescue prune --dry-run                          what would go, and what would go with it
  pgrescue prune --confirm db1/main                 set aside what the policy does not keep
  pgrescue prune 20261101-0200 --confirm db1/main   just this backup, and the WAL only it needs
  pgrescue undo                                     put all of it back
  pgrescue discard                                  delete it, and free the space

By a policy nothing goes before the newest full backup that stays was verified (pgrescue verify);
otherwise name the backups that are to go. What goes is renamed into hidden directories beside it.

exit code: 3 if a check forbids it
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `retention` and `prune` to the command line."""
    advice = commands.add_parser(
        "retention",
        help="which backups and which WAL could go",
        description="Say what the policy keeps and why, what could be removed, what that would "
        "take away from the recoverable windows, and what it would free.",
        epilog=_ADVICE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_policy(advice)
    advice.add_argument("--json", action="store_true", help="print JSON")
    advice.set_defaults(handler=run_retention)
    prune = commands.add_parser(
        "prune",
        help="remove backups and the WAL that only they need",
        description="Set aside the backups that the policy does not keep, or those that are "
        "named, with the archived WAL that nothing needs any more.",
        epilog=_PRUNE_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = prune.add_argument
    add("backups", nargs="*", metavar="BACKUP", help="ids, or unique prefixes, instead of a policy")
    _add_policy(prune)
    add("--keep-wal", action="store_true", help="leave the archived WAL alone")
    add("--delete", action="store_true", help="delete at once what was set aside: no undo")
    add("--dry-run", action="store_true", help="print the plan and do nothing")
    add("--confirm", metavar="HOST/CLUSTER", help="instead of typing it at a terminal")
    add("--detach", action="store_true", help="return once the run has started")
    add("--json", action="store_true", help="one JSON object per event")
    prune.set_defaults(handler=run_prune)


def run_retention(arguments: argparse.Namespace) -> int:
    """Print the advice."""
    from pgrescue.retention.text import render_advice

    desk = open_desk(arguments)
    advice = desk.retention(policy_from(arguments, desk.cluster.retention))
    if arguments.json:
        print_json({"cluster": desk.cluster.name, **public(advice)})
    else:
        sys.stdout.write(render_advice(advice))
    return ExitCode.DONE


def run_prune(arguments: argparse.Namespace) -> int:
    """Plan, confirm, start, watch."""
    from pgrescue.cli.start import execute, print_dry_run
    from pgrescue.retention.prune_model import PruneRequest
    from pgrescue.retention.text import render_plan, summary
    from pgrescue.run.status import no_run

    desk = open_desk(arguments)
    plan = desk.prune_plan(
        PruneRequest(
            policy=policy_from(arguments, desk.cluster.retention),
            named=tuple(arguments.backups),
            keep_wal=arguments.keep_wal,
            delete=arguments.delete,
        )
    )
    if arguments.dry_run:
        return print_dry_run(plan, render_plan(plan), as_json=arguments.json)
    if plan.is_empty and not plan.blockers:
        narrate("Nothing is to be removed.")
        for finding in plan.preflight:
            if finding.status == "warning":
                narrate(f"WARNING: {finding.message}")
        if arguments.json:
            print_json({"event": "finished", **no_run()})
        return ExitCode.DONE
    return execute(plan, summary(plan), partial(_confirm, plan, arguments), arguments)


def policy_from(arguments: argparse.Namespace, configured: RetentionPolicy) -> RetentionPolicy:
    """The configured rules, with those of the command line over them."""
    from dataclasses import replace

    rules = {name: getattr(arguments, name) for name in ("count", "days", "weekly", "monthly")}
    return replace(configured, **{name: n for name, n in rules.items() if n is not None})


def public(advice: Advice) -> dict[str, Any]:
    """The advice with the keys that scripts may rely on."""
    from pgrescue.codec import to_plain

    plain = to_plain(advice)
    assert isinstance(plain, dict)
    wal = plain["wal"]
    wal["size_bytes"], wal["files"] = advice.wal.size_bytes, len(advice.wal.files)
    return {**plain, "frees_bytes": advice.frees_bytes}


def _confirm(plan: PrunePlan, arguments: argparse.Namespace) -> None:
    """The cluster's name, typed: backups are what is left when all else is lost."""
    how = "DELETES them for good" if plan.work.delete else "sets them aside until discarded"
    confirm_plan(f"{plan.subject}: this {how}.", plan.identity, arguments, by_name=True)


def _add_policy(parser: argparse.ArgumentParser) -> None:
    """Rules that stand for the configured ones."""
    group = parser.add_argument_group("policy, instead of the configured rule of that kind")
    for name, what in (
        ("count", "the newest N full backups with the incremental ones upon them"),
        ("days", "all that is needed to recover to any moment of the last N days"),
        ("weekly", "one full backup for each of the newest N weeks that have one"),
        ("monthly", "one full backup for each of the newest N months that have one"),
    ):
        group.add_argument(f"--keep-{name}", dest=name, metavar="N", type=_number, help=what)


def _number(text: str) -> int:
    if text.isascii() and text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"'{text}' is no whole number from 1 on")
