"""`pgrescue init --archive`: have the server archive its WAL, or receive it."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from pgrescue.cli.output import narrate, print_json, print_lines
from pgrescue.cli.session import confirm, open_desk
from pgrescue.errors import ExitCode, Refused

if TYPE_CHECKING:
    from pgrescue.desk import Desk
    from pgrescue.doctor.archiving_setup import ArchivingProposal
    from pgrescue.plan.facts import ClusterFacts


def run(arguments: argparse.Namespace) -> int:
    """Show what would change, ask, change it; the server is never restarted."""
    from pgrescue.doctor.archiving_setup import apply_archiving, propose_archiving
    from pgrescue.postgres.postmaster import find_postmaster

    desk = open_desk(arguments)
    facts = desk.facts()
    directory = _directory(desk, arguments.archive)
    _check_archive(desk, directory)
    if arguments.receivewal:
        return _print_unit(desk, directory, as_json=arguments.json)
    server = find_postmaster(desk.cluster.data_directory)
    if server is None or facts.control is None:
        raise Refused(
            "The server does not run.",
            "Its settings are changed through itself.",
            next_steps=("start it, then: pgrescue init --archive",),
        )
    _check_directory(facts.owner.name, directory, desk)
    conninfo, major = desk.cluster.conninfo, facts.pg_version or 0
    proposal = propose_archiving(server, facts.owner, conninfo, directory, major)
    if not proposal.changes:
        narrate(f"The server archives into {directory} already, by the command proposed.")
        return _finish(desk, proposal, applied=False, as_json=arguments.json)
    narrate(proposal.difference())
    if proposal.replaces_command:
        narrate("WARNING: the archive_command in force is replaced; is nothing else served by it?")
    if arguments.dry_run:
        return _finish(desk, proposal, applied=False, as_json=arguments.json)
    confirm(
        f"Change these settings of {desk.cluster.name} with ALTER SYSTEM, and reload?",
        given=arguments.yes,
        option="--yes",
    )
    apply_archiving(server, facts.owner, conninfo, proposal)
    return _finish(desk, proposal, applied=True, as_json=arguments.json)


def _directory(desk: Desk, named: str) -> str:
    """As given, else the configured archive."""
    if named:
        return os.path.abspath(named)
    if desk.cluster.wal_archive is None:
        raise Refused(
            "Where shall the WAL go?",
            f"The configuration names no wal_archive for {desk.cluster.name}.",
            next_steps=("pgrescue init --archive DIR",),
        )
    return str(desk.cluster.wal_archive)


def _check_archive(desk: Desk, directory: str) -> None:
    """Not where it would be lost with the data, and nobody else's."""
    from pgrescue.wal.archive import scan_archive
    from pgrescue.wal.headers import identify_archive

    facts = desk.facts()
    real = os.path.realpath(directory)
    homes = [facts.directory.real_path, *(item.path for item in facts.tablespaces)]
    homes += [facts.wal_directory.real_path] if facts.wal_directory is not None else []
    for home in map(os.path.realpath, homes):
        if f"{real}/".startswith(f"{home}/"):
            raise Refused(
                f"{directory} is inside {home}, where the cluster's own files are.",
                "The archive would be lost with the data that it is to bring back, copied with "
                "every backup, and set aside with every restore.",
                next_steps=("pgrescue init --archive DIR, best on another disk",),
            )
    try:
        found = identify_archive(scan_archive(Path(directory)))
    except OSError:
        return
    own = facts.control.system_identifier if facts.control is not None else None
    if found is not None and own is not None and found.system_identifier != own:
        raise Refused(
            f"{directory} is the WAL archive of another cluster.",
            f"The segments in it have the system identifier {found.system_identifier}, this "
            f"cluster has {own}. Names of segments are the same in every cluster.",
            next_steps=("give each cluster a directory of its own: pgrescue init --archive DIR",),
        )


def _check_directory(owner: str, directory: str, desk: Desk) -> None:
    from pgrescue.postgres.account import can_access

    if not Path(directory).is_dir():
        raise Refused(
            f"{directory} is no directory.",
            "The archive must be there before the server writes into it.",
            next_steps=(f"install -d -m 700 -o {owner} {directory}",),
        )
    if can_access(desk.facts().owner, directory, write=True) is False:
        raise Refused(
            f"{owner}, as whom the server runs, may not write into {directory}.",
            next_steps=(f"chown {owner} {directory}",),
        )


def _finish(desk: Desk, proposal: ArchivingProposal, *, applied: bool, as_json: bool) -> int:
    from pgrescue.codec import to_plain

    configured = desk.cluster.wal_archive
    if str(configured) != proposal.directory:
        narrate(f'next: wal_archive = "{proposal.directory}" in the configuration')
    if applied and proposal.needs_restart:
        narrate("next: restart the server; until then nothing is archived")
    elif applied:
        narrate("next: pgrescue doctor --test-archiving")
    if as_json:
        print_json(
            {
                "cluster": desk.cluster.name,
                "directory": proposal.directory,
                "changes": to_plain(proposal.changes),
                "applied": applied,
                "restart_needed": applied and proposal.needs_restart,
            }
        )
    return ExitCode.DONE


def _own_address(desk: Desk, facts: ClusterFacts) -> str:
    """Of the cluster's own server, if it runs; else where packages put its socket."""
    from psycopg.conninfo import make_conninfo

    from pgrescue.postgres.probe import connection_parameters, is_listening

    if facts.postmaster is None or not is_listening(facts.postmaster):
        return make_conninfo("", host="/var/run/postgresql", user=facts.owner.name)
    known = connection_parameters(facts.postmaster, facts.owner, desk.cluster.conninfo)
    return make_conninfo("", **{name: known[name] for name in ("host", "port", "user")})


def _print_unit(desk: Desk, directory: str, *, as_json: bool) -> int:
    from pgrescue.postgres.archiving import receivewal_slot, receivewal_unit

    facts = desk.facts()
    source = desk.cluster.backup.source or _own_address(desk, facts)
    unit = receivewal_unit(
        cluster=desk.cluster.name,
        directory=directory,
        bin_directory=str(desk.cluster.bin_directory or "/usr/bin"),
        conninfo=source,
        account=facts.owner.name,
        slot=receivewal_slot(desk.cluster.name),
    )
    if as_json:
        print_json({"cluster": desk.cluster.name, "directory": directory, "unit": unit})
        return ExitCode.DONE
    name = f"pg_receivewal-{desk.cluster.name}.service"
    narrate(f"# write this to /etc/systemd/system/{name}, then: systemctl enable --now {name}")
    print_lines(unit.rstrip("\n"))
    return ExitCode.DONE
