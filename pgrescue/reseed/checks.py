"""Whether the standby can be filled from there, and what should be known before."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from pgrescue.findings import Finding
from pgrescue.plan.checks.cluster import not_to_be_stopped, service_mistakes
from pgrescue.plan.checks.host import inode_shortages, rights, room
from pgrescue.plan.checks.manager import finding_about, service_findings
from pgrescue.plan.checks.names import names_of
from pgrescue.plan.checks.places import Places, blockers_of
from pgrescue.reseed.asked import Asked
from pgrescue.reseed.lineage import is_not_behind, was_no_primary
from pgrescue.reseed.own_settings import limits, no_target

_SERVICE = re.compile(r"(?:^|\s)service\s*=")


def preflight(asked: Asked) -> tuple[Finding, ...]:
    """Every check's findings, blockers first."""
    order = {"blocker": 0, "warning": 1, "ok": 2}
    findings = [finding for check in CHECKS for finding in check(asked)]
    return tuple(sorted(findings, key=lambda finding: order[finding.status]))


def not_itself(asked: Asked) -> Iterator[Finding]:
    """A server is not filled from itself."""
    if asked.facts.is_itself:
        yield Finding(
            "reseed.itself",
            "blocker",
            f"{asked.facts.source.words} is the very server whose data would be replaced.",
            "name the primary: --source 'host=PRIMARY user=ROLE'",
        )


def same_cluster(asked: Asked) -> Iterator[Finding]:
    """What is replaced is a copy of the same cluster, or nothing."""
    own, code = asked.facts.cluster.identifier, "reseed.cluster"
    identifier = asked.server.system_identifier
    if own is not None and own != identifier:
        yield Finding(
            code,
            "blocker",
            f"The data directory is of another cluster: system identifier {own}, the source has "
            f"{identifier}.",
            "name the right source, or the right cluster with --cluster; if another cluster is "
            "really meant to come here, move the old data directory away by hand first",
        )
    elif own is not None:
        yield Finding(code, "ok", "The data directory is a copy of the same cluster.")
    else:
        yield Finding(code, "ok", "There is no cluster in the data directory yet.")


def source_is_fit(asked: Asked) -> Iterator[Finding]:
    """The server answers, and lets a copy be taken."""
    server, words = asked.server, asked.facts.source.words
    place = "standby" if server.in_recovery else "primary"
    message = f"{words} answers: PostgreSQL {server.version}, a {place}."
    yield Finding("reseed.source", "ok", message)
    if not (server.is_superuser or server.may_replicate):
        fix = f'alter role "{server.role}" replication'
        message = f"The role {server.role} may not replicate."
        yield Finding("role.replication", "blocker", message, fix)
    elif server.replication_problem is not None:
        yield Finding(
            "hba.replication",
            "blocker",
            f"A replication connection was refused: {server.replication_problem}",
            f"on the source, pg_hba.conf: host replication {server.role} ADDRESS scram-sha-256",
        )
    if _SERVICE.search(asked.facts.source.conninfo):
        yield Finding(
            "reseed.service",
            "warning",
            "The source is named by a service: the standby's server looks for it when it follows, "
            "without PGSERVICEFILE and PGSYSCONFDIR of this shell.",
            f"have it in ~{asked.work.owner.name}/.pg_service.conf, or name host and port",
        )
    free = int(server.number("max_wal_senders")) - server.senders
    if free < 2:
        yield Finding(
            "server.max_wal_senders",
            "blocker",
            f"2 WAL senders are needed, {max(free, 0)} are free.",
            "raise max_wal_senders on the source (restart), or end one",
        )
    if server.settings.get("wal_level") == "minimal":
        message = "wal_level is minimal: the source cannot be followed."
        yield Finding("server.wal_level", "blocker", message, "wal_level = replica, restart")


def programs(asked: Asked) -> Iterator[Finding]:
    """The same major version is installed here."""
    found = asked.facts.programs
    if found.problem is not None or asked.facts.client_major is None:
        yield Finding(
            "host.programs",
            "blocker",
            found.problem or "pg_basebackup is not installed.",
            f"install PostgreSQL {asked.server.major}, or set bin_directory",
        )
    else:
        yield Finding("host.programs", "ok", f"{found.version} in {found.bin_directory}.")


def place(asked: Asked) -> Iterator[Finding]:
    """What is set aside is a data directory, and nobody else manages it."""
    cluster = asked.facts.cluster
    directory = cluster.directory
    known = cluster.pg_version is not None or cluster.control is not None
    if directory.exists and not directory.is_empty and not known:
        yield Finding(
            "cluster.directory",
            "blocker",
            f"{directory.path} holds files but is no PostgreSQL data directory.",
            "check data_directory in the configuration, or move the files away by hand",
        )
    if cluster.manager is not None:
        yield finding_about(cluster.manager)
    yield from service_findings(asked.work.service)
    yield from rights(asked.facts.host, asked.work, directory)
    yield from names_of(asked.work)


