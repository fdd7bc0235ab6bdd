"""Checks of the chosen backup against the cluster it is meant for."""

from __future__ import annotations

import shlex
from pathlib import PurePath

from pgrescue.findings import Finding
from pgrescue.plan.checks.context import Context, blocker, ok, warning
from pgrescue.plan.model import TablespaceWork
from pgrescue.plan.paths import is_inside
from pgrescue.plan.settings import leftovers


def usable(context: Context) -> list[Finding]:
    """Every backup of the chain can be used."""
    findings: list[Finding] = []
    for backup in context.facts.chain:
        for problem in backup.problems:
            make = blocker if problem.fatal else warning
            findings += make(
                f"backup.{problem.code}",
                f"Backup {backup.id}: {problem.message}",
                "choose another backup: pgrescue catalog",
            )
    return findings or ok("backup.usable", f"Backup {context.facts.backup.id} is usable.")


def same_cluster(context: Context) -> list[Finding]:
    """The system identifiers of cluster and backup agree."""
    cluster, backup = context.facts.cluster, context.facts.backup
    if not context.in_place:
        return []
    if cluster.identifier is None:
        return warning(
            "backup.system_identifier",
            f"The cluster's pg_control could not be read ({cluster.control_problem or 'missing'}), "
            "nor any segment in its pg_wal, so that this backup is of the same cluster could not "
            "be checked.",
        )
    if backup.system_identifier is None:
        return warning(
            "backup.system_identifier", "The backup does not say which cluster it is from."
        )
    where = "data directory's" if cluster.control else "WAL in the data directory has"
    if backup.system_identifier != cluster.identifier:
        return blocker(
            "backup.system_identifier",
            f"The backup is of another cluster: its system identifier is "
            f"{backup.system_identifier}, the {where} {cluster.identifier}.",
            "restore it as a clone with --into DIR, or choose a backup of this cluster; if another "
            "cluster is really meant to come here, move the old data directory away by hand first",
        )
    return ok("backup.system_identifier", f"Same cluster: {cluster.identifier}.")


def same_major_version(context: Context) -> list[Finding]:
    """The major versions of cluster and backup agree."""
    cluster, backup = context.facts.cluster, context.facts.backup
    version = cluster.pg_version or (cluster.control.major if cluster.control else None)
    if backup.major is None:
        return blocker(
            "backup.version",
            "The backup does not show its PostgreSQL version.",
            "choose another backup: pgrescue catalog",
        )
    if context.in_place and version is not None and version != backup.major:
        return blocker(
            "backup.version",
            f"The backup is of PostgreSQL {backup.major}, the cluster is {version}.",
            "restore it as a clone with --into DIR",
        )
    return ok("backup.version", f"PostgreSQL {backup.major}.")


def same_segment_size(context: Context) -> list[Finding]:
    """The WAL segment sizes of cluster and backup agree."""
    control, details = context.facts.cluster.control, context.facts.backup.details
    size = details.wal_segment_size if details else None
    if not context.in_place or control is None or size is None:
        return []
    if control.wal_segment_size != size:
        return blocker(
            "backup.segment_size",
            f"The backup has WAL segments of {size} bytes, the cluster of "
            f"{control.wal_segment_size}.",
            "it is not a backup of this cluster",
        )
    return []


def tablespaces(context: Context) -> list[Finding]:
    """Each tablespace has a place of its own that is free or belongs to this cluster."""
    findings: list[Finding] = []
    facts = context.facts
    own = {item.path for item in facts.cluster.tablespaces}
    seen: set[str] = set()
    for part in _mapped(context):
        place = facts.tablespace_destinations[part.oid]
        label = f"Tablespace {part.oid} at {part.destination}"
        another = f"give it another place: --tablespace {part.oid}=NEW"
        if place.real_path in seen:
            findings += blocker("tablespace.shared", f"{label} shares its directory.", another)
        elif is_inside(place.real_path, context.work.data_directory):
            findings += blocker(
                "tablespace.inside_data", f"{label} is inside the data directory.", another
            )
        elif not context.in_place and part.destination in own:
            findings += blocker(
                "tablespace.production",
                f"{label} is in use by the cluster {facts.cluster.name}.",
                another,
            )
        elif place.exists and not place.is_empty and part.destination not in own:
            findings += blocker(
                "tablespace.not_empty",
                f"{label}: the directory is not empty.",
                f"move it away by hand (it may hold the newest data there is), or {another}",
            )
        seen.add(place.real_path)
    return findings


