"""`pgrescue backup` and `pgrescue verify`: take a base backup, and know that it is whole."""

from __future__ import annotations

import argparse
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, get_args

from pgrescue.cli.output import print_json, print_lines, size_text
from pgrescue.cli.session import confirm, open_desk
from pgrescue.errors import ExitCode
from pgrescue.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from pgrescue.config.backup_request import BackupRequest
    from pgrescue.verify.model import Verification

_EXAMPLES = """\
examples:
  pgrescue backup --dry-run                  what would be done, what speaks against it
  pgrescue backup --yes                      with the configured choices
  pgrescue backup --compress zstd:3 --max-rate 50M --yes
  pgrescue backup --source 'host=db2 user=backup' --yes       from a standby
  pgrescue backup --incremental --yes        what changed since the newest (17, 18)
  pgrescue backup --format plain --tablespace /srv/ts=/backup/ts --yes

The backup goes on if the terminal is lost; pgrescue attach shows it again. For cron: exit code 0
means taken, verified, and restorable with the WAL that it holds or that is in the archive; it is in
the catalog unless --destination is none of the configured directories, of which a warning tells.
"""


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `backup` and `verify` to the command line."""
    from pgrescue.backup.choices import choice
    from pgrescue.postgres.basebackup_options import ManifestChecksums

    def about(name: str) -> str:
        chosen = choice(name)
        # A parent is named here, or the newest is taken; what the form calls its ways is no name.
        named = () if name == "incremental" else chosen.values
        values = f" {', '.join(value for value, _ in named)}." if named else ""
        return (chosen.about + values).replace("%", "%%")

    parser = commands.add_parser(
        "backup",
        help="take a base backup",
        description="Take a base backup with pg_basebackup, verify it, enter it in the catalog.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--source", metavar="CONNINFO", help=about("source"))
    add("--destination", metavar="DIR", help=about("destination"))
    add("--name", metavar="PATTERN", help=about("name"))
    add("--format", choices=("tar", "plain"), help=about("format"))
    add("--compress", metavar="METHOD[:LEVEL]", help=about("compression"))
    add("--wal-method", choices=("stream", "fetch", "none"), help=about("wal_method"))
    add("--checkpoint", choices=("auto", "fast", "spread"), help=about("checkpoint"))
    add("--max-rate", metavar="RATE", help=about("max_rate"))
    add("--label", help=about("label"))
    add(
        "--tablespace",
        action="append",
        default=[],
        metavar="LOCATION=DIR",
        help=about("tablespaces"),
    )
    add(
        "--incremental",
        nargs="?",
        const="newest",
        metavar="PARENT",
        help=about("incremental"),
    )
    add(
        "--manifest-checksums",
        choices=get_args(ManifestChecksums),
        metavar="ALGORITHM",
        type=str.upper,
        help=about("manifest_checksums"),
    )
    add("--no-verify", action="store_true", help="do not read it again at the end")
    add("--dry-run", action="store_true", help="print the plan and do nothing")
    add("--yes", action="store_true", help="do not ask")
    add("--detach", action="store_true", help="return once the run has started")
    add("--json", action="store_true", help="one JSON object per event")
    parser.set_defaults(handler=run_backup)
    checking = commands.add_parser(
        "verify",
        help="check a backup against its manifest",
        description="Read a backup to its end: every file's size and checksum, tar or plain, "
        "compressed or not, and every record of the WAL that it needs.",
        epilog="example: pgrescue verify 20261122-2035\n\nexit code: 0 if it is whole, 1 if not",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    checking.add_argument("backup", metavar="BACKUP", help="a backup's id or a unique prefix of it")
    checking.add_argument("--json", action="store_true", help="print JSON")
    checking.set_defaults(handler=run_verify)


def run_backup(arguments: argparse.Namespace) -> int:
    """Plan, confirm, start, watch."""
    from pgrescue.backup.text import render_text, summary
    from pgrescue.cli.start import execute, print_dry_run, refusals_told

    desk = open_desk(arguments)
    if arguments.dry_run:
        plan = desk.backup_plan(request_from(arguments, desk.cluster.backup))
        return print_dry_run(plan, render_text(plan), as_json=arguments.json)
    with refusals_told(desk.cluster.name, "backup", desk.notify):
        plan = desk.backup_plan(request_from(arguments, desk.cluster.backup))
        ask = partial(confirm, f"{printable(plan.subject)}?", given=arguments.yes, option="--yes")
        return execute(plan, summary(plan), ask, arguments)


def run_verify(arguments: argparse.Namespace) -> int:
    """Read one backup and say what is wrong with it."""
    from pgrescue.codec import to_plain

    desk = open_desk(arguments)
    found = desk.verify(arguments.backup, _teller(desk.backup(arguments.backup).restore_bytes))
    if arguments.json:
        print_json(to_plain(found))
    else:
        print_lines(_verdict(found))
    return ExitCode.DONE if found.ok else ExitCode.FAILED


def _teller(total: int | None) -> Callable[[int, str], None]:
    """Tells a person at a terminal how far the reading is, once a second."""
    if not sys.stderr.isatty():
        return lambda _done, _name: None
    last = 0.0

    def tell(done: int, _name: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last < 1:
            return
        last = now
        share = f" of {size_text(total)}" if total else ""
        sys.stderr.write(f"\r  read {size_text(done)}{share:<40}\r")
        sys.stderr.flush()

    return tell


def _verdict(found: Verification) -> str:
    lines = [f"{printable(problem.code):<12} {problem.message}" for problem in found.problems]
    read = f"{found.files} files, {size_text(found.bytes)}, in {found.seconds:.1f} s"
    if found.is_proved:
        lines.append(f"{found.backup} is whole: {read}, all as its manifest says.")
    elif found.ok:
        lines.append(f"{found.backup} can be read to its end: {read}.")
    elif found.is_only_unread:
        lines.append(f"{found.backup} could not be read whole, so it is not known: {read}.")
    else:
        lines.append(f"{found.backup} is DAMAGED: {len(found.problems)} problems; {read}.")
    return "\n".join(lines)


def request_from(arguments: argparse.Namespace, configured: BackupRequest) -> BackupRequest:
    """What was asked for: the configured choices, with those of the command line over them."""
    from dataclasses import replace

    from pgrescue.postgres.basebackup_options import compression_from, mapping_from, rate_from

    changes = {
        "source": arguments.source,
        "destination": arguments.destination,
        "name": arguments.name,
        "format": arguments.format,
        "compression": compression_from(arguments.compress) if arguments.compress else None,
        "wal_method": arguments.wal_method,
        "checkpoint": arguments.checkpoint,
        "max_rate": rate_from(arguments.max_rate) if arguments.max_rate else None,
        "label": arguments.label,
        "parent": arguments.incremental,
        "manifest_checksums": arguments.manifest_checksums,
    }
    given = {name: value for name, value in changes.items() if value is not None}
    tablespaces = dict(mapping_from(text) for text in arguments.tablespace)
    return replace(
        configured,
        **given,
        tablespaces={**configured.tablespaces, **tablespaces},
        verify=configured.verify and not arguments.no_verify,
    )
