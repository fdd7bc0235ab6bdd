"""`pgrescue incidents`: who dropped my table, and how to stop just before that."""

from __future__ import annotations

import argparse
import shlex
from typing import TYPE_CHECKING, Any

from pgrescue.cli.output import narrate, print_json, print_lines
from pgrescue.cli.session import open_desk
from pgrescue.cli.wal_range import add_range_options, progress_teller, timeline_of, where
from pgrescue.errors import UsageError
from pgrescue.printable import printable

if TYPE_CHECKING:
    from pgrescue.history.incidents import Thresholds
    from pgrescue.history.model import HitRelation, Incident

_EXAMPLES = """\
examples:
  pgrescue incidents
  pgrescue incidents --from '2026-11-22 14:00Z' --to '2026-11-22 15:00Z'
  pgrescue incidents --json | jq -r '.incidents[-1].arguments | join(" ")'
  pgrescue plan $(pgrescue incidents --json | jq -r '.incidents[-1].arguments | join(" ")')

A DELETE or UPDATE counts from --min-rows on, or from --min-share of a table whose size the backup
knows. Names come from the backup's own catalogs and from the WAL; what neither knows is shown by
its OID.
"""
_NAMED = 6


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `incidents` to the command line."""
    parser = commands.add_parser(
        "incidents",
        help="destructive transactions in the WAL, and the target just before each",
        description="Find the transactions that dropped, truncated, or changed very much, in the "
        "archived WAL. Needs no server and changes nothing.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_range_options(parser)
    how = parser.add_argument_group("what counts")
    how.add_argument("--min-rows", metavar="N", help="rows of a DELETE or UPDATE (default: 10000)")
    how.add_argument(
        "--min-share", metavar="PERCENT", help="or this part of the table (default: 30)"
    )
    how.add_argument("--backup", metavar="ID", help="take the names from this backup")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(handler=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was found."""
    desk = open_desk(arguments)
    timeline = timeline_of(arguments)
    thresholds = _thresholds(arguments)
    zone = desk.config.time_zone
    with desk.past() as past:
        search = past.incidents(
            timeline=timeline,
            begin=where(arguments.begin, zone),
            end=where(arguments.end, zone),
            names_of=arguments.backup,
            thresholds=thresholds,
            progress=progress_teller("reading"),
        )
    if arguments.json:
        unread = [{"segment": name, "reason": reason} for name, reason in search.unread]
        listed = [public(item) for item in search.incidents]
        print_json({"cluster": desk.cluster.name, "incidents": listed, "unread": unread})
        return 0
    for incident in search.incidents:
        print_lines(_text(incident))
    for name, reason in search.unread:
        narrate(f"NOT READ: {name}: {reason}")
    if not search.incidents:
        narrate("No incident was found in the WAL that could be read.")
    return 0


def public(incident: Incident) -> dict[str, Any]:
    """An incident with the keys that scripts may rely on."""
    from pgrescue.codec import to_plain

    plain = to_plain(incident)
    assert isinstance(plain, dict)
    return plain


def _thresholds(arguments: argparse.Namespace) -> Thresholds:
    from pgrescue.history.incidents import Thresholds

    default = Thresholds()
    rows, share = arguments.min_rows, arguments.min_share
    if rows is not None and not (rows.isdecimal() and int(rows) > 0):
        raise UsageError(f"'{rows}' is no number of rows.", "--min-rows takes a whole number.")
    percent = (share or "").removesuffix("%")
    if share is not None and not (percent.isdecimal() and 0 < int(percent) <= 100):
        raise UsageError(f"'{share}' is no share.", "--min-share takes a percentage, 1 to 100.")
    least = int(rows) if rows else default.rows
    return Thresholds(
        rows=least,
        share=int(percent) / 100 if share else default.share,
        least=min(default.least, least),
        of_unknown=min(default.of_unknown, least),
    )


def _text(incident: Incident) -> str:
    rows = f", {incident.rows:,} rows" if incident.rows is not None else ""
    share = f" ({incident.share:.0%} of the table)" if incident.share is not None else ""
    lines = [
        f"{incident.time:%Y-%m-%d %H:%M:%S.%f}Z  {incident.command}  {_what(incident)}"
        f"{rows}{share}",
        f"    transaction {incident.xid}, commit at {incident.lsn}, timeline {incident.timeline}",
    ]
    if incident.note:
        lines.append(f"    {printable(incident.note)}")
    lines.append(f"    just before it: pgrescue plan {printable(shlex.join(incident.arguments))}")
    return "\n".join(lines)


def _what(incident: Incident) -> str:
    """The names of what was hit, without anything that a terminal would obey."""
    names = [_name(relation) for relation in incident.relations]
    shown = ", ".join(names[:_NAMED])
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    database = f"in {incident.database}" if incident.database and names else incident.database
    return printable(f"{shown}{more} {database or ''}".strip())


def _name(relation: HitRelation) -> str:
    if relation.name is None:
        return f"relation with OID {relation.oid}"
    return f"{relation.schema}.{relation.name}" if relation.schema else relation.name
