"""Checks of the cluster that is replaced, and of the place where a clone goes."""

from __future__ import annotations

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.checks.places import Places, blockers_of
from pgrescue.plan.facts import ClusterFacts
from pgrescue.postgres.postmaster import Postmaster
from pgrescue.postgres.service import ServiceSpec

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
        return blocker(
            "cluster.directory",
            f"{directory.path} is no directory.",
            "check data_directory in the configuration",
        )
    if directory.is_empty or cluster.pg_version is not None or cluster.control is not None:
        return ok("cluster.directory", f"{directory.path} is a data directory.")
    filling = [run.run for run in context.facts.unfinished if run.has_begun_to_fill]
    if filling:
        run = filling[-1]
        return blocker(
            "cluster.directory",
            f"{directory.path} holds what the run {run} has begun to put there, and is no whole "
            "data directory yet.",
            f"pgrescue resume {run}, or pgrescue undo {run}",
        )
    return blocker(
        "cluster.directory",
        f"{directory.path} holds files but is no PostgreSQL data directory "
        "(no PG_VERSION, no global/pg_control).",
        "check data_directory in the configuration; if this is what is left of the cluster, "
        "move it away by hand and leave the directory empty",
    )


def can_be_stopped(context: Context) -> list[Finding]:
    """A running server has a service to stop it by."""
    if not context.in_place:
        return []
    postmaster = context.facts.cluster.postmaster
    if postmaster is None:
        return ok("cluster.server", "No server is running on the data directory.")
    stopped = not_to_be_stopped(postmaster)
    return (
        [stopped] if stopped else ok("cluster.server", _running(postmaster, context.work.service))
    )


def has_its_own_service(context: Context) -> list[Finding]:
    """The service that is stopped and started is this server's, and no other's."""
    return service_mistakes(context.facts.cluster) if context.in_place else []


def service_mistakes(cluster: ClusterFacts) -> list[Finding]:
    """What is wrong with the service that is configured for a cluster."""
    foreign, unit = cluster.foreign_service, cluster.supervising_unit
    if foreign is not None:
        say = blocker if foreign.forbids else warning
        return say(
            "cluster.service",
            f"{foreign.evidence}. The configuration of the cluster {cluster.name} names it, so "
            "it would be stopped and started instead.",
            "correct service in the configuration; pgrescue doctor shows what was found",
        )
    if unit is None:
        return []
    return warning(
        "cluster.service",
        f"systemd runs the server as {unit}, but the configured service is another one: systemd "
        "may start it again while it is down, and takes no notice of the restored server.",
        f'service = {{ kind = "systemd", unit = "{unit}" }} in the configuration',
    )


def not_to_be_stopped(postmaster: Postmaster | None) -> Finding | None:
    """The finding for a server that its service cannot stop, or would miss and hit another."""
    code = "cluster.server"
    if postmaster is None:
        return None
    if postmaster.pid == 1:
        return Finding(
            code,
            "blocker",
            "The server is process 1 of this container: to stop it ends the container, and every "
            "run in it.",
            "stop the container, and restore from another one of the same image that has its "
            "volumes",
        )
    if postmaster.is_single_user:
        return Finding(
            code,
            "blocker",
            f"A server in single-user mode (pid {postmaster.pid}) works on the data directory. "
            "Somebody is repairing it by hand; no service and no pg_ctl can stop that.",
            f"end it where it was started (ctrl-D); who that is: ps -fp {postmaster.pid}",
        )
    if postmaster.misnamed is not None:
        return Finding(
            code,
            "blocker",
            f"The server that runs on the data directory is process {postmaster.pid}, but its "
            f"postmaster.pid names {postmaster.misnamed}, which is alive and something else: to "
            "stop the one would end the other.",
            f"stop the server by hand: kill -INT {postmaster.pid}; then plan again",
        )
    return None


def _running(postmaster: Postmaster, service: ServiceSpec) -> str:
    return f"A server is running (pid {postmaster.pid}); it is stopped through {service.kind}."


def places(context: Context) -> list[Finding]:
    """Everything that would be moved or filled is this cluster's, and its alone."""
    facts, control = context.facts, context.facts.cluster.control
    return list(
        blockers_of(
            Places(
                cluster=facts.cluster.directory,
                identifier=control.system_identifier if control else None,
                links=facts.cluster.links,
                moves=context.work.moves,
                data_directory=facts.destination.real_path,
                tablespaces=tuple(t.real_path for t in facts.tablespace_destinations.values()),
                surroundings=facts.surroundings,
                in_place=context.in_place,
            )
        )
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
    if place.exists and not (place.is_directory and place.is_empty):
        return blocker(
            "clone.directory",
            f"{place.path} is not an empty directory.",
            _ELSEWHERE,
        )
    return ok("clone.directory", f"The clone goes to {place.path}.")


def clone_meets_new_tablespaces(context: Context) -> list[Finding]:
    """What creates a tablespace is replayed with the original's directory in it.

    Recovery takes a version directory that is there already (`create_tablespace_directories` in
    `src/backend/commands/tablespace.c`), so a clone on the same machine would write into it.
    """
    if context.in_place:
        return []
    danger = "the clone would write into the very directory that the original uses."
    if context.request.standby:
        return warning(
            "clone.new_tablespaces",
            "As a standby the clone goes on replaying: should the original create a tablespace, "
            + danger,
            "leave --standby out, or make the standby on another machine",
        )
    if context.facts.archive.restore_command is not None:
        return warning(
            "clone.new_tablespaces",
            "Not all of the WAL can be read beforehand: should it create a tablespace, " + danger,
            "if tablespaces were created since the backup: take a newer one, or make the clone on "
            "another machine",
        )
    return []
