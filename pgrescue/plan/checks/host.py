"""Checks of this machine: programs, privileges, ports, space."""

from __future__ import annotations

from collections.abc import Sequence

from humanize import naturalsize

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.facts import HostFacts, PathFacts
from pgrescue.plan.model import Space, Work


def programs(context: Context) -> list[Finding]:
    """Server binaries of the backup's major version are here."""
    found = context.facts.programs
    if found.problem is not None:
        return blocker(
            "host.programs",
            found.problem,
            f"install PostgreSQL {context.work.major}, or set bin_directory in the configuration",
        )
    return ok("host.programs", f"{found.version} in {found.bin_directory}.")


def privileges(context: Context) -> list[Finding]:
    """The owner can run a server, and we can write and start where we must."""
    return rights(context.facts.host, context.work, context.facts.destination)


def rights(host: HostFacts, work: Work, place: PathFacts) -> list[Finding]:
    """The same, wherever the new data comes from; `place` is where the data directory will be."""
    owner, service = work.owner, work.service
    if service.kind == "systemd" and not host.is_root:
        return blocker(
            "host.privileges",
            f"{host.account.name} may not stop and start the unit {service.unit}.",
            "run pgrescue as root, or set sudo = true for this cluster",
        )
    if owner.uid == 0:
        return blocker(
            "host.privileges",
            "The server's account would be root, and PostgreSQL refuses to run as root.",
            'set owner in the configuration, such as owner = "postgres"',
        )
    if not place.exists and not place.parent_writable:
        return blocker(
            "host.privileges",
            f"{place.path} cannot be created: its parent directory is not writable.",
            f"create it as root: install -d -m 700 -o {owner.name} {place.path}",
        )
    return []


def port(context: Context) -> list[Finding]:
    """The clone's port is free."""
    wanted = context.work.port
    if wanted is None:
        return []
    if wanted in context.facts.host.ports_in_use:
        return blocker("host.port", f"Port {wanted} is in use.", "choose another with --port N")
    return ok(
        "host.port", f"The clone listens on 127.0.0.1:{wanted} and a socket in its directory."
    )


def space(context: Context) -> list[Finding]:
    """Every filesystem has room for what is written to it."""
    return room(context.space)


def room(space: Sequence[Space]) -> list[Finding]:
    """The same for what any plan needs."""
    findings: list[Finding] = []
    for item in space:
        needed = _size(item.needed_bytes)
        free = f"{_size(item.free_bytes)} free{item.by_quota}"
        if item.needed_bytes > item.free_bytes:
            findings += blocker(
                "host.space",
                f"{item.filesystem} needs {needed} and has {free}: "
                f"{_size(item.needed_bytes - item.free_bytes)} too little.",
                f"free space on {item.filesystem}; the old data stays there until it is discarded"
                + _or_more(item),
            )
        elif item.free_bytes - item.needed_bytes < item.needed_bytes // 10:
            findings += warning(
                "host.space",
                f"{item.filesystem} needs {needed} of {free}: it is tight.",
            )
        else:
            findings += ok("host.space", f"{item.filesystem}: {needed} needed, {free}.")
    return findings


def inodes(context: Context) -> list[Finding]:
    """Every filesystem can hold as many files as are written to it."""
    return inode_shortages(context.space)


def inode_shortages(space: Sequence[Space]) -> list[Finding]:
    """The same for what any plan needs."""
    findings: list[Finding] = []
    for item in space:
        if item.free_inodes is not None and item.needed_inodes > item.free_inodes:
            findings += blocker(
                "host.inodes",
                f"{item.filesystem} has {item.free_inodes:,} free inodes{item.by_quota}, and the "
                f"restore makes about {item.needed_inodes:,} files and directories: "
                f"{item.needed_inodes - item.free_inodes:,} too few.",
                f"remove files from {item.filesystem}: df -i {item.filesystem}" + _or_more(item),
            )
    return findings


def _or_more(item: Space) -> str:
    return f"; or raise the quota of {item.quota}" if item.quota else ""


def _size(size: int) -> str:
    return naturalsize(size, binary=True)
