"""From facts and choices to a sealed plan of a backup; pure."""

from __future__ import annotations

import re
from dataclasses import replace

from pgrescue.backup.checks.asked import Asked
from pgrescue.backup.checks.every import preflight
from pgrescue.backup.checks.source import unreachable
from pgrescue.backup.choices import MANIFEST_SINCE
from pgrescue.backup.command import basebackup_command
from pgrescue.backup.estimate import Estimate, estimate
from pgrescue.backup.facts import BackupFacts, ServerFacts
from pgrescue.backup.model import BackupPlan, BackupWork, TablespaceCopy
from pgrescue.backup.places import partial_path, tablespace_places
from pgrescue.backup.steps import backup_steps
from pgrescue.config.backup_request import BackupRequest
from pgrescue.errors import Refused, UsageError
from pgrescue.plan.facts import HostFacts
from pgrescue.plan.sealed import Step, seal
from pgrescue.postgres.basebackup_options import Checkpoint
from pgrescue.postgres.data_directory import LOST_AND_FOUND
from pgrescue.postgres.manifest import NAME as MANIFEST
from pgrescue.printable import printable

USUAL_NAME = "{cluster}-{time}"
_FIELDS = re.compile(r"\{(\w*)\}")
_LONGEST_NAME = 240
"""Bytes: less than file systems take (255), for names that are made of it."""
_LONGEST_LABEL = 1000
"""Bytes that the server takes, with some to spare (`MAXPGPATH`)."""
_LITTLE_WAL = 128 << 20
"""Bytes of WAL since the last checkpoint up to which another one is no burst of writing."""


def name_of(pattern: str, host: HostFacts, request: BackupRequest, cluster: str) -> str:
    """The backup's directory name; raises `UsageError` for a pattern that gives none."""
    values = {
        "cluster": cluster,
        "host": host.name,
        "time": f"{host.now:%Y%m%dT%H%M%SZ}",
        "kind": "incremental" if request.parent else "full",
    }
    unknown = [name for name in _FIELDS.findall(pattern) if name not in values]
    name = _FIELDS.sub(lambda field: values.get(field[1], ""), pattern)
    if unknown or not _can_be_a_name(name):
        raise UsageError(
            f"'{printable(pattern)}' is no name for a backup.",
            "It is one directory's name, visible, on one line, of at most "
            f"{_LONGEST_NAME} bytes, in which {{cluster}}, {{host}}, {{time}} and {{kind}} are "
            "filled in.",
            next_steps=(f"--name '{USUAL_NAME}'",),
        )
    return name


def _can_be_a_name(name: str) -> bool:
    return (
        name not in ("", LOST_AND_FOUND)
        and not name.startswith(".")
        and "/" not in name
        and name.isprintable()
        and len(name.encode()) <= _LONGEST_NAME
    )


def checked_label(label: str) -> str:
    """The label; raises `UsageError` for one that backup_label cannot hold on its one line."""
    if not label.isprintable() or len(label.encode()) > _LONGEST_LABEL:
        raise UsageError(
            f"'{printable(label[:60])}' is no label for a backup.",
            f"It is one line of at most {_LONGEST_LABEL} bytes, without control characters.",
            next_steps=("--label 'before the upgrade'",),
        )
    return label


def make_backup_plan(
    facts: BackupFacts,
    request: BackupRequest,
    *,
    cluster: str,
    catalog_cache: str,
    notify: str | None = None,
) -> BackupPlan:
    """The sealed plan; findings that forbid it are in its preflight.

    Raises `Refused` where the server cannot be asked: then there is nothing to plan with.
    """
    server = facts.source.server
    if server is None:
        finding = unreachable(facts.source)
        raise Refused(finding.message, next_steps=(finding.fix or "",))
    expected = estimate(facts, server, request)
    tablespaces = _tablespaces(facts, request, server)
    asked = Asked(facts, server, request, expected, facts.parent, tablespaces)
    work = _work(asked, catalog_cache)
    plan = BackupPlan(
        id="",
        created_at=facts.host.now,
        host=facts.host.name,
        operator=facts.host.operator,
        cluster=cluster,
        preflight=preflight(asked),
        steps=_with_estimate(work, expected),
        source=facts.source.words,
        work=work,
        estimated_size=expected.disk_bytes,
        estimated_seconds=expected.seconds,
        notify=notify,
    )
    return seal(plan)


def checkpoint_of(request: BackupRequest, server: ServerFacts) -> Checkpoint:
    """Which checkpoint `auto` means: a fast one where there is little to write."""
    if request.checkpoint != "auto":
        return request.checkpoint
    written = server.wal_since_checkpoint
    return "fast" if written is not None and written <= _LITTLE_WAL else "spread"


def checkpoint_bound(server: ServerFacts) -> float:
    """Seconds: a spread checkpoint takes this part of the time between two of them."""
    target = server.number("checkpoint_completion_target") or 0.9
    return server.number("checkpoint_timeout") * target


def _work(asked: Asked, catalog_cache: str) -> BackupWork:
    facts, server, request = asked.facts, asked.server, asked.request
    tag = f"pgrescue-{facts.host.now:%Y%m%dT%H%M%SZ}"
    root, name = facts.root.real_path, facts.destination.real_path.rpartition("/")[2]
    partial = partial_path(f"{root}/{name}")
    chosen = replace(request, checkpoint=checkpoint_of(request, server))
    conninfo = f"{facts.source.conninfo} application_name={tag}".strip()
    command = basebackup_command(
        chosen,
        program=f"{facts.programs.bin_directory or ''}/pg_basebackup",
        conninfo=conninfo,
        directory=partial,
        label=checked_label(request.label or name),
        server_major=server.major,
        tablespaces=[(item.location, item.destination) for item in asked.tablespaces],
        parent_manifest=f"{asked.parent.path}/{MANIFEST}" if asked.parent else None,
    )
    mode = server.settings.get("archive_mode", "off")
    return BackupWork(
        tag=tag,
        root=root,
        destination=f"{root}/{name}",
        partial=partial,
        owner=facts.owner,
        run_as=facts.owner.name if facts.owner.must_switch else None,
        mode=0o700,
        bin_directory=facts.programs.bin_directory or "",
        command=command,
        conninfo=facts.source.conninfo,
        application=tag,
        major=server.major,
        system_identifier=server.system_identifier,
        in_recovery=server.in_recovery,
        format=request.format,
        compression=request.compression,
        wal_method=request.wal_method,
        checkpoint=chosen.checkpoint,
        checkpoint_bound=checkpoint_bound(server),
        tablespaces=asked.tablespaces,
        parent=asked.parent.id if asked.parent else None,
        verify=request.verify,
        has_manifest=server.major >= MANIFEST_SINCE,
        estimated_bytes=asked.estimate.read_bytes,
        catalog_cache=catalog_cache,
        wal_archive=facts.wal_archive,
        archives=mode == "always" or (mode == "on" and not server.in_recovery),
    )


def _with_estimate(work: BackupWork, expected: Estimate) -> tuple[Step, ...]:
    return tuple(
        replace(step, estimate=expected.seconds) if step.id == "take" else step
        for step in backup_steps(work)
    )


def _tablespaces(
    facts: BackupFacts, request: BackupRequest, server: ServerFacts
) -> tuple[TablespaceCopy, ...]:
    places = tablespace_places(facts.destination.real_path, request, server)
    return tuple(
        TablespaceCopy(item.oid, item.location, places[item.location])
        for item in server.tablespaces
        if item.location in places
    )