def places(asked: Asked) -> Iterator[Finding]:
    """What is set aside and filled is this cluster's alone; as for a restore."""
    facts, work = asked.facts, asked.work
    yield from blockers_of(
        Places(
            cluster=facts.cluster.directory,
            identifier=facts.cluster.identifier,
            links=facts.cluster.links,
            moves=work.moves,
            data_directory=work.data_directory,
            tablespaces=facts.filled,
            surroundings=facts.surroundings,
            in_place=True,
        )
    )
    if found := not_to_be_stopped(facts.cluster.postmaster):
        yield found
    yield from service_mistakes(facts.cluster)


def space(asked: Asked) -> Iterator[Finding]:
    """The copy fits beside the old data, which stays until it is discarded."""
    yield from room(asked.space)
    yield from inode_shortages(asked.space)


def tablespaces(asked: Asked) -> Iterator[Finding]:
    """Mappings are of tablespaces that there are."""
    known = {item.location for item in asked.server.tablespaces}
    for location in asked.request.tablespaces:
        if location not in known:
            listed = ", ".join(sorted(known)) or "it has none"
            message = f"No tablespace of the source is at {location}."
            yield Finding("choice.tablespace", "blocker", message, f"there are: {listed}")
    own = {move.path for move in asked.work.moves}
    for path in asked.facts.in_places:
        if path not in own:
            yield Finding(
                "reseed.tablespace",
                "blocker",
                f"{path} is not this cluster's, and the files of a tablespace would go there: "
                "perhaps another server's, such as the source's own on this machine.",
                "--tablespace OLD=NEW",
            )


def slot(asked: Asked) -> Iterator[Finding]:
    """Without a slot or an archive the source may recycle WAL that the standby still needs."""
    wanted, code = asked.request.slot, "reseed.slot"
    if wanted is not None:
        yield from _named_slot(asked, wanted)
        return
    archives = asked.server.settings.get("archive_mode", "off") != "off"
    yield Finding(
        code,
        "ok" if archives else "warning",
        "Without a replication slot the source keeps WAL only for a while when the standby is "
        "away.",
        "--slot NAME --create-slot",
    )


def _named_slot(asked: Asked, wanted: str) -> Iterator[Finding]:
    """It is free for this standby, or can be made."""
    code = "reseed.slot"
    found = next((slot for slot in asked.server.replication_slots if slot.name == wanted), None)
    most = int(asked.server.number("max_replication_slots"))
    if found is None and not asked.request.create_slot:
        message = f"The source has no replication slot {wanted}."
        yield Finding(code, "blocker", message, "--create-slot")
    elif found is None and asked.server.slots >= most:
        message = f"All of {most} replication slots of the source are taken."
        yield Finding(code, "blocker", message, "drop one that nobody uses, or raise the limit")
    elif found is not None and asked.request.create_slot:
        message = f"The source has a replication slot {wanted} already."
        fix = "leave --create-slot out if it is meant for this standby, or choose another name"
        yield Finding(code, "blocker", message, fix)
    elif found is not None and found.kind != "physical":
        message = f"The replication slot {wanted} of the source is {found.kind}: no standby can "
        message += "use it."
        yield Finding(code, "blocker", message, "--slot OTHER --create-slot")
    elif found is not None and found.active and not _is_own_slot(asked, wanted):
        message = f"The replication slot {wanted} of the source is in use, by another standby."
        yield Finding(code, "blocker", message, "--slot OTHER --create-slot")


def _is_own_slot(asked: Asked, wanted: str) -> bool:
    """Whether it is the very standby that is replaced that uses it: it is stopped first."""
    own, running = asked.facts.own, asked.facts.cluster.postmaster is not None
    return running and {**own.settings, **own.altered}.get("primary_slot_name") == wanted


def other_runs(asked: Asked) -> Iterator[Finding]:
    """No other run is at work here."""
    for run in asked.facts.unfinished:
        message = f"The run {run.run} on this directory has not ended: {run.state}."
        fix = f"pgrescue status {run.run}"
        if run.state == "running":
            yield Finding("cluster.run", "blocker", message, fix)
        else:
            yield Finding("cluster.run", "warning", message, fix)


CHECKS: tuple[Callable[[Asked], Iterator[Finding]], ...] = (
    not_itself,
    same_cluster,
    was_no_primary,
    is_not_behind,
    source_is_fit,
    programs,
    place,
    places,
    space,
    limits,
    no_target,
    tablespaces,
    slot,
    other_runs,
)
