"""`pgrescue catalog` and `pgrescue show`: which backups there are, and one of them in full."""

from __future__ import annotations

import argparse
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import print_json, print_lines, print_table, size_text, time_text
from pgrescue.cli.session import open_desk
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.catalog.model import Backup

Commands = argparse._SubParsersAction


def register(commands: Commands[argparse.ArgumentParser]) -> None:
    """Add `catalog` and `show` to the command line."""
    listing = commands.add_parser(
        "catalog",
        help="list the backups",
        description="List every backup under the configured directories, usable or not.",
        epilog="example: pgrescue catalog --json | jq '.backups[] | select(.usable) | .id'",
    )
    listing.add_argument("--json", action="store_true", help="print JSON")
    listing.set_defaults(handler=run_catalog)
    single = commands.add_parser(
        "show",
        help="one backup in full",
        description="Show everything that is known of one backup.",
        epilog="example: pgrescue show 20261122-2035",
    )
    single.add_argument("backup", metavar="BACKUP", help="a backup's id or a unique prefix of it")
    single.add_argument("--json", action="store_true", help="print JSON")
    single.set_defaults(handler=run_show)


def run_catalog(arguments: argparse.Namespace) -> int:
    """Print the catalog."""
    from pgrescue.catalog.chain_list import in_chains
    from pgrescue.catalog.freshness import freshness_of
    from pgrescue.codec import to_plain

    desk = open_desk(arguments)
    backups = desk.backups()
    if arguments.json:
        own = desk.system_identifier(backups)
        listed = [public(backup) for backup in backups]
        freshness = to_plain(freshness_of(backups, datetime.now(UTC), own))
        print_json({"cluster": desk.cluster.name, "backups": listed, "freshness": freshness})
        return 0
    print_table(
        ("ID", "KIND", "FORMAT", "VERSION", "ENDED (UTC)", "SIZE", "WAL UNTIL", "STATE", "PATH"),
        [
            (
                f"  {backup.id}" if link.is_under else backup.id,
                backup.kind or "-",
                _format(backup),
                backup.server_version or "-",
                time_text(backup.stopped_at or backup.started_at),
                size_text(backup.size_bytes),
                str(backup.window.to_lsn) if backup.window else "-",
                "usable" if backup.usable else f"unusable: {backup.problems[0].message}",
                backup.path,
            )
            for link in in_chains(backups)
            for backup in (link.backup,)
        ],
    )
    return 0


def run_show(arguments: argparse.Namespace) -> int:
    """Print one backup."""
    backup = open_desk(arguments).backup(arguments.backup)
    if arguments.json:
        print_json(public(backup))
        return 0
    window = backup.window
    rows = [
        ("id", backup.id),
        ("path", backup.path),
        ("usable", "yes" if backup.usable else "no"),
        ("kind", backup.kind or "-"),
        ("parent", backup.parent or "-"),
        ("format", _format(backup)),
        ("label", backup.label or "-"),
        ("PostgreSQL", backup.server_version or "-"),
        ("system identifier", backup.system_identifier or "-"),
        ("timeline", str(backup.timeline or "-")),
        ("started", time_text(backup.started_at)),
        ("stopped", time_text(backup.stopped_at)),
        ("start LSN", str(backup.start_lsn or "-")),
        ("stop LSN", str(backup.stop_lsn or "-")),
        ("size", size_text(backup.size_bytes)),
        ("restores to", size_text(backup.restore_bytes)),
        ("that is", f"{backup.ratio:.0%}" if backup.ratio is not None else "-"),
        (
            "took",
            f"{backup.duration_seconds:.0f} s" if backup.duration_seconds is not None else "-",
        ),
        ("manifest", "yes" if backup.has_manifest else "no"),
        ("verified", time_text(backup.verified_at)),
        ("recoverable", f"{window.from_lsn or '-'} to {window.to_lsn or '-'}" if window else "-"),
    ]
    rows += [
        ("tablespace", f"{item.oid} at {item.path}, {size_text(item.size_bytes)}")
        for item in backup.tablespaces
    ]
    rows += [("problem", f"{item.code}: {item.message}") for item in backup.problems]
    for name, value in rows:
        print_lines(f"{name:<18} {printable(value)}")
    return 0


def public(backup: Backup) -> dict[str, Any]:
    """A backup with the keys that scripts may rely on."""
    from pgrescue.codec import to_plain

    plain = to_plain(backup)
    assert isinstance(plain, dict)
    del plain["details"]
    plain |= {"duration_seconds": backup.duration_seconds, "ratio": backup.ratio}
    return plain


def _format(backup: Backup) -> str:
    if backup.format is None:
        return "-"
    compressed = backup.compression not in (None, "none")
    return f"{backup.format}, {backup.compression}" if compressed else backup.format
