"""Checks of the cluster that is replaced, and of the place where a clone goes."""

from __future__ import annotations

from pathlib import PurePath

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.postgres.postmaster import Postmaster
from pgrescue.postgres.service import ServiceSpec

_NEVER = frozenset(
    {"/", "/home", "/root", "/etc", "/usr", "/var", "/var/lib", "/opt", "/srv", "/tmp", "/boot"}
)
_ELSEWHERE = "choose a directory that does not exist yet: --into DIR"


def is_a_data_directory(context: Context) -> list[Finding]:
    """What would be set aside is a data directory, an empty one, or not there at all."""
    cluster = context.facts.cluster
    if not context.in_place:
        return []
    directory = cluster.directory
    if not directory.exists:
        return ok("cluster.directory", f"{directory.path} does not exist; it will be created.")
    if not directory.is_directory:
        return blocker("cluster.directory", f"{directory.path} is no directory.")
    if directory.is_empty or cluster.pg_version is not None or cluster.control is not None:
        return ok("cluster.directory", f"{directory.path} is a data directory.")
    return blocker(
        "cluster.directory",
        f"{directory.path} holds files but is no PostgreSQL data directory "
        "(no PG_VERSION, no global/pg_control).",
        "check data_directory in the configuration; if this is what is left of the cluster, "
        "move it away by hand and leave the directory empty",
    )


def not_a_shared_path(context: Context) -> list[Finding]:
    """The destination is nobody's home and no directory of the system."""
    path = context.facts.destination.real_path
    fix = "check data_directory in the configuration" if context.in_place else _ELSEWHERE
    if path in _NEVER or path == context.facts.cluster.owner.home:
        return blocker(
            "cluster.path", f"{path} is a directory of the system, not of a cluster.", fix
        )
    if len(PurePath(path).parts) < 3:
        return blocker("cluster.path", f"{path} is too close to the root of the file system.", fix)
    return []


def can_be_stopped(context: Context) -> list[Finding]:
    """A running server has a service to stop it by."""
    cluster = context.facts.cluster
    if not context.in_place:
        return []
    if cluster.postmaster is None:
        return ok("cluster.server", "No server is running on the data directory.")
    return ok("cluster.server", _running(cluster.postmaster, context.work.service))


def _running(postmaster: Postmaster, service: ServiceSpec) -> str:
    return f"A server is running (pid {postmaster.pid}); it is stopped through {service.kind}."


def not_used_elsewhere(context: Context) -> list[Finding]:
    """Nothing that would be set aside belongs to another server that runs on this machine."""
    if not context.in_place:
        return []
    return [shared_directory(p, o) for p, o in context.facts.cluster.used_elsewhere.items()]


def shared_directory(path: str, other: str) -> Finding:
    """The finding for a directory that another server uses."""
    return Finding(
        "cluster.shared",
        "blocker",
        f"{path} would be set aside, but the server that runs in {other} uses it, too: its data "
        "would be gone.",
        "this data directory is a copy with links into another cluster: take the links out of "
        "pg_tblspc (or pg_wal) by hand, or move the copy away",
    )


def unfinished_runs(context: Context) -> list[Finding]:
    """No other run is at work here; one that waits or failed is named."""
    findings: list[Finding] = []
    for run in context.facts.unfinished:
        if run.state == "running":
            findings += blocker(
                "cluster.run",
                f"The run {run.run} is at work on this directory.",
                f"pgrescue attach {run.run}",
            )
        else:
            findings += warning(
                "cluster.run",
                f"The run {run.run} on this directory is {run.state}. This restore replaces what "
                "it left behind; what it set aside stays.",
                f"pgrescue undo {run.run}",
            )
    return findings


def clone_destination(context: Context) -> list[Finding]:
    """A clone goes into a directory that is missing or empty."""
    if context.in_place:
        return []
    place = context.facts.destination
    cluster = context.facts.cluster.directory
    if place.real_path == cluster.real_path:
        return blocker("clone.directory", "The clone's directory is the cluster's own.", _ELSEWHERE)
    inside = PurePath(place.real_path).is_relative_to(cluster.real_path)
    if inside:
        return blocker(
            "clone.directory",
            f"{place.path} is inside the cluster's data directory.",
            _ELSEWHERE,
        )
    if place.exists and not (place.is_directory and place.is_empty):
        return blocker(
            "clone.directory",
            f"{place.path} is not an empty directory.",
            _ELSEWHERE,
        )
    return ok("clone.directory", f"The clone goes to {place.path}.")