def tablespace_paths(context: Context) -> list[Finding]:
    """No tablespace goes to a place that only a backup somebody has tampered with would name."""
    findings: list[Finding] = []
    for part in _mapped(context):
        path, real = part.destination, context.facts.tablespace_destinations[part.oid].real_path
        problem = None
        if not PurePath(path).is_absolute() or ".." in PurePath(path).parts:
            problem = "is no absolute path"
        elif is_inside(real, "/root") and context.facts.cluster.owner.home != "/root":
            problem = f"is in the home directory of root: {real}"
        if problem is not None:
            findings += blocker(
                "tablespace.path",
                f"Tablespace {part.oid} would go to {path!r}, which {problem}.",
                f"give it another place: --tablespace {part.oid}=NEW",
            )
    return findings


def _mapped(context: Context) -> list[TablespaceWork]:
    """Tablespaces of which the backup says where they were; the others make it unusable."""
    known = context.facts.tablespace_destinations
    return [part for part in context.work.chain[-1].tablespaces if part.oid in known]


def chain_needs_an_empty_directory(context: Context) -> list[Finding]:
    """A chain is combined beside the data directory, and moved in once it is whole."""
    if len(context.facts.chain) == 1 or not is_inside(
        context.work.staging, context.work.data_directory
    ):
        return []
    return blocker(
        "backup.chain",
        f"{context.work.data_directory} cannot be renamed (a mount point, or a parent that is not "
        "writable): beside it there is no place to combine a chain of incremental backups.",
        "restore the full backup of the chain instead: --backup ID",
    )


def chain_is_readable(context: Context) -> list[Finding]:
    """The account that combines a chain may read its members."""
    findings: list[Finding] = []
    owner = context.facts.cluster.owner.name
    for path in context.facts.unreadable:
        findings += blocker(
            "backup.unreadable",
            f"{path} cannot be read by {owner}, as whom pg_combinebackup runs.",
            f"setfacl -R -m u:{owner}:rX {shlex.quote(path)}, or copy it to where {owner} "
            "may read it",
        )
    return findings


def leftover_settings(context: Context) -> list[Finding]:
    """Recovery settings that the backup carries are overridden; say so."""
    details = context.facts.backup.details
    found = leftovers(details.configuration if details else {})
    if not found:
        return []
    listed = ", ".join(f"{name} = '{value}'" for name, value in sorted(found.items()))
    return warning(
        "backup.leftover_settings",
        f"The backup's configuration carries recovery settings: {listed}. "
        "This restore overrides them.",
    )


def raised_limits(context: Context) -> list[Finding]:
    """Limits that must be raised for recovery to run."""
    details = context.facts.backup.details
    if details is None or details.control is None:
        return warning(
            "backup.limits",
            "The backup's pg_control could not be read, so whether max_connections and its like "
            "suffice for recovery could not be checked.",
        )
    limits = {"max_connections", "max_worker_processes", "max_wal_senders"}
    limits |= {"max_prepared_transactions", "max_locks_per_transaction"}
    raised = {name: value for name, value in context.work.settings.items() if name in limits}
    if not raised:
        return []
    listed = ", ".join(f"{name} = {value}" for name, value in raised.items())
    return warning(
        "backup.limits",
        f"Raised for the recovery, as high as the backed-up server had them: {listed}.",
    )
