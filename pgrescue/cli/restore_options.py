"""The options that `plan` and `restore` share."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pgrescue.errors import UsageError

if TYPE_CHECKING:
    from pgrescue.plan.request import RestoreRequest


def add_restore_options(parser: argparse.ArgumentParser) -> None:
    """Add backup, target, destination and old data options."""
    what = parser.add_argument_group("what to restore")
    what.add_argument("--backup", default="auto", metavar="ID", help="id or prefix (default: auto)")
    what.add_argument(
        "--to",
        metavar="TIME",
        help="a time (with offset or zone; else your own zone), 'latest' or 'immediate'",
    )
    what.add_argument("--to-lsn", metavar="LSN", help="stop at a position in the WAL")
    what.add_argument("--to-xid", metavar="XID", help="stop after that transaction")
    what.add_argument("--before-xid", metavar="XID", help="stop just before that transaction")
    what.add_argument("--to-name", metavar="NAME", help="stop at a restore point")
    what.add_argument("--exclusive", action="store_true", help="stop just before the target")
    what.add_argument("--timeline", metavar="N", help="a number (decimal), 'latest' or 'current'")
    what.add_argument(
        "--action",
        metavar="pause|promote|shutdown",
        help="at the target (default: pause; promote for latest)",
    )
    where = parser.add_argument_group("where to")
    where.add_argument("--into", metavar="DIR", help="make a clone there, leave the cluster alone")
    where.add_argument("--port", metavar="N", help="port of the clone")
    where.add_argument(
        "--tablespace",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="another place for a tablespace; repeatable",
    )
    where.add_argument(
        "--old-data",
        choices=("keep", "delete"),
        default="keep",
        help="keep: set aside, can be undone (default)",
    )
    where.add_argument("--standby", action="store_true", help="leave a standby, not a primary")


def given_options(arguments: argparse.Namespace) -> list[str]:
    """The options of `add_restore_options` that say something else than if they were left out."""
    bare = argparse.ArgumentParser()
    add_restore_options(bare)
    left_out = vars(bare.parse_args([]))
    return [
        f"--{name.replace('_', '-')}"
        for name, value in left_out.items()
        if getattr(arguments, name) != value
    ]


def request_from(arguments: argparse.Namespace, zone: str | None) -> RestoreRequest:
    """The request that the options make; raises `UsageError`."""
    from pgrescue.plan.request import RestoreRequest
    from pgrescue.plan.target import TargetOptions, parse_target

    options = TargetOptions(
        to=arguments.to,
        to_lsn=arguments.to_lsn,
        to_xid=arguments.to_xid,
        before_xid=arguments.before_xid,
        to_name=arguments.to_name,
        exclusive=arguments.exclusive,
        action=arguments.action,
        timeline=arguments.timeline,
    )
    _check_place(arguments)
    target = parse_target(options, zone)
    if arguments.standby and target.kind != "latest" and target.action == "promote":
        raise UsageError(
            "A standby is not promoted.", "--standby does not go with --action promote."
        )
    return RestoreRequest(
        target=target,
        backup=arguments.backup,
        into=None if arguments.into is None else os.path.abspath(arguments.into),
        port=_port(arguments.port),
        tablespaces=dict(_mapping(text) for text in arguments.tablespace),
        old_data=arguments.old_data,
        standby=arguments.standby,
    )


def _check_place(arguments: argparse.Namespace) -> None:
    if arguments.into is None and arguments.port is not None:
        raise UsageError("--port is for a clone.", "It goes with --into DIR.")
    if arguments.into is not None and not arguments.into.strip():
        raise UsageError(
            "--into names no directory.",
            "An empty name would be the current directory; a variable may not be set.",
        )
    if arguments.into is not None and arguments.old_data != "keep":
        raise UsageError(
            f"--old-data {arguments.old_data} is for a restore in place.",
            "A clone leaves the cluster and its data alone.",
        )


def _port(text: str | None) -> int | None:
    if text is None:
        return None
    if text.isdigit() and 1 <= int(text) <= 65535:
        return int(text)
    raise UsageError(f"'{text}' is no port.", "A port is a number from 1 to 65535.")


def _mapping(text: str) -> tuple[str, str]:
    old, equals, new = text.partition("=")
    if not (old and equals and new):
        raise UsageError(f"'{text}' is no tablespace mapping.", "Write --tablespace OLD=NEW.")
    return old, new
